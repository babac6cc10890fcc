"""How a run ends: its exit code, and what is said of it beside the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from rich.console import Console

from orchestrator.cluster.session import ClusterError
from orchestrator.driver.execution import InvalidReference
from orchestrator.driver.generation import OpenBatches
from orchestrator.driver.notes import shown
from orchestrator.driver.pool import PoolBroken
from orchestrator.driver.regrade import RegradeError
from orchestrator.driver.scheduler import Scheduler
from orchestrator.driver.tracking import Tracking
from orchestrator.generate.rehearsal.process import RehearsalServerError
from orchestrator.generate.service import FatalApiError
from orchestrator.journal.store import JournalBusy, JournalError
from orchestrator.plan.model import Plan
from orchestrator.report import conclusions
from orchestrator.report.errors import ReportError
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
    OpenBatches,
    PoolBroken,
    RegradeError,
    RehearsalServerError,
    ReportError,
    TrackingUnreachable,
)
"""What ends a run with one sentence. Anything else is a fault of ours and keeps its traceback."""

STATUS: Final = {DONE: "done", FAILED: "failed", BUDGET: "budget", INTERRUPTED: "interrupted"}
"""As ``plan.json`` records it."""

TRACKED_STATUS: Final = {DONE: "FINISHED", FAILED: "FAILED", BUDGET: "FINISHED", INTERRUPTED: "KILLED"}
"""As MLflow knows it. A budget that ends a sweep does what it was set for; the tag ``status`` names it."""


_NOTHING: Final[Mapping[str, Decimal]] = MappingProxyType({})


def exit_code(scheduler: Scheduler | None, *, interrupted: bool) -> int:
    """What the command returns, as things stand. A sweep in which nothing worked has failed, whatever it says."""
    if scheduler is not None and scheduler.failure is not None:
        return FAILED
    if interrupted:
        return INTERRUPTED
    if _nothing_worked(scheduler):
        return FAILED
    if scheduler is not None and (scheduler.budget_refusals or scheduler.budget_cuts):
        return BUDGET
    return DONE


def _nothing_worked(scheduler: Scheduler | None) -> bool:
    return scheduler is not None and not scheduler.graded and bool(scheduler.infrastructure)


def how_to_resume(plan: Plan, needed: Mapping[str, Decimal] = _NOTHING) -> str:
    """The line that goes on where a run stopped.

    Args:
        plan: what was run.
        needed: configuration keys of the budgets that were too small, and dollars that one more step needed.
    """
    caps = {f"budget.{name}": cap or 0.0 for name, cap in asdict(plan.config.budget).items()}
    larger = "".join(f" {key}={2 * max(caps[key], float(least)):.6g}" for key, least in sorted(needed.items()))
    return f"to go on: python -m orchestrator resume={shown(plan.run_dir)}{larger}"


def _used_up(scheduler: Scheduler | None) -> str:
    refused, cut = (scheduler.budget_refusals, scheduler.budget_cuts) if scheduler is not None else (0, 0)
    left = [f"{_trials(refused)} not run"] * bool(refused)
    left += [f"{_trials(cut, 'solved ')} not taken further"] * bool(cut)
    return f"the budget is used up: {' and '.join(left)}; a larger one goes on where this stopped:"


def _trials(count: int, kind: str = "") -> str:
    return f"1 {kind}trial was" if count == 1 else f"{count} {kind}trials were"


def say_failure(console: Console, failure: BaseException | str) -> None:
    """One sentence on what ended the run."""
    console.print(f"run failed: {failure}", style="bold red", highlight=False, markup=False, soft_wrap=True)


def closing_words(console: Console, plan: Plan, scheduler: Scheduler | None, tracking: Tracking, code: int) -> None:
    """What a person needs to know below the table.

    Raises:
        BaseException: what ended the run, where it was a fault of ours.
    """
    for line in conclusions(plan.run_dir):
        # Between words in a terminal; in a file a sentence is a line, which can be searched for.
        console.print(line, style="bold", highlight=False, markup=False, soft_wrap=not console.is_terminal)
    if scheduler is not None and (failure := scheduler.failure) is not None:
        if not isinstance(failure, EXPECTED):
            raise failure
        say_failure(console, failure)
    elif scheduler is not None and code == FAILED and _nothing_worked(scheduler):
        ((reason, _),) = scheduler.infrastructure.most_common(1)
        count = scheduler.infrastructure.total()
        say_failure(console, f"nothing was graded, and {_trials(count)} infrastructure, most often: {reason}")
    needed = scheduler.budgets_needed if scheduler is not None and code in (BUDGET, FAILED) else _NOTHING
    if code == BUDGET or needed:
        console.print(_used_up(scheduler), highlight=False, soft_wrap=True)
    if code != DONE:
        console.print(how_to_resume(plan, needed), highlight=False, markup=False, soft_wrap=True)
    if tracking.failure is not None:
        console.print(tracking.failure, style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {shown(plan.run_dir / 'report.html')}", highlight=False, soft_wrap=True)
    if tracking.enabled:
        console.print(tracking.how_to_look, highlight=False, markup=False, soft_wrap=True)
