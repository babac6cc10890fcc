"""The GPU executor: owns the lease of one card, the processes that judge programs on it, and the kill."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from statistics import median
from typing import Any, Final, Literal

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.gpu import GpuFeedback, GpuMeasures
from orchestrator.core.problems import Dialect, GpuTests, Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu import findings, rules, tools
from orchestrator.execute.gpu.cpu_timing import CpuTiming
from orchestrator.execute.gpu.family import FamilyError
from orchestrator.execute.gpu.follow import Watched
from orchestrator.execute.gpu.nvml import CardWatch
from orchestrator.execute.gpu.report import measures_of
from orchestrator.execute.gpu.session import Session
from orchestrator.execute.gpu.settings import GpuExecutorSettings

__all__ = ["GpuExecutor", "GpuExecutorSettings", "memory_for_arrays", "spares_for"]

_HOST_MEMORY: Final = 1 << 30
"""Without a card, sizes are chosen as for one of this much memory."""
_CONTEXTS_BYTES: Final = 3 << 29
_ROOM_FOR_TWO: Final = 10 << 30
_SELF_TIMINGS: Final = 3
"""Times that a reference is timed against itself, to learn by how much one process differs from the next."""
_HOST_SCALE: Final = 1 / 256
"""Without a card, timed shapes are this share of their usual work: times there say nothing of a card."""
_REFERENCE_DIALECTS: Final[tuple[Dialect, ...]] = ("torch", "cupy", "triton", "cuda")
"""A program is compared with the first of these that its problem has a reference in."""


def memory_for_arrays(allowed_bytes: int) -> int:
    """What is left of the card's memory for arrays: contexts of candidates, reference and referee need room too."""
    return allowed_bytes - min(_CONTEXTS_BYTES, allowed_bytes // 5)


def spares_for(wanted: int, allowed_bytes: int) -> int:
    """Armed candidates that the memory has room for: the context of each takes some hundred MiB."""
    return min(wanted, 1) if allowed_bytes < _ROOM_FOR_TWO else wanted


class GpuExecutor:
    """An :class:`~orchestrator.core.execution.Executor` for problems whose tests are ``GpuTests``."""

    def __init__(self, settings: GpuExecutorSettings) -> None:
        """Start everything and arm the spares.

        Raises:
            FamilyError: the processes could not be started, or a tool that is asked for is not there.
            ArmingFailed: no context could be made on the card.
            IsolationMissing: less isolation than required.
        """
        lacking = tools.missing(settings.tools) if settings.device == "gpu" else ""
        if lacking:
            raise FamilyError(lacking)
        self._watch = CardWatch(settings.gpu_uuid) if settings.device == "gpu" else None
        total = self._watch.total_bytes if self._watch is not None else _HOST_MEMORY
        self._allowed = min(total, settings.memory_cap_bytes or total)
        spares = spares_for(settings.spares, self._allowed) if self._watch is not None else settings.spares
        self._settings = replace(settings, spares=spares)
        self._session = Session(self._settings, self._watch)
        self._memory = memory_for_arrays(self._allowed) if self._watch is not None else self._allowed
        self._sized: dict[tuple[str, str], dict[str, Any]] = {}
        self._ceilings: dict[tuple[str, str, float], dict[str, Any]] = {}

    @property
    def isolation(self) -> str:
        """``full`` or ``partial (what is missing)``, and how buffers are shared where that is not by CUDA IPC."""
        return self._session.isolation

    @property
    def facts(self) -> dict[str, Any]:
        """What the card says of itself, for prompts: name, memory, multiprocessors, cache sizes."""
        return dict(self._session.facts)

    @property
    def session(self) -> Session:
        """The processes, for tests and benchmarks."""
        return self._session

    def prepare(self, problem: Problem, seed: int) -> Preparation:
        """Size the timed shape for this card, time the CPU reference, and judge the reference on all tests."""
        tests = _gpu_tests(problem, "scoring")
        limits = problem.limits
        if self._settings.device == "cpu" and problem.public.dialect != "torch":
            reason = (
                f"{problem.public.dialect} programs need a card; without one (execute.device=cpu) only torch runs"
            )
            return Preparation(problem.id, Verdict.INFRASTRUCTURE, reason, limits)
        recording, failed = self._size(tests)
        if failed:
            reason = f"the reference program failed: {failed.get('type')}: {failed.get('message')}"[:300]
            return Preparation(problem.id, Verdict.ERROR, " ".join(reason.split()), limits)
        # The CPU's inputs are made while the reference is judged, when nothing is timed on either side.
        timing = None if "cpu_reference_s" in recording else self._time_cpu(tests)
        try:
            for kind in ("feedback", "scoring"):
                done = self._try_reference(problem, kind, seed, recording, timing=False)
                if done.verdict is not Verdict.PASSED:
                    reason = f"reference on {kind} tests: {done.reason}"
                    return Preparation(problem.id, done.verdict, reason, limits)
            if "cpu_reference_s" not in recording:
                self._session.settle()
                recording["cpu_reference_s"] = timing.finish() if timing is not None else None
        finally:
            if timing is not None:
                timing.close()
        self._learn_scatter(problem, tests, seed, recording)
        recorded = json.dumps(recording, sort_keys=True).encode()
        return Preparation(problem.id, Verdict.PASSED, "", limits, recording=recorded)

    def run(self, problem: Problem, preparation: Preparation, job: Job) -> Execution:
        """Run one program and decide its verdict outside its process."""
        return self._execute(problem, preparation, job, timing=self._settings.timing)

    def close(self) -> None:
        """End every process, file and memory segment that this executor made."""
        self._session.close()

    # ------------------------------------------------------------------ parts

    def _learn_scatter(self, problem: Problem, tests: GpuTests, seed: int, recording: dict[str, Any]) -> None:
        """Note by what share the reference is off itself when it is judged as a program, once for all dialects.

        It passed before: where it does not now, the machine held it up, and the scatter stays unknown.
        """
        from tasks.gpu.catalog import get

        dialect = self._reference_dialect(tests)
        if dialect is None or "scatter" in recording or self._settings.device != "gpu" or not self._settings.timing:
            return
        source = get(tests.name).reference(dialect, tests.dtype)
        reference = replace(problem, public=replace(problem.public, dialect=dialect), reference=source)
        done = [
            self._try_reference(reference, "scoring", seed, recording, timing=True).gpu
            for _ in range(_SELF_TIMINGS)
        ]
        off = [abs(m.time_s / m.reference_time_s - 1) for m in done if m and m.time_s and m.reference_time_s]
        if off:
            recording["scatter"] = median(off)

    def _try_reference(
        self,
        problem: Problem,
        kind: Literal["feedback", "scoring"],
        seed: int,
        recording: dict[str, Any],
        timing: bool,
    ) -> Execution:
        """Judge the reference as a program in a process of its own, which its times are told against."""
        made = Preparation(problem.id, Verdict.PASSED, "", problem.limits, recording=json.dumps(recording).encode())
        job = Job(problem.id, problem.reference, kind, seed, problem.limits)
        return self._execute(problem, made, job, timing=timing, energy=False)

    def _execute(
        self, problem: Problem, preparation: Preparation, job: Job, timing: bool, energy: bool = True
    ) -> Execution:
        began = time.monotonic()
        tests = _gpu_tests(problem, job.tests)
        broken = rules.violation(job.program, problem.public.dialect, problem.public.entry_point)
        if broken is not None:
            return self._finish(
                findings.Finding(Verdict.REJECTED, broken, "load", (f"Not allowed: {broken}.",)), job
            )
        recording = json.loads(preparation.recording) if preparation.recording else {}
        scale = float(recording.get("scale", 1.0))
        failed = self._open(tests, scale)
        if failed:
            raise FamilyError(f"the reference program of {problem.id} failed: {failed}")
        ceilings = self._ceilings_for(tests, scale) if timing else {}
        watched = self._session.judge(problem, tests, job, timing, energy)
        usable = self._allowed if self._watch is not None else None
        finding = findings.conclude(watched.found, watched.killed, watched.ending, usable)
        if finding.verdict is Verdict.INFRASTRUCTURE or watched.found.get("outcome") == "reference":
            raise FamilyError(f"{problem.id} could not be judged: {watched.found.get('reason', finding.reason)}")
        measures = None
        if self._watch is not None or watched.found["rounds"]:
            measures = measures_of(watched, self._watch, recording, ceilings)
        looks = self._look(problem, tests, job, finding) if job.tells and timing else ()
        return self._finish(finding, job, watched, measures, time.monotonic() - began, looks=looks)

    def _look(self, problem: Problem, tests: GpuTests, job: Job, finding: findings.Finding) -> tuple[str, ...]:
        """What the tools that were asked for say, after verdict and time are settled."""
        if not self._settings.tools or self._watch is None:
            return ()
        return tools.look(
            self._session,
            tests,
            job.program,
            problem.public.dialect,
            tools=self._settings.tools,
            finding=finding,
            memory_bytes=self._memory,
            wall_s=job.limits.wall_s,
            host_bytes=job.limits.memory_bytes,
        )

    def _finish(
        self,
        finding: findings.Finding,
        job: Job,
        watched: Watched | None = None,
        measures: GpuMeasures | None = None,
        lease_s: float = 0.0,
        *,
        looks: tuple[str, ...] = (),
    ) -> Execution:
        lines = finding.lines
        if job.tells and finding.verdict is Verdict.PASSED and measures is not None:
            lines = findings.measured_lines(measures, self._allowed)
        return Execution(
            verdict=finding.verdict,
            reason=finding.reason,
            cpu_s=watched.cpu_s if watched is not None else None,
            wall_s=watched.wall_s if watched is not None else None,
            peak_memory_bytes=watched.peak_resident if watched is not None else None,
            lease_s=lease_s,
            node=os.uname().nodename,
            isolation=self.isolation,
            # What a clock stopped may have been held up by the node: it is run again alone, which decides.
            provisional=finding.verdict is Verdict.TIMEOUT and not job.alone,
            output=watched.output if watched is not None and job.tells else "",
            gpu=measures,
            gpu_feedback=GpuFeedback(finding.phase, (*lines, *looks)) if job.tells else None,
        )

    def _size(self, tests: GpuTests) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Size of the timed shape, once for all dialects; or what the reference failed with.

        :meth:`prepare` adds the CPU reference's time, once for all dialects too.
        """
        key = (tests.name, tests.dtype)
        if key not in self._sized:
            scale = 1.0 if self._settings.device == "gpu" else _HOST_SCALE
            failed = self._open(tests, scale)
            answer = (
                {} if failed else self._session.command({"cmd": "calibrate"} if self._watch else _rescale(scale))
            )
            failed = failed or answer.get("failed")
            if failed:
                return {}, failed
            self._sized[key] = {
                "scale": float(answer["scale"]),
                "dims": answer["shape"],
                "reference_s": answer.get("seconds"),
            }
        return self._sized[key], None

    def _open(self, tests: GpuTests, scale: float) -> dict[str, Any] | None:
        """Have the problem open at this scale; what the reference said if it failed."""
        from tasks.gpu.catalog import get

        dialect = self._reference_dialect(tests)
        if dialect is None:
            return {"type": "LookupError", "message": f"no reference in {tests.dtype} runs here"}
        source = get(tests.name).reference(dialect, tests.dtype)
        return self._session.open(tests, dialect, source, self._memory, scale)

    def _reference_dialect(self, tests: GpuTests) -> Dialect | None:
        """The dialect of the reference program that all dialects' programs are timed against here."""
        from tasks.gpu.catalog import get

        problem = get(tests.name)
        allowed: tuple[Dialect, ...] = ("torch",) if self._settings.device == "cpu" else _REFERENCE_DIALECTS
        return next((d for d in allowed if problem.supports(d, tests.dtype)), None)

    def _ceilings_for(self, tests: GpuTests, scale: float) -> dict[str, Any]:
        key = (tests.name, tests.dtype, scale)
        if key not in self._ceilings:
            self._ceilings[key] = self._session.command({"cmd": "ceilings", "dtype": tests.dtype})
        return self._ceilings[key]

    def _time_cpu(self, tests: GpuTests) -> CpuTiming | None:
        """Begin to time the CPU reference; None where that is not wanted."""
        limit = self._settings.cpu_reference_limit_s
        if limit <= 0:
            return None
        order = self._session.command({"cmd": "inputs"})
        return CpuTiming(tests.name, tests.dtype, order["seed"], order["shape"], limit)


def _rescale(scale: float) -> dict[str, Any]:
    return {"cmd": "scale", "scale": scale}


def _gpu_tests(problem: Problem, kind: str) -> GpuTests:
    tests = problem.scoring if kind == "scoring" else problem.feedback
    if not isinstance(tests, GpuTests):
        raise TypeError(f"{problem.id} has no GPU tests; this executor runs no others")
    return tests
