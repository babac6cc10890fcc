"""The numbers behind the charts, computed once for the page and for the PNGs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.comparison import Paired, compare, correct_for_several
from orchestrator.core.rows import Row, is_graded, is_passed, number
from orchestrator.core.summary import CellSummary, Summary
from orchestrator.core.verdicts import GRADED, Verdict

__all__ = [
    "COLOURS",
    "VERDICT_COLOURS",
    "Difference",
    "differences",
    "in_flight",
    "judged",
    "quantiles",
    "turn_curve",
]

COLOURS = ("#3b82c4", "#e08214", "#2a9d6f", "#c44e79", "#8a6fc8", "#8c8c3a", "#4aa3b0", "#a05a2c")
"""By cell, in the plan's order; told apart by common kinds of colour blindness and on dark and light."""

VERDICT_COLOURS: Mapping[str, str] = {
    "passed": "#2a9d6f",
    "wrong_answer": "#d1495b",
    "error": "#e08214",
    "timeout": "#8a6fc8",
    "out_of_memory": "#3b82c4",
    "no_code": "#8c8c3a",
    "rejected": "#a05a2c",
    "infrastructure": "#9a9a9a",
    "not_run": "#c4c4c4",
}
ALL_PAIRS = 5
"""Up to so many cells every pair is compared; beyond, each with the best one, or the correction eats it all."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Cell B against cell A on the same problems; corrected for the comparisons made together."""

    a: CellSummary
    b: CellSummary
    paired: Paired


def judged(summary: Summary) -> list[CellSummary]:
    """Cells whose pass rate says something about a system: those that call a model, or all if none does."""
    asking = [cell for cell in summary.cells if cell.model is not None]
    return [cell for cell in asking or summary.cells if cell.graded]


def differences(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> list[Difference]:
    """Every pair of judged cells, the better one as B; with many cells each against the best. Best first."""
    cells = sorted(judged(summary), key=lambda c: c.pass_at_1.value if c.pass_at_1 else 0.0, reverse=True)
    if len(cells) <= ALL_PAIRS:
        pairs = [(low, high) for i, high in enumerate(cells) for low in cells[i + 1 :]]
    else:
        pairs = [(low, cells[0]) for low in cells[1:]]
    found = [
        Difference(a, b, paired)
        for a, b in pairs
        if (paired := compare(rows.get(a.id, ()), rows.get(b.id, ()))) is not None
    ]
    corrected = correct_for_several([d.paired for d in found])
    return [Difference(d.a, d.b, p) for d, p in zip(found, corrected, strict=True)]


def turn_curve(rows: Iterable[Row]) -> list[tuple[int, float]]:
    """Share of a cell's graded trials that were solved by turn 1, 2, ...; empty without a first-turn grade.

    Turn 1 is the first program's own grade. Later ones count a trial from the turn at which it ended solved.
    """
    graded = [row for row in rows if is_graded(row) and row.get("first_turn_verdict") in GRADED]
    if not graded:
        return []
    last = max(int(number(row.get("turns")) or 1) for row in graded)
    first = sum(row["first_turn_verdict"] == Verdict.PASSED for row in graded) / len(graded)
    curve = [(1, first)]
    for turn in range(2, last + 1):
        solved = sum(
            is_passed(row)
            and ((number(row.get("turns")) or 1) <= turn or row["first_turn_verdict"] == Verdict.PASSED)
            for row in graded
        )
        curve.append((turn, solved / len(graded)))
    return curve


def quantiles(values: Sequence[float], most: int = 200) -> tuple[list[float], list[float]]:
    """A distribution as (values, share at or below), thinned to at most ``most`` points, both ends kept."""
    data = sorted(values)
    n = len(data)
    thinned = {round(i * (n - 1) / (most - 1)) for i in range(most)}
    chosen = sorted(thinned) if n > most else list(range(n))
    return [data[i] for i in chosen], [(i + 1) / n for i in chosen]


def in_flight(spans: Iterable[tuple[float, float]], most: int = 400) -> tuple[list[float], list[int]]:
    """How many of the spans (start, end) are open over time, as steps: (times, count from there on).

    Thinned to about ``most`` points by keeping the largest count of each stretch, so that peaks stay.
    """
    known = list(spans)
    events = sorted([(start, 1) for start, _ in known] + [(end, -1) for _, end in known])
    if not events:
        return [], []
    times: list[float] = []
    counts: list[int] = []
    open_now = 0
    for time, change in events:
        open_now += change
        if times and times[-1] == time:
            counts[-1] = open_now
        else:
            times.append(time)
            counts.append(open_now)
    if len(times) <= most:
        return times, counts
    stride = -(-len(times) // most)
    kept = range(0, len(times), stride)
    thinned = [max(counts[i : i + stride]) for i in kept]
    # The last stretch would otherwise leave the curve above 0 after everything has ended.
    return [*[times[i] for i in kept], times[-1]], [*thinned, 0]
