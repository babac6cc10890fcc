"""Charts of running: how long programs took and how much memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.rows import Row, is_graded, number
from orchestrator.core.summary import Summary
from orchestrator.report import words
from orchestrator.report.figure import Chart, chart, log_axis, safe
from orchestrator.report.series import COLOURS, quantiles

__all__ = ["distribution_charts"]


def distribution_charts(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> list[Chart]:
    """Execution time and peak memory per trial, as the share of trials at or below each value."""
    made = []
    for column, identifier, title, text in (
        ("execute_s", "times", "Execution time per problem", words.seconds),
        ("peak_memory_bytes", "memory", "Peak memory per problem", words.size),
    ):
        data: list[dict[str, Any]] = []
        ends: list[float] = []
        for i, cell in enumerate(summary.cells):
            values = [v for r in rows.get(cell.id, ()) if is_graded(r) and (v := number(r.get(column))) and v > 0]
            if not values:
                continue
            xs, shares = quantiles(values)
            ends += [xs[0], xs[-1]]
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": safe(cell.label),
                    "x": [float(f"{x:.5g}") for x in xs],
                    "y": [round(share * 100, 2) for share in shares],
                    "line": {"shape": "hv", "width": 2, "color": COLOURS[i % len(COLOURS)]},
                    "text": [text(x) for x in xs],
                    "hovertemplate": "%{y:.0f}% within %{text}<extra></extra>",
                }
            )
        if data:
            made.append(
                chart(
                    identifier,
                    title,
                    "Each line is a system: how much of its trials needed at most so much. Further left is less.",
                    data,
                    {
                        "xaxis": log_axis(ends, text),
                        "yaxis": {"ticksuffix": "%", "range": [0, 101]},
                        "showlegend": True,
                    },
                    synthetic=summary.synthetic,
                )
            )
    return made
