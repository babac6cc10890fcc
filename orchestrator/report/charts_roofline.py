"""The roofline: attained operations a second against arithmetic intensity, below ceilings that were measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.rows import Row, card_of, is_passed, number, values_of
from orchestrator.core.statistics import median
from orchestrator.core.summary import Summary
from orchestrator.report import words
from orchestrator.report.figure import Chart, chart, log_axis, safe
from orchestrator.report.series import COLOURS

__all__ = ["Point", "Roof", "points", "roofline_chart", "roofs"]

SYMBOLS = ("circle", "square", "diamond", "triangle-up")
DASHES = ("solid", "dash", "dot", "dashdot")
UNKNOWN = "unknown dtype"


@dataclass(frozen=True, slots=True)
class Roof:
    """The two ceilings of a card (or of the CPU that stood in for one) in one dtype, as measured."""

    place: str
    dtype: str
    bytes_per_s: float
    operations_per_s: float

    @property
    def ridge(self) -> float:
        """Operations a byte from which arithmetic binds and no longer memory."""
        return self.operations_per_s / self.bytes_per_s


@dataclass(frozen=True, slots=True)
class Point:
    """One problem in one dtype, the median over its correct programs."""

    problem: str
    dtype: str
    intensity: float
    """Operations a byte."""
    operations_per_s: float


def roofs(rows: Iterable[Row]) -> list[Roof]:
    """The ceilings that programs of these rows were measured beside, the highest of each place and dtype."""
    found: dict[tuple[str, str], Roof] = {}
    for row in rows:
        copy, product = number(row.get("peak_bytes_per_s")), number(row.get("peak_operations_per_s"))
        if copy and product:
            key = (card_of(row) or "this CPU", str(row.get("dtype") or UNKNOWN))
            before = found.get(key, Roof(*key, 0.0, 0.0))
            found[key] = Roof(*key, max(copy, before.bytes_per_s), max(product, before.operations_per_s))
    return [found[key] for key in sorted(found)]


def points(rows: Iterable[Row]) -> list[Point]:
    """A point for each problem and dtype with a correct, timed program that computes anything."""
    groups: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if is_passed(row) and number(row.get("operations")) and number(row.get("gpu_time_s")):
            groups[(str(row.get("problem")), str(row.get("dtype") or UNKNOWN))].append(row)
    found = []
    for (problem, dtype), group in groups.items():
        work, moved = median(values_of(group, "operations")), median(values_of(group, "least_bytes"))
        time_s = median(values_of(group, "gpu_time_s"))
        if work and moved and time_s:
            found.append(Point(problem, dtype, work / moved, work / time_s))
    return found


def roofline_chart(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> Chart | None:
    """Both axes logarithmic, a point a problem and dtype, a roof a card and dtype."""
    found = roofs(row for group in rows.values() for row in group)
    by_cell = {cell.id: points(rows.get(cell.id, ())) for cell in summary.cells}
    every = [point for own in by_cell.values() for point in own]
    if not found or not every:
        return None
    xs = [point.intensity for point in every] + [roof.ridge for roof in found]
    low, high = min(xs) / 2, max(xs) * 2
    dtypes = sorted({point.dtype for point in every})
    data = [_roof(roof, low, high, DASHES[i % len(DASHES)]) for i, roof in enumerate(found)]
    for i, cell in enumerate(summary.cells):
        if by_cell[cell.id]:
            # Points of systems that ran the same program coincide: later ones are smaller, so that all are seen.
            size = max(6, 14 - 3 * (len(data) - len(found)))
            data.append(_points(cell.label, by_cell[cell.id], dtypes, COLOURS[i % len(COLOURS)], size))
    ys = [point.operations_per_s for point in every] + [roof.operations_per_s for roof in found]
    return chart(
        "roofline",
        "Roofline",
        _caption(found, dtypes),
        data,
        {
            "height": 460,
            "xaxis": log_axis([low, high], lambda x: f"{x:g}", title={"text": "operations a byte"}),
            "yaxis": log_axis(ys, lambda y: words.rate(y, "op/s")),
            "showlegend": True,
        },
        synthetic=summary.synthetic,
    )


def _roof(roof: Roof, low: float, high: float, dash: str) -> dict[str, Any]:
    ends = [(low, low * roof.bytes_per_s), (roof.ridge, roof.operations_per_s), (high, roof.operations_per_s)]
    name = safe(f"ceiling {roof.dtype}, {roof.place}")
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [float(f"{x:.4g}") for x, _ in ends],
        "y": [float(f"{y:.4g}") for _, y in ends],
        "line": {"color": "#888888", "width": 1.5, "dash": dash},
        "hovertemplate": f"{name}: %{{y:.3s}} a second<extra></extra>",
    }


def _points(label: str, own: Sequence[Point], dtypes: Sequence[str], colour: str, size: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": safe(label),
        "x": [float(f"{point.intensity:.4g}") for point in own],
        "y": [float(f"{point.operations_per_s:.4g}") for point in own],
        "marker": {
            "size": size,
            "color": colour,
            "symbol": [SYMBOLS[dtypes.index(point.dtype) % len(SYMBOLS)] for point in own],
        },
        "text": [safe(f"{point.problem} {point.dtype}") for point in own],
        "hovertemplate": "%{text}: %{x:.3g} operations a byte, %{y:.3s} a second<extra></extra>",
    }


def _caption(found: Sequence[Roof], dtypes: Sequence[str]) -> str:
    peaks = "; ".join(
        f"{roof.place} {roof.dtype} {words.rate(roof.bytes_per_s, 'B/s')} and "
        f"{words.rate(roof.operations_per_s, 'op/s')}"
        for roof in found
    )
    symbols = ", ".join(f"{dtype} {SYMBOLS[i % len(SYMBOLS)]}" for i, dtype in enumerate(dtypes))
    return (
        "A point is a problem: the least operations and bytes that it takes (counted, in tasks/gpu) over the "
        "measured time of its correct programs. The ceilings come from no data sheet: the actor measured them "
        "where the programs ran, by a large copy and a large matrix product in the same dtype "
        f"({peaks}). Caches can lift a point above its roof. Problems that only move data have no operations; the "
        "chart of shares has them." + (f" Symbols: {symbols}." if len(dtypes) > 1 else "")
    )
