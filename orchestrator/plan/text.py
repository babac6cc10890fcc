"""A plan as lines for a terminal: what ``plan=true`` prints."""

from __future__ import annotations

import shutil
import textwrap
from decimal import Decimal

from orchestrator.plan.cost import Load, PlanCost, estimate
from orchestrator.plan.counting import TokenCounts
from orchestrator.plan.limits import known_limits
from orchestrator.plan.model import Cell, Plan

__all__ = ["cost_lines", "plan_text"]


def plan_text(plan: Plan, width: int | None = None, counts: TokenCounts | None = None) -> str:
    """Cells, trials, requests, tokens, dollars and time of a plan.

    Args:
        plan: a checked plan.
        width: columns; by default the terminal's. Where the table does not fit, every cell takes several lines.
        counts: the provider's count of the plan's requests, where it was asked.
    """
    columns = max(30, width or shutil.get_terminal_size((100, 24)).columns)
    counts = counts or TokenCounts()
    cost = estimate(plan, counts)
    lines = [
        f"Plan {plan.name}: {_many(len(plan.cells), 'cell')}, {_many(plan.trial_count, 'trial')}",
        f"Files would go to {plan.run_dir}" if not plan.resume else f"Goes on in {plan.run_dir}",
        "",
        *_cells(plan, cost, columns),
        "",
    ]
    for note in (*plan.notes, *cost_lines(plan, cost, counts), "Nothing was run and nothing was spent."):
        lines.extend(textwrap.wrap(note, columns))
    return "\n".join(lines) + "\n"


def cost_lines(plan: Plan, cost: PlanCost | None = None, counts: TokenCounts | None = None) -> list[str]:
    """What the plan's replies can cost and how long the limits hold them, a sentence a line.

    Args:
        plan: a checked plan.
        cost: its estimate, where it has been made already.
        counts: what that was made with.

    Returns:
        Nothing where no model is asked.
    """
    if plan.regrade is not None:
        return [f"No model is asked: the programs of {plan.regrade} are judged anew."]
    cost = cost or estimate(plan)
    if cost.requests_low == 0:
        return []
    lines: list[str] = []
    standing = list(dict.fromkeys(cell.config.model.name for cell in plan.cells if cell.stand_in))
    if standing:
        lines.append(
            f"No API key: rehearsal stands in for {', '.join(standing)}; no model is called and pass rates are "
            "synthetic."
        )
    counts = counts or TokenCounts()
    requests = _between(f"{cost.requests_low:,}", f"{cost.requests_high:,}")
    lines.append(
        f"{requests} requests; first answers alone are about {cost.input_tokens_low:,} tokens in ({counts.how}) "
        f"and {cost.output_tokens_low:,} out (as long as the references)."
    )
    if counts.failure:
        lines.append(f"The API did not count all tokens: {counts.failure}.")
    lines.extend(f"{warning}." for warning in cost.warnings)
    if cost.sources:
        kind = "synthetic dollars" if cost.synthetic else "dollars"
        lines.append(
            f"{_usd(cost.usd_low)} to {_usd(cost.usd_high)} in {kind}: from first answers as long as the "
            "references, to every turn used and every reply at its cap of tokens."
        )
        cap = plan.config.budget.usd
        if cap is None and not cost.synthetic:
            lines.append("No budget is set: budget.usd caps what is spent.")
        elif cap is not None and not cost.synthetic and cost.usd_high > Decimal(str(cap)):
            lines.append(
                f"budget.usd={cap:g} caps it: when that is used up the rest is not run, and can be resumed."
            )
        lines.append(f"Prices: {'; '.join(cost.sources)}.")
    lines.extend(line for load in cost.loads if (line := _time_line(plan, load)))
    if plan.resume:
        lines.append("This is the whole plan: what the journal holds already is not bought again.")
    return lines


def _time_line(plan: Plan, load: Load) -> str:
    """How long the account's limits alone make a model's replies take; empty where there are none."""
    from orchestrator.generate.forecasts import seconds_at_limits

    cell = load.cell
    name = cell.config.model.id
    if cell.config.model.kind == "local":
        return ""
    if load.batch:
        return f"{name}: Message Batches have queues of their own; the API ends each within 24 hours."
    limits = known_limits(cell, plan)
    if limits is None:
        return f"{name}: no run here has been told the account's limits yet, so how long they hold it is not known."
    low = seconds_at_limits(load.requests_low, load.input_low, load.output_low, limits.per_minute)
    high = seconds_at_limits(load.requests_high, load.input_high, load.output_high, limits.per_minute)
    if low is None or high is None:
        return ""
    words = ", ".join(f"{limit:,.0f} {family.replace('-', ' ')}" for family, limit in limits.per_minute.items())
    return f"{name}: {_between(_time(low), _time(high))} at the limits of {words} a minute ({limits.source})."


def _time(seconds: float) -> str:
    """Seconds beyond the minute's worth that an account has at the start."""
    if seconds <= 0:
        return "no wait"
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _cells(plan: Plan, cost: PlanCost, columns: int) -> list[str]:
    """A line a cell where all of them fit, several otherwise."""
    wide = _wide(plan, cost)
    return wide if max(map(len, wide)) <= columns else _narrow(plan, cost)


def _wide(plan: Plan, cost: PlanCost) -> list[str]:
    rows = [("cell", "problems", "trials", "requests", "shared", "runs on")]
    for cell, asked in zip(plan.cells, cost.cells, strict=True):
        requests = _requests(asked.requests_low, asked.requests_high)
        shared = f"{asked.shared:,}" if asked.shared else ""
        rows.append((cell.id, f"{len(cell.problems):,}", f"{cell.trials:,}", requests, shared, _place(cell)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *counts, last in rows:
        numbers = (f"{count:>{width}}" for count, width in zip(counts, widths[1:-1], strict=True))
        lines.append("  ".join((f"{first:<{widths[0]}}", *numbers, last)))
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _narrow(plan: Plan, cost: PlanCost) -> list[str]:
    lines: list[str] = []
    for cell, asked in zip(plan.cells, cost.cells, strict=True):
        lines.append(cell.id)
        lines.append(f"  {_many(len(cell.problems), 'problem')}, {_many(cell.trials, 'trial')}")
        shared = f" ({asked.shared:,} shared)" if asked.shared else ""
        lines.append(f"  requests {_requests(asked.requests_low, asked.requests_high)}{shared}")
        lines.append(f"  runs on {_place(cell)}")
    return lines


def _place(cell: Cell) -> str:
    return f"{cell.hardware.name} ({'GPU' if cell.needs_gpu else 'CPU'})"


def _requests(low: int, high: int) -> str:
    return "none" if high == 0 else _between(f"{low:,}", f"{high:,}")


def _between(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _usd(amount: Decimal) -> str:
    return f"${amount:,.2f}" if amount >= Decimal("0.01") or amount == 0 else f"${amount:.4f}"
