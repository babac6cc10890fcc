"""Starts trials, a bounded number at a time, and turns whatever happens in them into rows."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from orchestrator.core.money import BudgetExhausted
from orchestrator.core.problems import Problem
from orchestrator.core.systems import Outcome, System
from orchestrator.core.verdicts import GRADED, Verdict
from orchestrator.driver.pool import PoolBroken, Stopped
from orchestrator.driver.trial import CellRuntime, StepFailed, TrialTools
from orchestrator.generate.service import FatalApiError, GenerationFailed, GenerationStopped
from orchestrator.journal.writer import JournalError

__all__ = ["Assignment", "Scheduler"]

_REQUEST_ID: Final = re.compile(r" \(request id [^)]*\)")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One trial to be made."""

    cell: CellRuntime
    problem: Problem
    sample: int


class Scheduler:
    """Runs assignments in order, ``window`` of them at once."""

    def __init__(
        self,
        *,
        window: int,
        system: Callable[[Assignment], System],
        seen: Callable[[str], bool],
        finished: Callable[[dict[str, Any], list[dict[str, Any]]], None],
        on_stop: Callable[[], None],
    ) -> None:
        """Prepare to run.

        Args:
            window: trials under way at once.
            system: what is done in a trial.
            seen: whether a step's key was in the journal before this driver started.
            finished: takes the row and the steps of every trial that has a verdict.
            on_stop: called once, when nothing new may start.
        """
        self._window = asyncio.Semaphore(window)
        self._system = system
        self._seen = seen
        self._finished = finished
        self._on_stop = on_stop
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.failure: BaseException | None = None
        """What ended the sweep before its time, other than the user."""
        self.budget_refusals = 0
        """Trials that were not run for want of money."""
        self.budget_cuts = 0
        """Trials that were graded, but would have gone on with more money."""
        self.budgets_needed: dict[str, Decimal] = {}
        """Configuration key of a budget that was too small, to the dollars that one more step needed of it."""
        self.graded = 0
        """Trials with a verdict that counts in rates."""
        self.infrastructure: Counter[str] = Counter()
        """Trials that got no verdict of that kind through no fault of the model, by their reasons."""
        self.started: float | None = None
        """Monotonic time of the first trial's start."""

    def widen(self, more: int) -> None:
        """Let so many trials more be under way at once: slots were added."""
        for _ in range(more):
            self._window.release()

    def stop(self) -> None:
        """Start nothing new; what is in flight is finished and kept."""
        if not self.stopping:
            self.stopping = True
            self._on_stop()

    def abort(self) -> None:
        """Do not wait for what is in flight either; its reservations stay unsettled."""
        self.stop()
        for task in self._tasks:
            task.cancel()

    async def run(self, assignments: Iterable[Assignment]) -> None:
        """Run all trials.

        Raises:
            BaseException: a fault of ours inside a trial, after everything in flight has ended.
        """
        for assignment in assignments:
            await self._window.acquire()
            if self.stopping:
                self._window.release()
                break
            if self.started is None:
                self.started = time.monotonic()
            task = asyncio.create_task(self._trial(assignment))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        while self._tasks:
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._window.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        self.stop()

    async def _trial(self, assignment: Assignment) -> None:
        tools = TrialTools(assignment.cell, assignment.problem, assignment.sample, seen=self._seen)
        started = time.time()
        try:
            outcome = await self._system(assignment)(tools)
            await tools.choose_by_public_tests(outcome)
            if outcome.unpaid is not None:
                self.budget_cuts += 1
                self._too_small(outcome.unpaid)
        except (Stopped, GenerationStopped):
            return
        except (FatalApiError, JournalError, PoolBroken) as error:
            self._fail(error)
            return
        except BudgetExhausted as error:
            self.budget_refusals += 1
            self._too_small(error)
            outcome = self._without_program(tools, Verdict.NOT_RUN, str(error))
        except (GenerationFailed, StepFailed) as error:
            outcome = self._without_program(tools, Verdict.INFRASTRUCTURE, str(error))
        row = tools.row(outcome, started)
        self._count(row)
        self._finished(row, tools.steps)

    def _count(self, row: dict[str, Any]) -> None:
        verdict = Verdict(row["verdict"])
        self.graded += verdict in GRADED
        if verdict is Verdict.INFRASTRUCTURE:
            # Equal failures differ in their requests' ids.
            self.infrastructure[_REQUEST_ID.sub("", row["reason"] or "no reason was recorded")] += 1

    def _too_small(self, error: BudgetExhausted) -> None:
        self.budgets_needed[error.key] = max(error.needed, self.budgets_needed.get(error.key, error.needed))

    @staticmethod
    def _without_program(tools: TrialTools, verdict: Verdict, reason: str) -> Outcome:
        line = reason.strip().splitlines()[0] if reason.strip() else verdict
        return Outcome(verdict, None, line, len(tools.replies), None)
