"""Charts of running: time, memory and slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.rows import Row, is_graded, natural, number
from orchestrator.core.summary import Summary
from orchestrator.report import words
from orchestrator.report.figure import Chart, chart, log_axis, rows_axis, safe
from orchestrator.report.load import Run
from orchestrator.report.series import COLOURS, in_flight, quantiles

__all__ = ["distribution_charts", "timeline_charts"]

MOST_SPANS = 3000
"""Drawn in the timeline; more would make the page slow and the picture no clearer."""
MOST_SLOTS = 40
PIXELS = 900
"""About how wide the timeline is; a shorter span would not be drawn at all."""
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
