"""Charts of what was solved and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.claims import claimed_system
from orchestrator.core.comparison import outcome
from orchestrator.core.findings import is_humaneval
from orchestrator.core.rows import Row
from orchestrator.core.summary import CellSummary, Summary
from orchestrator.report import words
from orchestrator.report.figure import Chart, cell_name, chart, rows_axis, safe
from orchestrator.report.series import COLOURS, VERDICT_COLOURS, Difference, turn_curve

__all__ = ["difference_chart", "rate_chart", "turn_chart", "verdict_chart"]

PERCENT = {"ticksuffix": "%"}
MEANINGS = {
    "wrong_answer": "an assertion of the tests did not hold",
    "error": "an exception, an early exit, or the function is missing",
    "timeout": "over its limit of time",
    "out_of_memory": "over its limit of memory",
    "no_code": "the reply held no program",
    "rejected": "the program broke a rule of the problem",
    "infrastructure": "our own failure, in no rate",
    "not_run": "stopped by the budget or cancelled, in no rate",
}
"""Of the verdicts that are not ``passed``, for people who see them for the first time."""
ROW = 46
"""Pixels of height a horizontal row takes."""


def rate_chart(summary: Summary) -> Chart | None:
    """Pass@1 of every cell with its interval, and the article's figure as a diamond."""
    cells = [cell for cell in reversed(summary.cells) if cell.pass_at_1 is not None]
    if not cells:
        return None
    names = [cell_name(cell) for cell in cells]
    rates = [cell.pass_at_1 for cell in cells if cell.pass_at_1 is not None]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "measured, with 95% interval",
            "x": [r.value * 100 for r in rates],
            "y": names,
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [(r.high - r.value) * 100 for r in rates],
                "arrayminus": [(r.value - r.low) * 100 for r in rates],
                "thickness": 3,
                "width": 8,
            },
            "marker": {"size": 13, "color": COLOURS[0]},
            "text": [f"{safe(words.solved(c))} ({words.interval(c.pass_at_1)})" for c in cells],
            "hovertemplate": "%{y}: %{text}<extra></extra>",
        }
    ]
    first = [(name, cell.first_turn) for name, cell in zip(names, cells, strict=True)]
    turns = [(name, rate) for name, rate in first if rate is not None]
    if turns:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "its first turn",
                "x": [rate.value * 100 for _, rate in turns],
                "y": [name for name, _ in turns],
                "marker": {"size": 11, "color": COLOURS[0], "symbol": "circle-open", "line": {"width": 2}},
                "hovertemplate": "first turn %{x:.1f}%<extra></extra>",
            }
        )
    named = [(name, cell) for name, cell in zip(names, cells, strict=True) if is_humaneval(cell)]
    claimed = [(name, row.pass_at_1) for name, cell in named if (row := claimed_system(cell.system))]
    given = [(name, value) for name, value in claimed if value is not None]
    if given:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "the article's claim",
                "x": [value * 100 for _, value in given],
                "y": [name for name, _ in given],
                "marker": {"size": 12, "color": COLOURS[1], "symbol": "diamond-open", "line": {"width": 2}},
                "hovertemplate": "claimed %{x:.0f}%<extra></extra>",
            }
        )
    low = min(r.low for r in rates) * 100
    return chart(
        "rates",
        "Solved with one sample (pass@1)",
        "Share of problems whose graded program passed. Bars are 95% intervals: where two overlap widely, look at "
        "the paired differences below, which are sharper. execute_only grades the suite's own reference programs.",
        data,
        {
            "height": 130 + ROW * len(cells),
            "xaxis": {**PERCENT, "range": [max(0.0, min(80.0, low - 5)), 101]},
            "yaxis": rows_axis(len(cells)),
        },
        synthetic=summary.synthetic,
    )


def difference_chart(differences: Sequence[Difference], synthetic: bool) -> Chart | None:
    """Paired differences with their intervals; what crosses 0 is not shown to be real."""
    if not differences:
        return None
    shown = list(reversed(differences))
    names = [f"{cell_name(d.b)}<br>against<br>{cell_name(d.a)}" for d in shown]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [d.paired.difference * 100 for d in shown],
            "y": names,
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [(d.paired.high - d.paired.difference) * 100 for d in shown],
                "arrayminus": [(d.paired.difference - d.paired.low) * 100 for d in shown],
                "thickness": 3,
                "width": 8,
            },
            "marker": {
                "size": 12,
                "color": COLOURS[2],
                "line": {"width": 2},
                "symbol": ["circle" if outcome(d.paired) in ("better", "worse") else "circle-open" for d in shown],
            },
            "hovertemplate": "%{x:+.1f} points<extra></extra>",
        }
    ]
    return chart(
        "differences",
        "Paired differences, in points",
        "The same problems, system against system. The test decides: a filled circle is a real difference, an "
        "open one is not shown to be. The bar is the 95% interval of its size.",
        data,
        {
            "height": 110 + 92 * len(shown),
            "showlegend": False,
            "xaxis": {"ticksuffix": " pts", "zeroline": True, "zerolinewidth": 2, "rangemode": "tozero"},
            "yaxis": rows_axis(len(shown)),
        },
        synthetic=synthetic,
    )


def turn_chart(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> Chart | None:
    """Share solved by turn, of systems that repair."""
    data = []
    for i, cell in enumerate(summary.cells):
        curve = turn_curve(rows.get(cell.id, ()))
        if len(curve) > 1:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": safe(cell.label) + (" (oracle)" if cell.feedback == "oracle" else ""),
                    "x": [turn for turn, _ in curve],
                    "y": [share * 100 for _, share in curve],
                    "line": {"color": COLOURS[i % len(COLOURS)], "width": 2.5},
                    "marker": {"size": 9},
                    "hovertemplate": "by turn %{x}: %{y:.1f}%<extra></extra>",
                }
            )
    if not data:
        return None
    return chart(
        "turns",
        "Solved by turn",
        "Turn 1 is the first program's own grade, which the model never sees; later turns had feedback from public "
        "tests, unless a line says oracle.",
        data,
        {"xaxis": {"dtick": 1, "title": {"text": "turn"}}, "yaxis": PERCENT, "showlegend": True},
        synthetic=summary.synthetic,
    )


def verdict_chart(summary: Summary) -> Chart | None:
    """How many trials ended in each verdict other than passed, by cell."""
    cells: list[CellSummary] = [cell for cell in reversed(summary.cells) if sum(cell.verdicts.values())]
    kinds = [v for v in VERDICT_COLOURS if v != "passed" and any(cell.verdicts.get(v) for cell in cells)]
    if not kinds:
        return None
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": kind,
            "y": [cell_name(cell) for cell in cells],
            "x": [cell.verdicts.get(kind, 0) for cell in cells],
            "marker": {"color": VERDICT_COLOURS[kind]},
            "hovertemplate": f"%{{x}} {kind}<extra></extra>",
        }
        for kind in kinds
    ]
    return chart(
        "verdicts",
        "Trials that did not pass, by verdict",
        " ".join(f"{kind}: {MEANINGS[kind]}." for kind in kinds),
        data,
        {
            "height": 130 + ROW * len(cells),
            "yaxis": rows_axis(len(cells)),
            "barmode": "stack",
            "showlegend": True,
            "xaxis": {"title": {"text": "trials"}},
        },
        synthetic=summary.synthetic,
    )
