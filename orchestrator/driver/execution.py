"""Verdicts as durable steps: the journal first, then a slot; each program judged once however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.core.digests import digest
from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import ExampleTests, GpuTests, Limits, Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.pool import ExecutionPool
from orchestrator.journal.store import Journal

__all__ = ["Executed", "ExecutionService", "InvalidReference", "LimitOverrides"]


class InvalidReference(Exception):
    """A problem's own reference fails its own tests: nothing can be measured with it."""


@dataclass(frozen=True, slots=True)
class LimitOverrides:
    """Limits set in the configuration; None keeps the problem's."""

    cpu_s: float | None = None
    wall_s: float | None = None
    memory_bytes: int | None = None
    output_bytes: int | None = None

    def apply(self, problem: Problem) -> Problem:
        """The problem with these limits."""
        limits = replace(
            problem.limits,
            **{
                name: value
                for name in ("cpu_s", "wall_s", "memory_bytes", "output_bytes")
                if (value := getattr(self, name)) is not None
            },
        )
        return replace(problem, limits=limits) if limits != problem.limits else problem


@dataclass(frozen=True, slots=True)
class Executed:
    """An execution and where it came from."""

    execution: Execution
    key: str
    resumed: bool
    """Answered from the journal."""


class ExecutionService:
    """Runs programs of one hardware class."""

    def __init__(self, pool: ExecutionPool, journal: Journal, *, seed: int, limits: str = "") -> None:
        """``limits`` are those that the configuration sets, in its own words."""
        self._pool = pool
        self._journal = journal
        self._seed = seed
        self._limits = limits
        self._prepared: dict[tuple[str, Limits], tuple[Problem, Preparation]] = {}
        self._in_flight: dict[str, asyncio.Task[Execution]] = {}

    @property
    def pool(self) -> ExecutionPool:
        """The slots behind this service."""
        return self._pool

    async def prepare(self, problems: Iterable[Problem]) -> list[str]:
        """Run every reference on its own tests and settle limits and examples. Returns notes for people.

        Raises:
            InvalidReference: naming every problem whose reference fails.
        """
        await self._pool.ready()
        wanted = [p for p in problems if (p.digest, p.limits) not in self._prepared]
        done = await asyncio.gather(*(self._prepare(problem) for problem in wanted))
        notes: list[str] = []
        invalid = [p for p in done if p.verdict is not Verdict.PASSED]
        if invalid:
            listed = "; ".join(
                f"{p.problem_id}: {p.verdict} ({p.reason.removeprefix('invalid reference: ')})" for p in invalid[:5]
            )
            more = f" and {len(invalid) - 5} more" if len(invalid) > 5 else ""
            # A reference that passes within the problem's own limits may fail within those that were set.
            set_here = f"; limits that were set: {self._limits}" if self._limits else ""
            raise InvalidReference(f"invalid reference: {listed}{more}{set_here}")
        for problem, preparation in zip(wanted, done, strict=True):
            if preparation.dropped_examples:
                shown = ", ".join(problem.public.examples[i].call for i in preparation.dropped_examples)
                notes.append(f"{problem.id}: the reference fails its own example(s) {shown}; left out")
            self._prepared[problem.digest, problem.limits] = (_without(problem, preparation), preparation)
        return notes

    async def _prepare(self, problem: Problem) -> Preparation:
        # The journal's copy is good for the same machine class only: CPU limits and recordings come from it.
        for isolation in sorted(self._pool.isolations):
            key = self._preparation_key(problem, isolation)
            known = await self._journal.preparation(key)
            if known is not None:
                return known
        preparation = await self._pool.prepare(problem, self._seed)
        if preparation.verdict is Verdict.PASSED:
            isolation = sorted(self._pool.isolations)[0]
            await self._journal.put_preparation(self._preparation_key(problem, isolation), preparation)
        return preparation

    def _preparation_key(self, problem: Problem, isolation: str) -> str:
        return "p-" + digest(problem.digest, problem.limits, self._seed, isolation, self._pool.name)

    def examples(self, problem: Problem) -> int:
        """Public examples that feedback has for a prepared problem."""
        prepared, _ = self._prepared[problem.digest, problem.limits]
        return len(prepared.public.examples)

    def job(self, problem: Problem, program: str, tests: str, *, tell: bool = False) -> Job:
        """The job for a program of a prepared problem; ``tell``: with what an oracle says of scoring tests."""
        _, preparation = self._prepared[problem.digest, problem.limits]
        return Job(
            problem_id=problem.id,
            program=program,
            tests="scoring" if tests == "scoring" else "feedback",
            seed=self._seed,
            limits=preparation.limits,
            tell=tell,
        )

    async def execute(self, problem: Problem, job: Job, *, priority: int) -> Executed:
        """Run a program, or take its verdict from the journal.

        Raises:
            Stopped: the sweep is stopping and the program was not started.
            PoolBroken: there are no slots and none can be started.
            JournalError: the verdict could not be written.
        """
        problem, preparation = self._prepared[problem.digest, problem.limits]
        # An oracle's execution holds the grade too; whoever asks for that alone is told nothing else.
        holds_more = not job.tells and isinstance(problem.scoring, GpuTests)
        others = (replace(job, tell=True),) if holds_more else ()
        for asked in (job, *others):
            for isolation in sorted(self._pool.isolations):
                key = asked.key(problem, isolation, self._pool.name)
                known = await self._journal.verdict(key)
                if known is not None:
                    return Executed(known if asked is job else known.untold(), key, resumed=True)
        for asked in (job, *others):
            running = self._in_flight.get(asked.key(problem, "", self._pool.name))
            if running is not None:
                break
        else:
            asked, running = job, self._start(problem, preparation, job, priority)
        done = await asyncio.shield(running)
        key = asked.key(problem, done.isolation, self._pool.name)
        return Executed(done if asked is job else done.untold(), key, resumed=False)

    def _start(
        self, problem: Problem, preparation: Preparation, job: Job, priority: int
    ) -> asyncio.Task[Execution]:
        shared = job.key(problem, "", self._pool.name)
        task = asyncio.create_task(self._run(problem, preparation, job, priority))
        self._in_flight[shared] = task
        task.add_done_callback(lambda done: self._ended(shared, done))
        return task

    def _ended(self, shared: str, task: asyncio.Task[Execution]) -> None:
        self._in_flight.pop(shared, None)
        if not task.cancelled():
            # Marks an error as seen: those who wait for it get it, and when the sweep stops there may be none left.
            task.exception()

    async def _run(self, problem: Problem, preparation: Preparation, job: Job, priority: int) -> Execution:
        execution = await self._pool.run(problem, preparation, job, priority=priority)
        if execution.provisional and job.tests == "scoring":
            # It ran into a limit that a busy machine can cause: what it does alone decides.
            first = execution
            execution = await self._pool.run(problem, preparation, replace(job, alone=True), priority=priority)
            execution = replace(execution, lease_s=execution.lease_s + first.lease_s)
        if execution.verdict is not Verdict.INFRASTRUCTURE:
            key = job.key(problem, execution.isolation, self._pool.name)
            await self._journal.put_verdict(key, job, execution)
        return execution


def _without(problem: Problem, preparation: Preparation) -> Problem:
    """The problem without the public examples that its own reference fails."""
    if not preparation.dropped_examples or not isinstance(problem.feedback, ExampleTests):
        return problem
    kept = tuple(
        example
        for index, example in enumerate(problem.feedback.examples)
        if index not in preparation.dropped_examples
    )
    return replace(
        problem,
        feedback=replace(problem.feedback, examples=kept),
        public=replace(problem.public, examples=kept),
    )
