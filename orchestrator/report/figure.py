"""What all charts of the page have in common. A figure is Plotly's own JSON: an object of data and layout."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.summary import CellSummary

__all__ = ["Chart", "cell_name", "chart", "safe"]

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
        "margin": {"l": 8, "r": 16, "t": 12, "b": 44},
        "height": 340,
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        **layout,
    }
    for axis in ("xaxis", "yaxis"):
        full[axis] = {"automargin": True, "zeroline": False, **full.get(axis, {})}
    if synthetic:
        # Added after the chart's own shapes, so that it lies over all of them.
        band = {
            "type": "rect", "xref": "paper", "yref": "paper", "x0": 0, "x1": 1, "y0": 0.4, "y1": 0.6,
            "fillcolor": "rgba(234,179,8,0.28)", "line": {"width": 0}, "layer": "above",
        }  # fmt: skip
        words = {
            "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False,
            "text": "<b>SYNTHETIC: no model was called</b>", "font": {"size": 15}, "opacity": 0.75,
        }  # fmt: skip
        full["shapes"] = [*full.get("shapes", []), band]
        full["annotations"] = [*full.get("annotations", []), words]
    return Chart(identifier, title, caption, {"data": data, "layout": full})


def safe(text: str) -> str:
    """Text for a chart: Plotly reads a subset of HTML in labels, so markup in data must not reach it."""
    return html.escape(text, quote=False)


def cell_name(cell: CellSummary) -> str:
    """A cell's label on two lines, for axes of narrow charts."""
    first, *rest = cell.label.split(" · ")
    second = " · ".join(rest)
    oracle = " (oracle)" if cell.feedback == "oracle" else ""
    return safe(first) + oracle + (f"<br>{safe(second)}" if second else "")
