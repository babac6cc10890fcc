"""Rows of ``results.parquet``: what counts, how they group, and what their columns come to."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.core.gpu import HOST_MEMORY
from orchestrator.core.verdicts import GRADED, Verdict

__all__ = [
    "Row",
    "by_cell",
    "by_problem",
    "card_of",
    "count_of",
    "distinct",
    "is_graded",
    "is_passed",
    "largest",
    "natural",
    "number",
    "span_of",
    "total_of",
    "values_of",
]

Row = Mapping[str, Any]
"""One row of ``results.parquet`` (columns in ``core.tables``); a missing column reads as null."""


def number(value: Any) -> float | None:
    """A finite number, or None for null and NaN (which some readers make of null)."""
    if value is None or isinstance(value, bool | str):
        return None
    result = float(value)
    return result if math.isfinite(result) else None


def is_graded(row: Row) -> bool:
    """Whether the row's verdict says something about the system."""
    return row.get("verdict") in GRADED


def is_passed(row: Row) -> bool:
    """Whether the row's program passed the scoring tests."""
    return row.get("verdict") == Verdict.PASSED


def card_of(row: Row) -> str | None:
    """The card that the row's program ran on; None where that was a CPU."""
    name = row.get("gpu")
    return str(name) if name and name != HOST_MEMORY else None


def natural(name: str) -> list[Any]:
    """Sort key under which ``HumanEval/9`` comes before ``HumanEval/10``."""
    # Numbers sort before words at the same place, which keeps the two kinds from being compared.
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def by_cell(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows grouped by cell, in order of first appearance."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[str(row.get("cell"))].append(row)
    return dict(groups)


def by_problem(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows grouped by problem, in order of first appearance."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[str(row.get("problem"))].append(row)
    return dict(groups)


def values_of(rows: Iterable[Row], column: str) -> list[float]:
    """The column's numbers, nulls left out."""
    found = (number(row.get(column)) for row in rows)
    return [value for value in found if value is not None]


def total_of(rows: Sequence[Row], column: str) -> float | None:
    """The column's sum; None where no row has a number."""
    values = values_of(rows, column)
    return math.fsum(values) if values else None


def count_of(rows: Sequence[Row], column: str) -> int | None:
    """The column's sum as a whole number."""
    total = total_of(rows, column)
    return None if total is None else int(total)


def largest(values: Sequence[float]) -> int | None:
    """The largest, as a whole number; None of nothing."""
    return int(max(values)) if values else None


def span_of(rows: Sequence[Row]) -> float | None:
    """Seconds from the first start to the last end; None where they are unknown."""
    starts, ends = values_of(rows, "started_at"), values_of(rows, "ended_at")
    return max(ends) - min(starts) if starts and ends else None


def distinct(rows: Sequence[Row], column: str) -> tuple[str, ...]:
    """The column's different texts, sorted."""
    return tuple(sorted({str(row[column]) for row in rows if row.get(column)}))
