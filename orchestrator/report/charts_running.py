"""Charts of running: time, memory, slots, the card, and where owning one pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.cost import hourly_rates
from orchestrator.core.summary import Row, Summary, is_graded, is_passed, number
from orchestrator.report.figure import Chart, chart, safe
from orchestrator.report.load import Run
from orchestrator.report.series import COLOURS, in_flight, quantiles

__all__ = ["distribution_charts", "gpu_charts", "month_chart", "timeline_charts"]

MOST_SPANS = 3000
"""Drawn in the timeline; more would make the page slow and the picture no clearer."""
MOST_SLOTS = 40
KINDS = {"generation": COLOURS[0], "feedback": COLOURS[1], "scoring": COLOURS[2], "reference": COLOURS[4]}


def distribution_charts(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> list[Chart]:
    """Execution time and peak memory per trial, as the share of trials at or below each value."""
    made = []
    for column, identifier, title, unit, scale in (
        ("execute_s", "times", "Execution time per problem", "s", 1.0),
        ("peak_memory_bytes", "memory", "Peak memory per problem", "MB", 1e-6),
    ):
        data = []
        for i, cell in enumerate(summary.cells):
            values = [v * scale for r in rows.get(cell.id, ()) if is_graded(r) and (v := number(r.get(column)))]
            if not values:
                continue
            xs, shares = quantiles(values)
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": safe(cell.label),
                    "x": [float(f"{x:.5g}") for x in xs],
                    "y": [round(share * 100, 2) for share in shares],
                    "line": {"shape": "hv", "width": 2, "color": COLOURS[i % len(COLOURS)]},
                    "hovertemplate": f"%{{y:.0f}}% within %{{x:.3g}} {unit}<extra></extra>",
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
                        "xaxis": {"type": "log", "ticksuffix": f" {unit}", "nticks": 6},
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
    for step in run.steps(("cell", "kind", "slot", "started_at", "ended_at", "resumed")):
        start, end = number(step.get("started_at")), number(step.get("ended_at"))
        if start is None or end is None or step.get("resumed"):
            continue
        spans.setdefault(str(step.get("kind")), []).append((start, end, str(step.get("slot") or "unnamed")))
    if not spans:
        return []
    origin = min(start for kind in spans.values() for start, _, _ in kind)
    flight: list[dict[str, Any]] = []
    for name, kinds in (("generating", ("generation",)), ("executing", ("feedback", "scoring", "reference"))):
        times, counts = in_flight((s - origin, e - origin) for kind in kinds for s, e, _ in spans.get(kind, []))
        if times:
            flight.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": name,
                    "x": [round(t, 4) for t in times],
                    "y": counts,
                    "line": {
                        "shape": "hv",
                        "width": 1.5,
                        "color": KINDS["generation" if not flight else "scoring"],
                    },
                    "fill": "tozeroy",
                }
            )
    seconds = {"ticksuffix": " s", "title": {"text": "since the first step"}}
    flight_chart = chart(
        "flight",
        "In flight over time",
        "Requests waiting for a model and programs running. Steps that the journal answered are left out.",
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
    slots = sorted({slot for kind in spans.values() for _, _, slot in kind})
    kept = set(slots[:MOST_SLOTS])
    data = []
    for kind, found in spans.items():
        xs: list[float | None] = []
        ys: list[str | None] = []
        for start, end, slot in found[::stride]:
            if slot in kept:
                # A gap (null) ends each span, so that one trace draws them all.
                xs += [round(start - origin, 4), round(end - origin, 4), None]
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
    sampled = f" Every {stride}th of {total:,} steps is drawn." if stride > 1 else ""
    hidden = f" {len(slots) - len(kept)} further slots are left out." if len(slots) > len(kept) else ""
    return chart(
        "slots",
        "Who did what when",
        f"A row is a slot: an actor that asks a model or runs programs.{sampled}{hidden}",
        data,
        {"height": 150 + 20 * len(kept), "xaxis": seconds, "yaxis": {"type": "category"}, "showlegend": True},
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
            "Correct programs only; 1 is as fast as the reference, which ran interleaved in the same lease.",
            {"type": "log", "ticksuffix": "x", "nticks": 6},
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
        for i, cell in enumerate(summary.cells):
            right = [r for r in rows.get(cell.id, ()) if is_passed(r) and number(r.get(column))]
            if not right:
                continue
            problems |= {str(r["problem"]) for r in right}
            scale = 100 if column == "roofline_share" else 1
            values = [float(f"{(number(r.get(column)) or 0.0) * scale:.5g}") for r in right]
            low = [number(r.get("gpu_time_low_s")) for r in right]
            high = [number(r.get("gpu_time_high_s")) for r in right]
            middle = [number(r.get("gpu_time_s")) for r in right]
            trace: dict[str, Any] = {
                "type": "scatter",
                "mode": "markers",
                "name": safe(cell.label),
                "x": values,
                "y": [safe(str(r["problem"])) for r in right],
                "marker": {
                    "size": 9,
                    "color": COLOURS[i % len(COLOURS)],
                    "symbol": ["circle-open" if r.get("bound") == "compute" else "circle" for r in right],
                },
                "text": [
                    f"{safe(str(r.get('comparison') or ''))} {safe(str(r.get('bound') or ''))}" for r in right
                ],
                "hovertemplate": "%{y}: %{x:.3g} %{text}<extra></extra>",
            }
            if column == "speedup" and all(low) and all(high) and all(middle):
                times = list(zip(values, middle, low, high, strict=True))
                trace["error_x"] = {
                    "type": "data",
                    "symmetric": False,
                    # A longer time is a lower speed, so the ends change sides.
                    "array": [v * ((m or 1) / (lo or 1) - 1) for v, m, lo, _ in times],
                    "arrayminus": [v * (1 - (m or 1) / (hi or 1)) for v, m, _, hi in times],
                    "thickness": 1,
                }
                trace["marker"]["symbol"] = "circle"
            data.append(trace)
        if data:
            layout = {
                "height": 150 + 22 * len(problems),
                "xaxis": axis,
                "yaxis": {"type": "category", "categoryorder": "category descending"},
                "showlegend": True,
            }
            made.append(chart(identifier, title, caption, data, layout, synthetic=summary.synthetic))
    return made


def month_chart(summary: Summary, run: Run) -> Chart | None:
    """Dollars a month against problems a month: API only, and each priced card owned and rented."""
    counts = [10 ** (1 + i / 8) for i in range(41)]
    lines: list[tuple[str, float, float]] = []
    for cell in summary.cells:
        if not cell.graded or (cell.model is not None and cell.usd_per_problem is None):
            continue
        api = cell.usd_per_problem or 0.0
        if cell.system == "generate_only":
            lines.append((f"{cell.label}: API only", 0.0, api))
            continue
        card = run.hardware.get(cell.hardware or "", {})
        hourly = hourly_rates(card, run.rates)
        hours = (cell.lease_s or 0.0) / cell.graded / 3600
        years, price = number(run.rates.get("useful_years")), number(card.get("purchase_usd"))
        if price is not None and years and hourly.energy is not None:
            fixed = (price - (number(card.get("resale_usd")) or 0.0)) / (12 * years)
            lines.append((f"{cell.label}: {card['name']} owned", fixed, api + hours * hourly.energy))
        if hourly.rented is not None:
            lines.append((f"{cell.label}: {card['name']} rented", 0.0, api + hours * hourly.rented))
    lines = [line for line in lines if line[1] or line[2]]
    if not any("owned" in name or "rented" in name for name, _, _ in lines):
        return None
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": safe(name),
            "x": [float(f"{count:.4g}") for count in counts],
            "y": [float(f"{fixed + each * count:.4g}") for count in counts],
            "line": {
                "color": COLOURS[i % len(COLOURS)],
                "width": 2.5,
                "dash": "dash" if "rented" in name else "solid",
            },
            "hovertemplate": "%{x:,.0f} problems: $%{y:,.2f}<extra></extra>",
        }
        for i, (name, fixed, each) in enumerate(lines)
    ]
    return chart(
        "month",
        "Dollars a month",
        "Where two lines cross is the break-even. Owned: price less resale, spread over its useful life, and "
        "energy for the seconds it works. The assumptions stand below.",
        data,
        {
            "height": 420,
            "xaxis": {"type": "log", "title": {"text": "problems a month"}, "nticks": 8},
            "yaxis": {"type": "log", "tickprefix": "$", "nticks": 6},
            "showlegend": True,
        },
        synthetic=summary.synthetic,
    )
