"""Speed, memory and energy over the graded trials of a suite whose programs have a speed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.rates import Rate, rate_over_problems
from orchestrator.core.rows import Row, card_of, is_passed, largest, number, values_of
from orchestrator.core.statistics import geometric_mean, mean, median

__all__ = ["FAST_P", "GpuSummary", "summarise_gpu"]

FAST_P = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class GpuSummary:
    """Speed over the graded trials of a suite that has one."""

    on_card: bool
    """False where the programs ran in host memory on CPUs: then the reference did too, and nothing is a card's."""
    correct: Rate
    fast_p: dict[str, Rate]
    """``p`` to the share of graded trials that are correct and more than ``p`` times as fast as the reference.

    Correct programs without a measured time are left out; empty where no correct program has one.
    """
    speedup: float | None
    """Geometric mean against the reference in the same place, correct programs with a measured time only."""
    speedup_measured: int
    """How many programs that mean is over."""
    speedup_failures_zero: float | None
    """Arithmetic mean with a failed trial counted as 0 (a geometric mean would be 0 after one failure)."""
    cpu_speedup: float | None
    cpu_speedup_failures_zero: float | None
    time_s_median: float | None
    roofline_share_median: float | None
    peak_memory_bytes: int | None
    """Largest over the cell, on the card."""
    peak_memory_bytes_median: float | None
    joules: float | None
    """Sum of the windows over the programs whose energy was measured; None where none was. All windows are equally
    long, so that it says what measuring took and not what a program takes."""
    joules_measured: int
    joules_per_call_median: float | None
    """Over correct programs whose energy was measured."""
    compile_s_median: float | None
    comparisons: dict[str, int]
    """``faster``, ``same``, ``slower``, ``ambiguous`` to how many correct programs."""


def summarise_gpu(groups: Mapping[str, Sequence[Row]], graded: Sequence[Row], seed: int) -> GpuSummary | None:
    """The summary of graded rows (``groups``: the same by problem); None where the suite has no speed."""
    # Its problems have a dtype, also where no program was right or long enough to be timed.
    if not any(row.get(column) for row in graded for column in ("dtype", "gpu_reference_time_s", "gpu_time_s")):
        return None
    right = [row for row in graded if is_passed(row)]
    correct = rate_over_problems([[is_passed(r) for r in group] for group in groups.values()], seed)
    if correct is None:
        return None
    speedups = values_of(right, "speedup")
    fast = {}
    for p in FAST_P if speedups or not right else ():
        rate = rate_over_problems([_faster(group, p) for group in groups.values()], seed)
        if rate is not None:
            fast[f"{p:g}"] = rate
    energies = values_of(graded, "joules")
    return GpuSummary(
        on_card=any(card_of(row) for row in graded),
        correct=correct,
        fast_p=fast,
        speedup=geometric_mean(speedups),
        speedup_measured=len(speedups),
        speedup_failures_zero=_failures_zero(graded, "speedup"),
        cpu_speedup=geometric_mean(values_of(right, "cpu_speedup")),
        cpu_speedup_failures_zero=_failures_zero(graded, "cpu_speedup"),
        time_s_median=median(values_of(right, "gpu_time_s")),
        roofline_share_median=median(values_of(right, "roofline_share")),
        peak_memory_bytes=largest(values_of(graded, "gpu_peak_memory_bytes")),
        peak_memory_bytes_median=median(values_of(graded, "gpu_peak_memory_bytes")),
        joules=math.fsum(energies) if energies else None,
        joules_measured=len(energies),
        joules_per_call_median=median(values_of(right, "joules_per_call")),
        compile_s_median=median(values_of(graded, "compile_s")),
        comparisons=dict(Counter(str(row["comparison"]) for row in right if row.get("comparison"))),
    )


def _faster(group: Sequence[Row], p: float) -> list[bool]:
    # As in the mean with failures at zero: what was right and not timed is neither fast nor slow.
    speeds = [number(row.get("speedup")) if is_passed(row) else 0.0 for row in group]
    return [speed > p for speed in speeds if speed is not None]


def _failures_zero(graded: Sequence[Row], column: str) -> float | None:
    right = [row for row in graded if is_passed(row)]
    if right and not values_of(right, column):
        return None
    # A correct program whose time was not measured is left out: it is neither a failure nor a speed.
    values = [number(row.get(column)) if is_passed(row) else 0.0 for row in graded]
    return mean(value for value in values if value is not None)
