"""How a run ends: its exit code, and what is said of it beside the table."""

from __future__ import annotations

from typing import Final

from rich.console import Console

from orchestrator.cluster.session import ClusterError
from orchestrator.driver.execution import InvalidReference
from orchestrator.driver.notes import shown
from orchestrator.driver.pool import PoolBroken
from orchestrator.driver.regrade import RegradeError
from orchestrator.driver.scheduler import Scheduler
from orchestrator.driver.tracking import Tracking
from orchestrator.generate.service import FatalApiError
from orchestrator.journal.store import JournalBusy, JournalError
from orchestrator.plan.model import Plan
from orchestrator.report import conclusions
from orchestrator.track.mlflow_store import TrackingUnreachable

__all__ = [
    "BUDGET",
    "DONE",
    "EXPECTED",
    "FAILED",
    "INTERRUPTED",
    "STATUS",
    "TRACKED_STATUS",
    "closing_words",
    "exit_code",
    "how_to_resume",
    "say_failure",
]

DONE, FAILED, BUDGET, INTERRUPTED = 0, 1, 3, 130
"""Exit codes; 2 (configuration) is given before a run starts."""

EXPECTED: Final = (
    ClusterError,
    FatalApiError,
    InvalidReference,
    JournalBusy,
    JournalError,
    OSError,
    PoolBroken,
    RegradeError,
    TrackingUnreachable,
)
"""What ends a run with one sentence. Anything else is a fault of ours and keeps its traceback."""

STATUS: Final = {DONE: "done", FAILED: "failed", BUDGET: "budget", INTERRUPTED: "interrupted"}
"""As ``plan.json`` records it."""

TRACKED_STATUS: Final = {DONE: "FINISHED", FAILED: "FAILED", BUDGET: "FINISHED", INTERRUPTED: "KILLED"}
"""As MLflow knows it. A budget that ends a sweep does what it was set for; the tag ``status`` names it."""


def exit_code(scheduler: Scheduler | None, *, interrupted: bool) -> int:
    """What the command returns, as things stand."""
    if scheduler is not None and scheduler.failure is not None:
        return FAILED
    if interrupted:
        return INTERRUPTED
    if scheduler is not None and scheduler.budget_refusals:
        return BUDGET
    return DONE


def how_to_resume(plan: Plan, code: int) -> str:
    """The line that goes on where a run stopped."""
    larger = f" budget.usd={2 * (plan.config.budget.usd or 0.0):g}" if code == BUDGET else ""
    return f"to go on: python -m orchestrator resume={shown(plan.run_dir)}{larger}"


def say_failure(console: Console, failure: BaseException) -> None:
    """One sentence on what ended the run."""
    console.print(f"run failed: {failure}", style="bold red", highlight=False, markup=False, soft_wrap=True)


def closing_words(console: Console, plan: Plan, scheduler: Scheduler | None, tracking: Tracking, code: int) -> None:
    """What a person needs to know below the table.

    Raises:
        BaseException: what ended the run, where it was a fault of ours.
    """
    for line in conclusions(plan.run_dir):
        console.print(line, style="bold", highlight=False, markup=False, soft_wrap=True)
    if scheduler is not None and (failure := scheduler.failure) is not None:
        if not isinstance(failure, EXPECTED):
            raise failure
        say_failure(console, failure)
    if code == BUDGET:
        refused = scheduler.budget_refusals if scheduler is not None else 0
        console.print(
            f"the budget is used up: {refused} trials were not run; a larger one goes on where this stopped:",
            highlight=False,
        )
    if code != DONE:
        console.print(how_to_resume(plan, code), highlight=False, markup=False, soft_wrap=True)
    if tracking.failure is not None:
        console.print(tracking.failure, style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {shown(plan.run_dir / 'report.html')}", highlight=False, soft_wrap=True)
    if tracking.enabled:
        console.print(tracking.how_to_look, highlight=False, markup=False, soft_wrap=True)
