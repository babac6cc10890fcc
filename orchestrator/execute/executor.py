"""The executor of Python problems: programs run confined, tests run in the referee."""

from __future__ import annotations

import json
import math
import platform
import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.core.execution import ExampleOutcome, Execution, Job, Preparation
from orchestrator.core.problems import ExampleTests, Limits, Problem, PythonTests
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.boxes import BoxFailed, sweep
from orchestrator.execute.deciding import Decision, decide
from orchestrator.execute.preflight import IsolationRefused, IsolationReport, describe, try_escapes
from orchestrator.execute.settings import ExecutorSettings
from orchestrator.execute.supervisor import Observation, RefereeJob, Supervisor

__all__ = ["ExecutorSettings", "IsolationRefused", "PythonExecutor"]

LEAST_CPU_S: Final = 2.0
"""The smallest L that is settled from a reference."""
REFERENCE_FACTOR: Final = 10.0
"""L is this many times what the reference took."""
REFERENCE_CPU_S: Final = 60.0
"""L of the reference itself, where the suite sets none."""
_TRIES: Final = 2
_MOST_RECORDINGS: Final = 512


@dataclass(frozen=True, slots=True)
class _Recording:
    source: bytes
    """As it is in the preparation: compared by identity to know it again."""
    calls: list[str]
    referee_cpu_s: float
    number: int


class PythonExecutor:
    """Implements :class:`orchestrator.core.execution.Executor` for problems with Python tests."""

    report: IsolationReport
    """What was found when this executor started."""

    def __init__(self, settings: ExecutorSettings | None = None) -> None:
        """Clear what crashed executors left and start the sandbox.

        Raises:
            IsolationRefused: this machine gives less isolation than the settings require.
            BoxFailed: a sandbox process did not start.
        """
        self._settings = settings or ExecutorSettings()
        sweep(self._settings)
        self._supervisor = Supervisor(self._settings)
        self._recordings: OrderedDict[str, _Recording] = OrderedDict()
        self._recorded = 0
        self._packages = {name: re.compile(rf"\b{re.escape(name)}\b") for name in self._settings.packages}
        try:
            self.report = describe(self._supervisor.zygote(None).standing, try_escapes(self._supervisor))
            self.report.require(self._settings.isolation)
        except BaseException:
            self.close()
            raise

    @property
    def isolation(self) -> str:
        """``full`` or ``partial (what is missing)``."""
        return self.report.text

    @property
    def zygote_pid(self) -> int:
        """Process id of the zygote of plain programs, for whoever watches what it holds."""
        return self._supervisor.zygote(None).pid

    def prepare(self, problem: Problem, seed: int) -> Preparation:
        """Run the reference on all tests and record its calls. ``seed`` is the suite seed.

        Limits of the problem that are zero or less count as not set: ``cpu_s`` becomes the larger of 2 s and 10
        times what the reference took, in whole seconds, ``wall_s`` 5 times that and 5 s.
        """
        limits = _settled(problem.limits, REFERENCE_CPU_S)
        job = self._job(problem, "scoring", problem.reference, seed, _Recording(b"", [], 0.0, 0))
        seen = self._observe(replace(job, record=True, batch=False, key=f"{problem.digest}:recording"), limits)
        decision = decide(seen, limits, final=True, alone=False)
        if decision.verdict is not Verdict.PASSED or seen.reply is None:
            return Preparation(problem.id, decision.verdict, f"invalid reference: {decision.reason}", limits)
        wanted = max(LEAST_CPU_S, math.ceil(REFERENCE_FACTOR * seen.cpu_s))
        recording = {"calls": seen.reply["recording"], "referee_cpu_s": seen.reply["cpu_s"]}
        return Preparation(
            problem_id=problem.id,
            verdict=Verdict.PASSED,
            reason="",
            limits=_settled(problem.limits, wanted),
            dropped_examples=self._failing_examples(problem, seed, limits),
            recording=json.dumps(recording).encode(),
        )

    def run(self, problem: Problem, preparation: Preparation, job: Job) -> Execution:
        """Run one program and decide its verdict outside its process."""
        recording = self._recording(problem, preparation)
        limits = _settled(job.limits, LEAST_CPU_S)
        order = self._job(problem, job.tests, job.program, job.seed, recording)
        seen = self._observe(order, limits)
        if seen.reply is not None and seen.reply["verdict"] == "diverged":
            # The tests went another way than with the reference: a fresh candidate gets the calls as they come,
            # so that it is not charged for calls that these tests never make.
            seen = self._observe(replace(order, batch=False), limits)
        feedback = job.tests == "feedback"
        decision = decide(seen, limits, final=feedback, alone=job.alone)
        return Execution(
            verdict=decision.verdict,
            reason=decision.reason,
            cpu_s=seen.cpu_s,
            wall_s=seen.wall_s,
            peak_memory_bytes=seen.peak_bytes,
            lease_s=seen.wall_s,
            node=platform.node(),
            isolation=self.isolation,
            provisional=decision.provisional,
            outcomes=_outcomes(problem, seen, decision) if feedback else (),
            output=seen.output if feedback else "",
        )

    def close(self) -> None:
        """End every process, file and memory segment that this executor made."""
        self._supervisor.close()

    def _observe(self, job: RefereeJob, limits: Limits) -> Observation:
        """Run a job; once more with new sandbox processes if these ended by themselves."""
        package = next((name for name, word in self._packages.items() if word.search(job.program)), None)
        for attempt in range(_TRIES):
            try:
                seen = self._supervisor.run(job, limits, package)
            except BoxFailed:
                if attempt == _TRIES - 1:
                    raise
                continue
            if seen.reply is None or seen.reply["verdict"] != "unstarted":
                return seen
        raise BoxFailed("no candidate could be started")

    def _job(self, problem: Problem, which: str, program: str, seed: int, recording: _Recording) -> RefereeJob:
        tests = problem.scoring if which == "scoring" else problem.feedback
        if isinstance(tests, PythonTests):
            told: dict[str, Any] = {"source": tests.source, "examples": [], "calls": recording.calls}
        elif isinstance(tests, ExampleTests):
            told = {"source": None, "examples": [[e.call, e.expected] for e in tests.examples], "calls": []}
        else:
            raise TypeError(f"{problem.id} has {type(tests).__name__}, which this executor does not run")
        return RefereeJob(
            key=f"{problem.digest}:{which}:{recording.number}",
            tests={"setup": tests.setup, **told},
            entry=problem.public.entry_point,
            program=program,
            test_seed=f"{seed}:{problem.id}",
            batch=which == "scoring",
            record=False,
            discard=which == "scoring",
            referee_cpu_s=recording.referee_cpu_s,
        )

    def _recording(self, problem: Problem, preparation: Preparation) -> _Recording:
        known = self._recordings.get(problem.digest)
        if known is not None and known.source == preparation.recording:
            self._recordings.move_to_end(problem.digest)
            return known
        self._recorded += 1
        fields: dict[str, Any] = {"calls": [], "referee_cpu_s": 0.0}
        if preparation.recording:
            fields = json.loads(preparation.recording)
        known = _Recording(preparation.recording, fields["calls"], fields["referee_cpu_s"], self._recorded)
        self._recordings[problem.digest] = known
        if len(self._recordings) > _MOST_RECORDINGS:
            self._recordings.popitem(last=False)
        return known

    def _failing_examples(self, problem: Problem, seed: int, limits: Limits) -> tuple[int, ...]:
        """Indices of public examples that the reference itself does not give."""
        if not isinstance(problem.feedback, ExampleTests) or not problem.feedback.examples:
            return ()
        job = self._job(problem, "feedback", problem.reference, seed, _Recording(b"", [], 0.0, 0))
        passed = {index for index, passed, _ in self._observe(job, limits).outcomes if passed}
        return tuple(index for index in range(len(problem.feedback.examples)) if index not in passed)


def _settled(limits: Limits, cpu_s: float) -> Limits:
    cpu = limits.cpu_s if limits.cpu_s > 0 else cpu_s
    return replace(limits, cpu_s=cpu, wall_s=limits.wall_s if limits.wall_s > 0 else 5 * cpu + 5)


def _outcomes(problem: Problem, seen: Observation, decision: Decision) -> tuple[ExampleOutcome, ...]:
    if not isinstance(problem.feedback, ExampleTests):
        return ()
    told = {index: (passed, got) for index, passed, got in seen.outcomes}
    found: list[ExampleOutcome] = []
    for index, example in enumerate(problem.feedback.examples):
        # The first without an outcome is where it ended; what comes after was not tried.
        untold = decision.reason if index == len(told) else "not tried"
        passed, got = told.get(index, (False, untold))
        found.append(ExampleOutcome(example.call, example.expected, passed, got))
    return tuple(found)
