"""What all charts of the page have in common. A figure is Plotly's own JSON: an object of data and layout."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.summary import CellSummary

__all__ = ["Chart", "Figure", "cell_name", "chart", "log_axis", "rows_axis", "safe", "two_lines"]

Figure = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of the page."""

    id: str
    title: str
    caption: str
    """What to see in it and how it was made, in a sentence or two."""
    figure: Figure


def chart(
    identifier: str,
    title: str,
    caption: str,
    data: list[dict[str, Any]],
    layout: Mapping[str, Any],
    *,
    synthetic: bool,
) -> Chart:
    """A chart with the page's look; a synthetic one carries a band across its plot."""
    full: dict[str, Any] = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 16, "t": 12, "b": 52},
        "height": 340,
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        **layout,
    }
    for axis in ("xaxis", "yaxis"):
        full[axis] = {"automargin": True, "zeroline": False, **full.get(axis, {})}
    if synthetic:
        # Added after the chart's own shapes, so that it lies over all of them.
        band = {
            "type": "rect", "xref": "paper", "yref": "paper", "x0": 0, "x1": 1, "y0": 0.43, "y1": 0.57,
            "fillcolor": "rgba(234,179,8,0.25)", "line": {"width": 0}, "layer": "above",
        }  # fmt: skip
        words = {
            "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False,
            "text": "<b>SYNTHETIC</b>", "font": {"size": 14}, "opacity": 0.8,
        }  # fmt: skip
        full["shapes"] = [*full.get("shapes", []), band]
        full["annotations"] = [*full.get("annotations", []), words]
    return Chart(identifier, title, caption, {"data": data, "layout": full})


def log_axis(values: Iterable[float], text: Callable[[float], str], **more: Any) -> dict[str, Any]:
    """A logarithmic axis around positive ``values`` whose ticks are round numbers, written by ``text``."""
    known = [v for v in values if v > 0]
    low, high = min(known) / 1.3, max(known) * 1.3
    decades = math.log10(high / low)
    steps = (1,) if decades > 3 else (1, 2, 5) if decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, round(decades / 7))
    ticks = [s * 10.0**e for e in range(first, last + 1) if e % every == 0 for s in steps]
    shown = [t for t in ticks if low <= t <= high]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": shown,
        "ticktext": [text(t) for t in shown],
        **more,
    }


def rows_axis(count: int) -> dict[str, Any]:
    """An axis of ``count`` named rows with room above the first and below the last."""
    return {"type": "category", "range": [-0.6, count - 0.4]}


def safe(text: str) -> str:
    """Text for a chart: Plotly reads a subset of HTML in labels, so markup in data must not reach it."""
    return html.escape(text, quote=False)


def cell_name(cell: CellSummary) -> str:
    """A cell's label on two lines, for axes of narrow charts."""
    return two_lines(cell.label, " (oracle)" if cell.feedback == "oracle" else "")


def two_lines(label: str, mark: str = "") -> str:
    """A label with its first part, and ``mark``, on a line of its own."""
    first, *rest = label.split(" · ")
    second = " · ".join(rest)
    return safe(first) + mark + (f"<br>{safe(second)}" if second else "")
