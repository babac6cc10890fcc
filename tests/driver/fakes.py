"""Slots and problems without Ray, for what the driver does by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import ExampleTests, GpuTests, Limits, Problem, PublicProblem, PythonTests
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.slots import SlotDied

LIMITS = Limits(2.0, 15.0)


def problem(name: str = "fake/0") -> Problem:
    return Problem(
        public=PublicProblem(name, "fake", "def f(x):\n", "f"),
        scoring=PythonTests("", "def check(candidate): assert candidate(1) == 2"),
        feedback=ExampleTests("", ()),
        reference="def f(x):\n    return x + 1\n",
        limits=LIMITS,
    )


def gpu_problem(name: str = "gpu/fake") -> Problem:
    return Problem(
        public=PublicProblem(name, "gpu", "Write it.", "solve", "torch"),
        scoring=GpuTests("scoring", "fake", "fp32", (1,)),
        feedback=GpuTests("feedback", "fake", "fp32", (2,)),
        reference="def solve(x, out):\n    out.copy_(x)\n",
        limits=LIMITS,
    )


def job(program: str = "p", *, alone: bool = False, tests: str = "scoring") -> Job:
    return Job("fake/0", program, "scoring" if tests == "scoring" else "feedback", 0, LIMITS, alone)


def passed(seconds: float = 0.0) -> Execution:
    return Execution(Verdict.PASSED, "", cpu_s=seconds, wall_s=seconds, lease_s=1.0, isolation="full")


Behaviour = Callable[["FakeSlot", Job], Execution]


@dataclass(eq=False)
class FakeSlot:
    """Runs ``behave``; raising :class:`SlotDied` there kills it."""

    behave: Behaviour
    node: str = "node"
    isolation: str = "full"
    card: str = ""
    ran: list[Job] = field(default_factory=list)
    closed: bool = False
    delay: float = 0.0
    place: str = ""
    failure: str = ""
    parked: bool = False

    def __post_init__(self) -> None:
        self.place = self.place or self.node

    async def prepare(self, problem: Problem, seed: int) -> Preparation:
        return Preparation(problem.id, Verdict.PASSED, "", problem.limits)

    async def run(self, problem: Problem, preparation: Preparation, job: Job) -> Execution:
        self.ran.append(job)
        await asyncio.sleep(self.delay)
        if self.closed:
            raise SlotDied("closed")
        return self.behave(self, job)

    async def park(self) -> None:
        self.parked = True

    async def close(self) -> None:
        self.closed = True


class FakeSlots:
    """Makes slots and remembers them."""

    def __init__(self, behave: Behaviour, *, nodes: int = 1, delay: float = 0.0, failing: int = 0) -> None:
        self.behave = behave
        self.nodes = nodes
        self.delay = delay
        self.failing = failing
        self.made: list[FakeSlot] = []
        self.starts = 0

    async def start(self) -> FakeSlot:
        self.starts += 1
        if self.starts <= self.failing:
            raise SlotDied("will not start")
        slot = FakeSlot(self.behave, node=f"node{len(self.made) % self.nodes}", delay=self.delay)
        self.made.append(slot)
        return slot
