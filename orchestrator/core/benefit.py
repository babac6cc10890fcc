"""The article's Table 2 (cost and benefit), every figure computed and its formula shown with the numbers in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.claims import TABLE_2, ClaimedCost
from orchestrator.core.cost import hourly_rates
from orchestrator.core.findings import Evidence
from orchestrator.core.rows import is_graded, number, values_of
from orchestrator.core.statistics import median
from orchestrator.core.summary import CellSummary

__all__ = ["BenefitRow", "benefit_table"]


@dataclass(frozen=True, slots=True)
class BenefitRow:
    """One figure of Table 2."""

    system: str
    """Label of the cell, or the article's name where the run has none."""
    quantity: str
    claimed: str
    computed: str
    """``n/a`` where a number that it needs is unknown."""
    formula: str
    """With the numbers filled in, or which of them is missing."""
    synthetic: bool


def benefit_table(evidence: Evidence) -> list[BenefitRow]:
    """Three rows (cost, time per iteration, scalability) for each cell of the three systems."""
    rows: list[BenefitRow] = []
    for claim in TABLE_2:
        cells = [c for c in evidence.summary.cells if c.system == claim.system and c.graded]
        if not cells:
            missing = f"this run has no graded {claim.system}"
            rows.append(BenefitRow(claim.name, "cost", claim.usd_text, "n/a", missing, False))
        for cell in cells:
            rows.extend(_rows(claim, cell, evidence))
    return rows


def _rows(claim: ClaimedCost, cell: CellSummary, evidence: Evidence) -> list[BenefitRow]:
    hardware = evidence.hardware.get(cell.hardware or "", {})
    made = [
        ("cost", claim.usd_text, *_cost(claim, cell, hardware, evidence.rates)),
        ("time per iteration", f"{claim.iteration_s:g} s", *_iteration(cell, evidence)),
        ("scalability", claim.scalability, *_throughput(cell, evidence)),
    ]
    synthetic = cell.synthetic
    return [BenefitRow(cell.label, q, claimed, value, formula, synthetic) for q, claimed, value, formula in made]


def _cost(
    claim: ClaimedCost, cell: CellSummary, hardware: Mapping[str, Any], rates: Mapping[str, Any]
) -> tuple[str, str]:
    month = number(rates.get("problems_per_month"))
    api = None
    api_formula = "the API price per problem or rates.problems_per_month is unknown"
    if cell.usd_per_problem is not None and month is not None:
        api = cell.usd_per_problem * month
        api_formula = f"${cell.usd_per_problem:.5f} a problem x {month:,.0f} problems a month"
        if cell.usd_per_problem > 0:
            api_formula += f" ($150 would buy {150 / cell.usd_per_problem:,.0f})"
    if claim.system == "generate_only":
        return (f"${api:,.2f} a month", api_formula) if api is not None else ("n/a", api_formula)
    price = number(hardware.get("purchase_usd"))
    if price is None:
        return "n/a", f"hardware {cell.hardware} has no purchase_usd{_articles_card(cell, rates)}"
    hourly = hourly_rates(hardware, rates)
    if claim.system == "execute_only":
        return f"${price:,.0f} once", f"hardware.{cell.hardware}.purchase_usd; {hourly.formula}"
    if api is None:
        return "n/a", api_formula
    text = f"${price:,.0f} once and ${api:,.2f} a month"
    return text, f"{api_formula}; the article adds a price paid once to one paid every month"


def _articles_card(cell: CellSummary, rates: Mapping[str, Any]) -> str:
    """What the article's price for a card comes to a month, and how many solved problems the API sells for that."""
    years = number(rates.get("useful_years"))
    if not years:
        return ""
    price = next(row.usd for row in TABLE_2 if row.system == "execute_only")
    month = price / (12 * years)
    text = f"; the article's ${price:,.0f} over {years:g} years is ${month:.2f} a month"
    if cell.usd_per_solved:
        bought = month / cell.usd_per_solved
        text += (
            f", which buys {bought:,.0f} solved problems of this system at ${cell.usd_per_solved:.5f} of API each"
        )
    return text


def _iteration(cell: CellSummary, evidence: Evidence) -> tuple[str, str]:
    rows = evidence.rows.get(cell.id, ())
    runs = [
        value / max(1.0, number(row.get("turns")) or 1.0)
        for row in rows
        if (value := number(row.get("execute_s"))) is not None
    ]
    execution, generation = median(runs), median(evidence.generation_s.get(cell.id, ()))
    if cell.system == "execute_only":
        if execution is None:
            return "n/a", "no execution was timed"
        return f"{execution:.3g} s", f"median of {len(runs)} executions"
    if generation is None:
        return "n/a", "no reply was timed in this run"
    if cell.system == "generate_only" or execution is None:
        return f"{generation:.3g} s", f"median seconds of {len(evidence.generation_s[cell.id])} replies"
    return (
        f"{generation + execution:.3g} s",
        f"{generation:.3g} s median reply + {execution:.3g} s median execution a turn; it holds a whole reply, "
        "so the claimed 0.4 s would be less than one of its parts, claimed as 2.1 s",
    )


def _throughput(cell: CellSummary, evidence: Evidence) -> tuple[str, str]:
    graded = [row for row in evidence.rows.get(cell.id, ()) if is_graded(row)]
    untimed = len(graded) - len(values_of(graded, "started_at"))
    if untimed:
        return "n/a", f"the elapsed time of {untimed} of {len(graded)} trials is unknown, as after a resume"
    if not cell.wall_s:
        return "n/a", "the cell's elapsed time is unknown"
    hourly = cell.graded / cell.wall_s * 3600
    # Several samples of a problem are as many tries.
    what = "problems" if cell.graded == cell.problems else "tries at a problem"
    return f"{hourly:,.0f} {what} an hour", (
        f"{cell.graded} graded / {cell.wall_s:,.1f} s elapsed x 3600, at this run's own concurrency; "
        "the article gives a word and no figure"
    )
