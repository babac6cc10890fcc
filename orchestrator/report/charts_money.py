"""Charts of money: accuracy against cost, and where owning a card pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.claims import TABLE_2
from orchestrator.core.cost import hourly_rates, monthly_fixed, pareto_front
from orchestrator.core.rows import number
from orchestrator.core.summary import Rate, Summary
from orchestrator.report import words
from orchestrator.report.figure import Chart, chart, log_axis, safe, two_lines
from orchestrator.report.load import Run
from orchestrator.report.series import COLOURS, judged

__all__ = ["Purchase", "executed_usd", "month_chart", "pareto_chart", "purchases"]

MOST_LABELS = 5
CARD_USD = next(row.usd for row in TABLE_2 if row.system == "execute_only")
"""What the article says that its card costs."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """A way to spend money on a problem: a system as it ran, or the best of its samples by public tests."""

    label: str
    usd_per_problem: float
    rate: Rate
    colour: str
    chosen: bool = False
    """Whether public tests chose among samples."""


def purchases(summary: Summary, executed: Mapping[str, float] | None = None) -> list[Purchase]:
    """What can be bought for a known price above 0. Best of k costs k samples.

    ``executed``: dollars of a problem's execution by cell, to be added to those of the API.
    """
    found = []
    for i, cell in enumerate(summary.cells):
        usd = cell.usd_per_problem
        if cell not in judged(summary) or not usd or cell.pass_at_1 is None:
            continue
        usd += (executed or {}).get(cell.id, 0.0)
        colour = COLOURS[i % len(COLOURS)]
        found.append(Purchase(words.named(cell), usd, cell.pass_at_1, colour))
        for k, rate in cell.selected_at_k.items():
            found.append(Purchase(f"{words.named(cell)} · best of {k}", k * usd, rate, colour, chosen=True))
    return found


def executed_usd(run: Run, summary: Summary) -> dict[str, float]:
    """Dollars of a problem's execution by cell, where every judged cell's hardware has a price; else nothing.

    Some cells with and some without would not be compared fairly.
    """
    found = {}
    for cell in judged(summary):
        hourly = hourly_rates(run.hardware.get(cell.hardware or "", {}), run.rates).chosen
        if hourly is None or cell.lease_s is None or not cell.graded:
            return {}
        found[cell.id] = cell.lease_s / 3600 * hourly / cell.graded
    return found


def pareto_chart(summary: Summary, executed: Mapping[str, float] | None = None) -> Chart | None:
    """Accuracy against dollars a problem on a log scale, with the front drawn; ``executed`` as for purchases."""
    found = purchases(summary, executed)
    if not found:
        return None
    dollars = "API and execution dollars" if executed else "API dollars"
    points = [(s.usd_per_problem, s.rate.value) for s in found]
    front = pareto_front(points)
    # More labels than this run into each other; a legend takes their place.
    labelled = len(found) <= MOST_LABELS
    # Labels point inwards, so that none is cut off at the edge of a narrow screen.
    middle = (min(points)[0] * max(points)[0]) ** 0.5
    data: list[dict[str, object]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "line": {"shape": "hv", "dash": "dot", "width": 1.5, "color": "#888888"},
            "x": [x for x, _ in front],
            "y": [y * 100 for _, y in front],
            "name": "front",
            "hoverinfo": "skip",
        }
    ]
    for one in found:
        x, rate = one.usd_per_problem, one.rate
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text" if labelled else "markers",
                "name": safe(one.label),
                "text": [two_lines(one.label)],
                "textposition": "middle right" if x <= middle else "middle left",
                "x": [x],
                "y": [rate.value * 100],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [(rate.high - rate.value) * 100],
                    "arrayminus": [(rate.value - rate.low) * 100],
                    "thickness": 1.5,
                },
                "marker": {
                    "size": 12,
                    "color": one.colour,
                    "symbol": "square" if one.chosen else "circle",
                },
                "hovertemplate": f"{safe(one.label)}<br>{words.dollars(x)} a problem, %{{y:.1f}}%<extra></extra>",
            }
        )
    rest = [cell for cell in judged(summary) if not cell.usd_per_problem]
    squares = " Squares: the best of k samples, chosen by public tests." if any(s.chosen for s in found) else ""
    without = "".join(
        f" {words.named(cell)}: {'n/a' if cell.usd_per_problem is None else '$0'}, {words.solved(cell)}."
        for cell in rest
    )
    return chart(
        "pareto",
        "Accuracy against cost",
        f"{dollars} for one problem, on a log scale; a system on the dotted front is beaten by none on both."
        f"{squares}{' Not drawn for want of a price:' + without if without else ''}",
        data,
        {
            "height": 380,
            "xaxis": log_axis([x for x, _ in points], words.dollar_tick, title={"text": f"{dollars} a problem"}),
            "yaxis": {"ticksuffix": "%"},
            "showlegend": not labelled,
        },
        synthetic=summary.synthetic,
    )


def month_chart(summary: Summary, run: Run) -> Chart | None:
    """Dollars a month against solved problems a month: API only, and each priced card owned and rented."""
    counts = [10 ** (1 + i / 8) for i in range(41)]
    asking = any(cell.model is not None for cell in summary.cells)
    lines: list[tuple[str, float, float, str]] = []
    for cell in summary.cells:
        api = 0.0 if cell.model is None else cell.usd_per_solved
        # What runs only the suite's own programs solves nothing, so it is no alternative to what does.
        if api is None or not cell.passed or (asking and cell.model is None):
            continue
        if cell.system == "generate_only":
            lines.append((f"{cell.label}: API only", 0.0, api, "solid"))
            continue
        card = run.hardware.get(cell.hardware or "", {})
        hourly = hourly_rates(card, run.rates)
        if cell.lease_s is None:
            # Seconds that were not recorded are not free.
            continue
        hours = cell.lease_s / cell.passed / 3600
        fixed = monthly_fixed(card, run.rates)
        name = f"{words.named(cell)}: {card.get('name')}"
        if fixed is not None and hourly.energy is not None:
            lines.append((f"{name} owned", fixed, api + hours * hourly.energy, "solid"))
        if hourly.rented is not None:
            lines.append((f"{name} rented", 0.0, api + hours * hourly.rented, "dash"))
    drawn = [line for line in lines if line[1] or line[2]]
    if not drawn:
        return None
    years = number(run.rates.get("useful_years"))
    if all(name.endswith("API only") for name, _, _, _ in drawn):
        if not years:
            return None
        # No card of this run has a price; the article's is drawn as cheap as it can be: it solves for nothing.
        drawn.append(
            (f"the article's ${CARD_USD:,.0f} card, its price alone", CARD_USD / (12 * years), 0.0, "dash")
        )
    sums = [fixed + each * count for _, fixed, each, _ in drawn for count in (counts[0], counts[-1])]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": safe(name),
            "x": [float(f"{count:.4g}") for count in counts],
            "y": [float(f"{fixed + each * count:.4g}") for count in counts],
            "line": {"color": COLOURS[i % len(COLOURS)], "width": 2.5, "dash": dash},
            "hovertemplate": "%{x:,.0f} solved: $%{y:,.2f}<extra></extra>",
        }
        for i, (name, fixed, each, dash) in enumerate(drawn)
    ]
    return chart(
        "month",
        "Dollars a month",
        "Where two lines cross is the break-even. Owned: price less resale, spread over its useful life, and "
        "energy for the seconds it works; failures are charged. The article's card, where no card of this run has "
        "a price: its price over rates.useful_years, as if it solved everything by itself for nothing. The "
        "assumptions stand above.",
        data,
        {
            "height": 420,
            "xaxis": log_axis(counts, lambda x: f"{x:,.0f}", title={"text": "solved problems a month"}),
            "yaxis": log_axis(sums, words.dollar_tick),
            "showlegend": True,
        },
        synthetic=summary.synthetic,
    )
