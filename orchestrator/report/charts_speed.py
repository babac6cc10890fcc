"""Charts of speed: against the reference, by share of the roofline, and over the turns of a repair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.core.rows import Row, by_problem, is_passed, natural, number, values_of
from orchestrator.core.statistics import geometric_mean, median
from orchestrator.core.summary import Summary
from orchestrator.report.figure import Chart, chart, log_axis, rows_axis, safe
from orchestrator.report.load import Run
from orchestrator.report.series import COLOURS

__all__ = ["best_so_far", "reference_name", "speed_charts", "speed_turn_chart"]

AS_FAST = {
    "type": "line",
    "xref": "x",
    "yref": "paper",
    "x0": 1,
    "x1": 1,
    "y0": 0,
    "y1": 1,
    "line": {"width": 1.5, "color": "#888888"},
}
"""Marks the speed of the reference; Plotly places shapes on a logarithmic axis by their plain values."""
MOST_LINES = 60
"""Thin lines of single trials in the chart of turns; more would hide the thick ones."""


def reference_name(summary: Summary) -> str:
    """What programs are compared with, in words that are true of where they ran."""
    on_card = any(cell.gpu is not None and cell.gpu.on_card for cell in summary.cells)
    return "the GPU reference" if on_card else "the reference program on the same CPU"


def best_so_far(steps: Iterable[Mapping[str, Any]], cell: str) -> list[list[float | None]]:
    """For each trial of a cell: the speedup of its fastest right program up to turn 1, 2, ...; None before one.

    Args:
        steps: with ``cell`` (ids), ``kind``, ``problem``, ``sample``, ``turn``, ``verdict`` and ``speedup``. Only
            feedback runs count: they are what the model was told, and what the fastest program is chosen by.
    """
    trials: defaultdict[tuple[str, int], dict[int, float | None]] = defaultdict(dict)
    for step in steps:
        if cell in step["cell"] and step.get("kind") == "feedback":
            speed = number(step.get("speedup")) if step.get("verdict") == "passed" else None
            key = (str(step.get("problem")), int(step.get("sample") or 0))
            trials[key][int(step.get("turn") or 1)] = speed
    last = max((max(turns) for turns in trials.values()), default=0)
    lines = []
    for turns in trials.values():
        best: float | None = None
        line: list[float | None] = []
        for turn in range(1, last + 1):
            speed = turns.get(turn)
            best = max((s for s in (best, speed) if s is not None), default=None)
            line.append(best)
        lines.append(line)
    return lines


def speed_turn_chart(run: Run, summary: Summary) -> Chart | None:
    """Best speed so far over the turns of systems that repair; None where programs have no speed."""
    # Most suites have no speed, and their steps are many.
    if not any(number(step.get("speedup")) for step in run.steps(("cell", "speedup"))):
        return None
    columns = ("cell", "kind", "problem", "sample", "turn", "verdict", "speedup")
    steps = [step for step in run.steps(columns) if step.get("kind") == "feedback"]
    hybrids = [(i, cell) for i, cell in enumerate(summary.cells) if cell.system == "hybrid"]
    data: list[dict[str, Any]] = []
    seen: list[float] = []
    for i, cell in hybrids:
        lines = best_so_far(steps, cell.id)
        known = [speed for line in lines for speed in line if speed]
        if not known:
            continue
        seen += known
        colour = COLOURS[i % len(COLOURS)]
        turns = range(1, len(lines[0]) + 1)
        data.append(_single_trials(lines[: max(1, MOST_LINES // len(hybrids))], turns, colour))
        right = [[speed for line in lines if (speed := line[turn - 1])] for turn in turns]
        means = [geometric_mean(speeds) for speeds in right]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": safe(cell.label) + (" (oracle)" if cell.feedback == "oracle" else ""),
                "x": list(turns),
                "y": [None if mean is None else float(f"{mean:.4g}") for mean in means],
                "line": {"color": colour, "width": 3},
                "marker": {"size": 9},
                "text": [f"{len(speeds)} of {len(lines)} right" for speeds in right],
                "hovertemplate": "by turn %{x}: %{y:.3g}x, %{text}<extra></extra>",
            }
        )
    if not data:
        return None
    return chart(
        "speed-turns",
        "Best speed so far, by turn",
        f"Thick: geometric mean of the fastest right program so far against {reference_name(summary)}, over the "
        "trials that have one by then (the label says how many), so it can fall as harder problems come in. Thin: "
        "single trials. Measured on feedback inputs, which is what the model was told.",
        data,
        {
            "xaxis": {"dtick": 1, "title": {"text": "turn"}},
            "yaxis": log_axis([*seen, 1.0], lambda x: f"{x:g}x"),
            "showlegend": True,
        },
        synthetic=summary.synthetic,
    )


def _single_trials(lines: Sequence[Sequence[float | None]], turns: Iterable[int], colour: str) -> dict[str, Any]:
    xs: list[int | None] = []
    ys: list[float | None] = []
    for line in lines:
        # A gap (null) ends each trial's line, so that one trace draws them all.
        xs += [*turns, None]
        ys += [*(None if speed is None else float(f"{speed:.4g}") for speed in line), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "line": {"color": colour, "width": 1},
        "opacity": 0.35,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def speed_charts(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> list[Chart]:
    """Speedup over the reference and share of the roofline, by problem; correct programs only."""
    made = []
    for column, identifier, title, caption, axis in (
        (
            "speedup",
            "speedups",
            f"Speed against {reference_name(summary)}",
            "Correct programs only, the median of a problem's samples; 1x is as fast as the reference, which ran "
            "interleaved in the same lease.",
            None,
        ),
        (
            "roofline_share",
            "shares",
            "Share of the roofline",
            "Attained share of the measured ceiling that binds (filled: memory, open: compute). The ceiling is a "
            "measurement too, so a program can come out a little above it.",
            {"ticksuffix": "%", "rangemode": "tozero"},
        ),
    ):
        data = []
        problems: set[str] = set()
        seen: list[float] = []
        for i, cell in enumerate(summary.cells):
            right = [r for r in rows.get(cell.id, ()) if is_passed(r) and number(r.get(column))]
            if not right:
                continue
            groups = by_problem(right)
            problems |= groups.keys()
            scale = 100 if column == "roofline_share" else 1
            values = [scale * (median(values_of(group, column)) or 0.0) for group in groups.values()]
            seen += values
            first = [group[0] for group in groups.values()]
            trace: dict[str, Any] = {
                "type": "scatter",
                "mode": "markers",
                "orientation": "h",
                "name": safe(cell.label),
                "x": [float(f"{value:.5g}") for value in values],
                "y": [safe(problem) for problem in groups],
                "marker": {
                    "size": 9,
                    "color": COLOURS[i % len(COLOURS)],
                    "symbol": ["circle-open" if r.get("bound") == "compute" else "circle" for r in first],
                },
                "text": [safe(f"{r.get('comparison') or ''} {r.get('bound') or ''}") for r in first],
                "hovertemplate": "%{y}: %{x:.3g} %{text}<extra></extra>",
            }
            if column == "speedup":
                trace["marker"]["symbol"] = "circle"
                trace |= _spread(values, list(groups.values()))
            data.append(trace)
        if data:
            layout: dict[str, Any] = {
                "height": 150 + max(22, 10 * len(data)) * len(problems),
                "xaxis": axis if axis is not None else log_axis([*seen, 1.0], lambda x: f"{x:g}x"),
                "yaxis": {
                    **rows_axis(len(problems)),
                    "categoryorder": "array",
                    "categoryarray": [safe(p) for p in sorted(problems, key=natural, reverse=True)],
                },
                "showlegend": True,
                # Systems that did the same stand beside each other and not one upon the other.
                "scattermode": "group",
            }
            if axis is None:
                layout["shapes"] = [AS_FAST]
            made.append(chart(identifier, title, caption, data, layout, synthetic=summary.synthetic))
    return made


def _spread(values: Sequence[float], groups: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Error bars of speeds from the intervals of the times; none where any of those was not measured."""
    above, below = [], []
    for value, group in zip(values, groups, strict=True):
        middle = median(values_of(group, "gpu_time_s"))
        low, high = median(values_of(group, "gpu_time_low_s")), median(values_of(group, "gpu_time_high_s"))
        if not middle or not low or not high:
            return {}
        # A longer time is a lower speed, so the ends change sides.
        above.append(value * (middle / low - 1))
        below.append(value * (1 - middle / high))
    return {"error_x": {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1}}
