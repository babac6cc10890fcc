"""What is said around the table: banners before, notes after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

from orchestrator.driver.books import Books
from orchestrator.driver.record import run_status
from orchestrator.driver.setup import Work
from orchestrator.journal.store import holds_steps
from orchestrator.ledger import Ledger, Totals
from orchestrator.plan.folders import same_runs
from orchestrator.plan.model import Plan
from orchestrator.plan.text import cost_lines

__all__ = ["announce", "closing_notes", "synthetic_banner"]


def synthetic_banner(plan: Plan) -> Panel | None:
    """The banner of a run in which some answers come from no model; None for all others."""
    if not plan.synthetic:
        return None
    stood_in = sorted({cell.config.model.name for cell in plan.cells if cell.stand_in})
    why = (
        f"ANTHROPIC_API_KEY is not set, so rehearsal stands in for {', '.join(stood_in)}."
        if stood_in
        else "The model is rehearsal."
    )
    text = (
        "NO MODEL WAS CALLED. Pass rates, tokens and dollars below are SYNTHETIC:\n"
        f"{why} They say nothing about any model."
    )
    return Panel(text, style="bold white on red", expand=False)


def announce(plan: Plan, console: Console) -> None:
    """Say what is about to be done, before anything is."""
    banner = synthetic_banner(plan)
    if banner is not None:
        console.print(banner)
    for note in plan.notes:
        console.print(note, highlight=False, markup=False)
    cells, trials = len(plan.cells), plan.trial_count
    console.print(
        f"{plan.name}: {cells} cell{'s' * (cells != 1)}, {trials} trial{'s' * (trials != 1)}, "
        f"files in {shown(plan.run_dir)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if _spends(plan):
        for line in cost_lines(plan):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if plan.resume:
        console.print("resuming: finished steps answer from the journal", highlight=False)
        return
    for folder in reversed(same_runs(plan)):
        # A run that failed before its first step has nothing to go on with.
        if run_status(folder) != "done" and holds_steps(folder / "journal.sqlite"):
            command = f"python -m orchestrator resume={shown(folder)}"
            console.print(
                f"an identical plan was begun and not finished; to go on with it: {command}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
            break


def _spends(plan: Plan) -> bool:
    """Whether somebody will be charged for replies."""
    models = [cell.model for cell in plan.cells if not cell.synthetic]
    return plan.regrade is None and any(model is not None and model.kind == "anthropic" for model in models)


def closing_notes(works: Sequence[Work], ledger: Ledger, books: Books) -> list[str]:
    """What must be known to read the table."""
    notes: list[str] = []
    for work in works:
        runtime = work.runtime
        if runtime.system == "hybrid" and runtime.oracle:
            notes.append(f"{runtime.id}: feedback=oracle shows the scoring tests to the model: an upper bound")
    if books.from_cache:
        notes.append(f"{books.from_cache} replies were taken from the cache; other runs paid for them")
    for synthetic in (False, True):
        notes.extend(_money(ledger.totals(synthetic=synthetic), synthetic))
    return notes


def _money(totals: Totals, synthetic: bool) -> list[str]:
    if not totals.committed:
        return []
    kind = "synthetic dollars" if synthetic else "dollars"
    cap = "no cap" if totals.cap is None else f"a budget of ${totals.cap.normalize():f}"
    # What is still reserved at the end was left in flight: the next driver finds it unsettled.
    left = totals.unsettled + totals.reserved
    unsettled = f", and up to ${left:.4f} more that may have been charged (unsettled)"
    return [f"spent {totals.settled:.4f} {kind} of {cap}{unsettled if left else ''}"]


def shown(path: Path) -> str:
    """The path as a user would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
