"""Charts of running: time, memory, slots and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.rows import Row, by_problem, is_graded, is_passed, natural, number, values_of
from orchestrator.core.statistics import median
from orchestrator.core.summary import Summary
from orchestrator.report import words
from orchestrator.report.figure import Chart, chart, log_axis, rows_axis, safe
from orchestrator.report.load import Run
from orchestrator.report.series import COLOURS, in_flight, quantiles

__all__ = ["distribution_charts", "gpu_charts", "timeline_charts"]

MOST_SPANS = 3000
"""Drawn in the timeline; more would make the page slow and the picture no clearer."""
MOST_SLOTS = 40
PIXELS = 900
"""About how wide the timeline is; a shorter span would not be drawn at all."""
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
WAITING = "waiting for a slot"
EXECUTING = ("feedback", "reference", "scoring")
KINDS = {
    "generation": COLOURS[0],
    "feedback": COLOURS[1],
    "scoring": COLOURS[2],
    "reference": COLOURS[4],
    WAITING: COLOURS[3],
}


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


def timeline_charts(run: Run, synthetic: bool) -> list[Chart]:
    """What was in flight over time, exactly, and which slot did what, sampled when there is much."""
    spans: dict[str, list[tuple[float, float, str]]] = {}
    for step in run.steps(("cell", "kind", "slot", "started_at", "ended_at", "lease_s", "resumed")):
        asked, end = number(step.get("started_at")), number(step.get("ended_at"))
        if asked is None or end is None or step.get("resumed"):
            continue
        kind = str(step.get("kind"))
        # A step begins when it is asked for; its slot was held only for the lease at its end.
        lease = number(step.get("lease_s"))
        start = asked if kind == "generation" or lease is None else max(asked, end - lease)
        spans.setdefault(kind, []).append((start, end, str(step.get("slot") or kind)))
        if start > asked:
            spans.setdefault(WAITING, []).append((asked, start, ""))
    if not spans:
        return []
    origin = min(start for kind in spans.values() for start, _, _ in kind)
    flight: list[dict[str, Any]] = []
    for name, kinds in (("generating", ("generation",)), (WAITING, (WAITING,)), ("executing", EXECUTING)):
        times, counts = in_flight((s - origin, e - origin) for kind in kinds for s, e, _ in spans.get(kind, []))
        if times:
            flight.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": name,
                    "x": [round(t, 4) for t in times],
                    "y": counts,
                    "line": {"shape": "hv", "width": 1.5, "color": KINDS[kinds[-1]]},
                    "fill": "none" if name == WAITING else "tozeroy",
                }
            )
    spans.pop(WAITING, None)
    seconds = {"ticksuffix": " s", "title": {"text": "since the first step"}}
    flight_chart = chart(
        "flight",
        "In flight over time",
        "Requests that wait for a model, programs that wait for a slot, and programs that run. Steps that the "
        "journal answered are left out.",
        flight,
        {"xaxis": seconds, "yaxis": {"rangemode": "tozero"}, "showlegend": True},
        synthetic=synthetic,
    )
    return [flight_chart, _slots(spans, origin, seconds, synthetic)]


def _slots(
    spans: Mapping[str, Sequence[tuple[float, float, str]]],
    origin: float,
    seconds: Mapping[str, Any],
    synthetic: bool,
) -> Chart:
    total = sum(map(len, spans.values()))
    stride = max(1, -(-total // MOST_SPANS))
    slots = sorted({slot for kind in spans.values() for _, _, slot in kind}, key=natural)
    kept = slots[:MOST_SLOTS]
    shortest = (max(end for kind in spans.values() for _, end, _ in kind) - origin) / PIXELS
    data = []
    for kind, found in spans.items():
        xs: list[float | None] = []
        ys: list[str | None] = []
        for start, end, slot in found[::stride]:
            if slot in kept:
                # A gap (null) ends each span, so that one trace draws them all.
                xs += [round(start - origin, 4), round(max(end, start + shortest) - origin, 4), None]
                ys += [safe(slot), safe(slot), None]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": safe(kind),
                "x": xs,
                "y": ys,
                "line": {"width": 9, "color": KINDS.get(kind, COLOURS[5])},
                "hoverinfo": "skip",
            }
        )
    sampled = f" One in {stride} of {total:,} steps is drawn." if stride > 1 else ""
    hidden = f" {len(slots) - len(kept)} further slots are left out." if len(slots) > len(kept) else ""
    return chart(
        "slots",
        "Who did what when",
        "A row is a slot: an actor that asks a model or runs programs. What is too short to see is drawn a pixel "
        f"wide.{sampled}{hidden}",
        data,
        {
            "height": 150 + 20 * len(kept),
            "xaxis": seconds,
            "yaxis": {
                **rows_axis(len(kept)),
                "categoryorder": "array",
                "categoryarray": [safe(slot) for slot in reversed(kept)],
            },
            "showlegend": True,
        },
        synthetic=synthetic,
    )


def gpu_charts(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> list[Chart]:
    """Speedup over the GPU reference and share of the roofline, by problem; correct programs only."""
    made = []
    for column, identifier, title, caption, axis in (
        (
            "speedup",
            "speedups",
            "Speed against the GPU reference",
            "Correct programs only, the median of a problem's samples; 1x is as fast as the reference, which ran "
            "interleaved in the same lease.",
            None,
        ),
        (
            "roofline_share",
            "roofline",
            "Share of the roofline",
            "Attained share of the ceiling that binds (filled: memory, open: compute), measured on this card.",
            {"ticksuffix": "%", "range": [0, 100]},
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
                "height": 150 + 22 * len(problems),
                "xaxis": axis if axis is not None else log_axis([*seen, 1.0], lambda x: f"{x:g}x"),
                "yaxis": {
                    **rows_axis(len(problems)),
                    "categoryorder": "array",
                    "categoryarray": [safe(p) for p in sorted(problems, key=natural, reverse=True)],
                },
                "showlegend": True,
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
