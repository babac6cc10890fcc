"""What is asked of an execution actor, what it answers, and the narrow views that systems get of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from orchestrator.core.digests import digest
from orchestrator.core.gpu import GpuFeedback, GpuMeasures
from orchestrator.core.problems import FeedbackTests, GpuTests, Limits, Problem, ScoringTests
from orchestrator.core.verdicts import Verdict

__all__ = ["ExampleOutcome", "Execution", "Executor", "Feedback", "Grade", "Job", "Preparation"]


@dataclass(frozen=True, slots=True)
class Job:
    """One program to run against one set of tests."""

    problem_id: str
    program: str
    tests: Literal["feedback", "scoring"]
    """Which of the problem's tests; the tests themselves stay with the executor."""
    seed: int
    limits: Limits
    alone: bool = False
    """Nothing else runs on the node: a rerun whose verdict is final."""
    tell: bool = False
    """What was found on scoring tests is told too: for an oracle's feedback, and for nobody else."""

    @property
    def tells(self) -> bool:
        """Whether the execution may hold what a model could read. On feedback tests it always may."""
        return self.tell or self.tests == "feedback"

    def key(self, problem: Problem, isolation: str, hardware: str) -> str:
        """The journal key of the verdict (``alone`` is how it was obtained, not what was asked)."""
        tests: FeedbackTests | ScoringTests = problem.scoring if self.tests == "scoring" else problem.feedback
        asked = (self.program, problem.public.entry_point, tests, self.seed, self.limits, isolation, hardware)
        # Only GPU programs' executions hold more when they are told. Every other key stays what it was.
        more = self.tell and self.tests == "scoring" and isinstance(tests, GpuTests)
        return "e-" + digest(*asked, *(("told",) if more else ()))


@dataclass(frozen=True, slots=True)
class ExampleOutcome:
    """What a program did on one public example."""

    call: str
    expected: str
    passed: bool
    got: str
    """``repr`` of the answer, or ``TypeName: message`` of what it raised; capped."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What an execution actor reports, and what the journal keeps."""

    verdict: Verdict
    reason: str
    """One line; empty only for ``passed``."""
    cpu_s: float | None = None
    """The candidate's own user + system CPU seconds."""
    wall_s: float | None = None
    """Seconds from code sent to verdict."""
    peak_memory_bytes: int | None = None
    """The candidate's own peak resident memory; None where it could not be measured."""
    lease_s: float = 0.0
    """Seconds that the slot (and its GPU, if any) was held for this."""
    node: str = ""
    slot: str = ""
    """Which of the node's slots ran it."""
    isolation: str = ""
    provisional: bool = False
    """Finished between L and 2 L, or stopped by the wall clock: to be run again alone, which decides."""
    outcomes: tuple[ExampleOutcome, ...] = ()
    """Feedback tests only."""
    output: str = ""
    """What the program printed, capped. Only where the job tells."""
    gpu: GpuMeasures | None = None
    gpu_feedback: GpuFeedback | None = None
    """Only where the job tells."""

    def untold(self) -> Execution:
        """The same without anything that a model could read: a grade."""
        return replace(self, outcomes=(), output="", gpu_feedback=None)


@dataclass(frozen=True, slots=True)
class Preparation:
    """Result of running a problem's reference against its own tests, before anything is spent."""

    problem_id: str
    verdict: Verdict
    reason: str
    limits: Limits
    """The problem's limits, ``cpu_s`` settled: the larger of 2 s and 10 times what the reference took."""
    dropped_examples: tuple[int, ...] = ()
    """Indices of public examples that the reference itself fails; the driver leaves them out."""
    recording: bytes = b""
    """Opaque to the driver: the reference's call sequence, handed back with every job of this problem."""


@dataclass(frozen=True, slots=True)
class Grade:
    """All that a system may know of a scoring run."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Feedback:
    """All that may go back to a model: what happened on feedback tests (an oracle's: on the scoring tests)."""

    verdict: Verdict
    reason: str
    outcomes: tuple[ExampleOutcome, ...] = ()
    output: str = ""
    gpu: GpuFeedback | None = None
    score: float | None = field(default=None)
    """For problems with a speed: speedup over the GPU reference on feedback inputs; higher is better."""


class Executor(Protocol):
    """Runs programs in one slot. Lives inside an execution actor; never raises for what a program does.

    An exception from any method means that this executor is broken: the actor dies and the step is requeued.
    """

    @property
    def isolation(self) -> str:
        """``full`` or ``partial (what is missing)``: part of every verdict's key."""

    def prepare(self, problem: Problem, seed: int) -> Preparation:
        """Run the reference on all tests and record its calls. ``seed`` is the suite seed."""

    def run(self, problem: Problem, preparation: Preparation, job: Job) -> Execution:
        """Run one program and decide its verdict outside its process."""

    def close(self) -> None:
        """End every process, file and memory segment that this executor made."""
