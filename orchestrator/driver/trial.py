"""One trial: a system at work on a problem, every step of it recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.execution import Execution, Feedback, Grade
from orchestrator.core.extraction import Extraction
from orchestrator.core.feedback import feedback_text
from orchestrator.core.generation import Message, Reply
from orchestrator.core.gpu import HOST_MEMORY
from orchestrator.core.money import AccountRef
from orchestrator.core.problems import ExampleTests, GpuTests, Problem, PublicProblem
from orchestrator.core.systems import Outcome
from orchestrator.core.verdicts import GRADED, Verdict
from orchestrator.driver.execution import ExecutionService
from orchestrator.driver.replies import Prompt, ReplySource
from orchestrator.track.progress import Activity

__all__ = ["CellRuntime", "StepFailed", "TrialTools"]


class StepFailed(Exception):
    """A step ended in our own failure; the trial is ``infrastructure``."""


@dataclass(slots=True)
class CellRuntime:
    """What all trials of one cell share."""

    id: str
    system: str
    turns: int
    oracle: bool
    """Feedback comes from the scoring tests: an upper bound."""
    executions: ExecutionService
    replies: ReplySource | None
    """None where the system asks no model."""
    prompt: Prompt | None
    synthetic: bool
    hardware: str
    """Hardware class."""
    several_samples: bool = False
    """Programs are tried on public tests too, so that one of several can be chosen without the scoring tests."""
    active: dict[Activity, int] = field(default_factory=lambda: {"generating": 0, "executing": 0})

    @contextmanager
    def doing(self, activity: Activity) -> Iterator[None]:
        """Count a step for the display."""
        self.active[activity] += 1
        try:
            yield
        finally:
            self.active[activity] -= 1


class TrialTools:
    """What a system may do in one trial (:class:`orchestrator.core.systems.Tools`), with a record of it."""

    def __init__(
        self,
        cell: CellRuntime,
        problem: Problem,
        sample: int,
        *,
        seen: Callable[[str], bool],
    ) -> None:
        """``seen`` tells whether a step's key was in the journal before this driver started."""
        self._cell = cell
        self._problem = problem
        self._sample = sample
        self._seen = seen
        self.id = f"{cell.id}/{problem.id}#{sample}"
        self.steps: list[dict[str, Any]] = []
        self.replies: list[Reply] = []
        self.executions: dict[str, Execution] = {}
        """By key: an execution that several steps share is counted once."""
        self._extracted: tuple[Reply, Extraction] | None = None
        self._graded: dict[str, Execution] = {}
        self._public: dict[str, Verdict] = {}

    # -- core.systems.Tools --------------------------------------------------------------------------------

    @property
    def problem(self) -> PublicProblem:
        """The problem as the generator may know it."""
        return self._problem.public

    @property
    def turns(self) -> int:
        """Most generate and execute rounds."""
        return self._cell.turns

    def opening(self) -> Message:
        """The first user message."""
        if self._cell.prompt is None:
            return Message("user", self.problem.prompt)
        return self._cell.prompt.opening(self.problem)

    def repair(self, feedback: Feedback) -> Message:
        """The user message that carries feedback back."""
        if self._cell.prompt is None:
            raise StepFailed(f"cell {self._cell.id} has no prompt to repair with")
        return self._cell.prompt.repair_message(feedback)

    async def generate(self, messages: tuple[Message, ...], turn: int) -> Reply:
        """Ask the model, once there is room for what it will answer."""
        source = self._cell.replies
        if source is None:
            raise StepFailed(f"cell {self._cell.id} asks no model")
        await self._cell.executions.pool.room()
        key = source.key(messages, self._sample)
        resumed = self._seen(key)
        account = AccountRef(cell=self._cell.id, trial=self.id, synthetic=self._cell.synthetic)
        started = time.time()
        with self._cell.doing("generating"):
            reply = await source.reply(self.problem, messages, sample=self._sample, turn=turn, account=account)
        self.replies.append(reply)
        self._record(
            turn,
            "generation",
            key,
            started,
            program=self.extract(reply).program,
            reply=reply.text,
            messages=json.dumps([{"role": m.role, "text": m.text} for m in messages]),
            stop_reason=reply.stop_reason,
            model_id=reply.model or None,
            request_id=reply.request_id or None,
            input_tokens=reply.usage.input_tokens,
            output_tokens=reply.usage.output_tokens,
            cache_read_tokens=reply.usage.cache_read_tokens,
            cache_write_tokens=reply.usage.cache_write_tokens,
            usd=reply.usd,
            lease_s=reply.latency_s or None,
            slot=reply.slot or None,
            synthetic=reply.synthetic,
            resumed=resumed,
        )
        return reply

    def extract(self, reply: Reply) -> Extraction:
        """Take the program from a reply."""
        if self._cell.replies is None:
            raise StepFailed(f"cell {self._cell.id} asks no model")
        # Asked twice for every reply, by the record and by the system, and parsing costs as much as journaling.
        if self._extracted is None or self._extracted[0] is not reply:
            self._extracted = (reply, self._cell.replies.extract(self.problem, reply))
        return self._extracted[1]

    async def feedback(self, program: str, turn: int) -> Feedback:
        """Run a program on feedback tests (on the scoring tests where the cell is an oracle's)."""
        tests = "scoring" if self._cell.oracle else "feedback"
        execution, step = await self._execute(program, tests, turn, "feedback", tell=self._cell.oracle)
        if not self._cell.oracle:
            self._public[program] = execution.verdict
        feedback = Feedback(
            verdict=execution.verdict,
            reason=execution.reason,
            outcomes=execution.outcomes,
            output=execution.output,
            gpu=execution.gpu_feedback,
            score=execution.gpu.speedup if execution.gpu is not None else None,
        )
        step["feedback"] = feedback_text(feedback)
        return feedback

    async def grade(self, program: str, turn: int) -> Grade:
        """Run a program on scoring tests."""
        execution, _ = await self._execute(program, "scoring", turn, "scoring")
        self._graded[program] = execution
        return Grade(execution.verdict)

    async def reference(self) -> Grade:
        """Run the suite's reference program on scoring tests."""
        execution, _ = await self._execute(self._problem.reference, "scoring", 1, "reference")
        self._graded[self._problem.reference] = execution
        return Grade(execution.verdict)

    # -- for the driver ------------------------------------------------------------------------------------

    async def choose_by_public_tests(self, outcome: Outcome) -> None:
        """Where a cell draws several samples: what the public tests say of the graded program."""
        program = outcome.program
        if self._cell.several_samples and program is not None and program not in self._public:
            execution, _ = await self._execute(program, "feedback", outcome.turns, "feedback")
            self._public[program] = execution.verdict

    def row(self, outcome: Outcome, started: float) -> dict[str, Any]:
        """The trial's columns that come from its steps."""
        program = self._problem.reference if self._cell.system == "execute_only" else outcome.program
        graded = self._graded.get(program) if program is not None else None
        reason = outcome.reason if graded is None else graded.reason
        gpu = graded.gpu if graded is not None else None
        peaks = [e.peak_memory_bytes for e in self.executions.values() if e.peak_memory_bytes is not None]
        walls = [e.wall_s for e in self.executions.values() if e.wall_s is not None]
        prices = [reply.usd for reply in self.replies]
        asked = self._cell.replies is not None
        feeds = self._cell.system == "hybrid"
        # GPU problems have no examples: their feedback tests are inputs of the scoring kind, drawn afresh.
        has_examples = isinstance(self._problem.feedback, ExampleTests)
        # What an earlier driver did took time that this one did not see.
        whole = not any(self._seen(step["key"]) for step in self.steps)
        ended = time.time()
        return {
            "cell": self._cell.id,
            "problem": self._problem.id,
            "problem_digest": self._problem.digest,
            "sample": self._sample,
            "turns": outcome.turns,
            "verdict": str(outcome.verdict),
            "reason": "" if outcome.verdict is Verdict.PASSED else reason,
            "first_turn_verdict": None if outcome.first_turn_verdict is None else str(outcome.first_turn_verdict),
            "public_verdict": str(self._public[program]) if program in self._public else None,
            "feedback": ("oracle" if self._cell.oracle else "public") if feeds else None,
            "feedback_examples": self._cell.executions.examples(self._problem) if feeds and has_examples else None,
            "model_id": next((r.model for r in self.replies if r.model), None),
            "cpu_s": graded.cpu_s if graded is not None else None,
            "wall_s": ended - started if whole else None,
            "peak_memory_bytes": max(peaks, default=None),
            "input_tokens": sum(r.usage.input_tokens for r in self.replies) if asked else None,
            "output_tokens": sum(r.usage.output_tokens for r in self.replies) if asked else None,
            "cache_read_tokens": sum(r.usage.cache_read_tokens for r in self.replies) if asked else None,
            "cache_write_tokens": sum(r.usage.cache_write_tokens for r in self.replies) if asked else None,
            "api_usd": _total(prices) if asked else 0.0,
            "execute_s": sum(walls) if walls else None,
            "lease_s": sum(e.lease_s for e in self.executions.values()),
            "node": graded.node if graded is not None else None,
            "gpu": gpu.name if gpu is not None and gpu.name != HOST_MEMORY else None,
            "isolation": graded.isolation if graded is not None else None,
            "synthetic": self._cell.synthetic,
            "started_at": started if whole else None,
            "ended_at": ended if whole else None,
            "dtype": scoring.dtype if isinstance(scoring := self._problem.scoring, GpuTests) else None,
            **_gpu_columns(graded),
        }

    async def _execute(
        self, program: str, tests: str, turn: int, kind: str, *, tell: bool = False
    ) -> tuple[Execution, dict[str, Any]]:
        """Run a program; returns the execution and its record."""
        service = self._cell.executions
        job = service.job(self._problem, program, tests, tell=tell)
        started = time.time()
        with self._cell.doing("executing"):
            done = await service.execute(self._problem, job, priority=-turn)
        execution = done.execution
        step = self._record(
            turn,
            kind,
            done.key,
            started,
            program=program,
            verdict=str(execution.verdict),
            reason=execution.reason,
            cpu_s=execution.cpu_s,
            wall_s=execution.wall_s,
            lease_s=execution.lease_s,
            node=execution.node,
            slot=execution.slot,
            resumed=done.resumed,
            **_speed(execution),
        )
        if execution.verdict not in GRADED:
            raise StepFailed(execution.reason)
        self.executions[done.key] = execution
        return execution, step

    def _record(self, turn: int, kind: str, key: str, started: float, **columns: Any) -> dict[str, Any]:
        ended = time.time()
        step = {
            "cell": json.dumps([self._cell.id]),
            "trial": self.id,
            "problem": self._problem.id,
            "sample": self._sample,
            "turn": turn,
            "kind": kind,
            "key": key,
            "started_at": started,
            "ended_at": ended,
            "wall_s": ended - started,
            **columns,
        }
        self.steps.append(step)
        return step


def _total(prices: list[float | None]) -> float | None:
    """The sum, unknown when any part is."""
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None


def _speed(execution: Execution) -> dict[str, Any]:
    """How fast a step's program was; nothing where it was not timed."""
    gpu = execution.gpu
    if gpu is None:
        return {}
    return {"gpu_time_s": gpu.time_s, "speedup": gpu.speedup, "cpu_speedup": gpu.cpu_speedup}


def _gpu_columns(execution: Execution | None) -> dict[str, Any]:
    gpu = execution.gpu if execution is not None else None
    if gpu is None:
        return {}
    return {
        "gpu_time_s": gpu.time_s,
        "gpu_time_low_s": gpu.time_low_s,
        "gpu_time_high_s": gpu.time_high_s,
        "gpu_reference_time_s": gpu.reference_time_s,
        "cpu_reference_time_s": gpu.cpu_reference_time_s,
        "speedup": gpu.speedup,
        "cpu_speedup": gpu.cpu_speedup,
        "comparison": gpu.comparison,
        "roofline_share": gpu.roofline_share,
        "bound": gpu.bound,
        "least_bytes": gpu.least_bytes,
        "operations": gpu.operations,
        "peak_bytes_per_s": gpu.peak_bytes_per_s,
        "peak_operations_per_s": gpu.peak_operations_per_s,
        "compile_s": gpu.compile_s,
        "gpu_peak_memory_bytes": gpu.peak_memory_bytes,
        "joules": gpu.joules,
        "joules_per_call": gpu.joules_per_call,
        "gpu_uuid": gpu.uuid or None,
        "gpu_rounds": gpu.rounds,
        "gpu_dropped_rounds": gpu.dropped_rounds,
        "gpu_clock_mhz": gpu.sm_clock_mhz,
        "gpu_temperature_c": gpu.temperature_c,
        "gpu_power_w": gpu.power_w,
        "gpu_throttle": gpu.throttle,
        "gpu_claimed_time_s": gpu.claimed_time_s,
    }
