"""Times with intervals, comparison, throttled rounds, roofline."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.execute.gpu.measures import (
    Round,
    drop_throttled,
    roofline,
    throttle_names,
    time_rounds,
)
from orchestrator.execute.gpu.nvml import Sample


def rounds(candidate: float, reference: float, noise: float = 0.0, count: int = 40) -> list[Round]:
    rng = np.random.default_rng(3)

    def near(value: float) -> float:
        return float(value * (1 + noise * rng.standard_normal()))

    return [Round(float(i), 4e-4, near(reference) + 4e-4, near(candidate) + 4e-4) for i in range(count)]


def test_empty_calls_are_subtracted() -> None:
    timing = time_rounds(rounds(2e-3, 3e-3))
    assert timing.candidate.median == pytest.approx(2e-3)
    assert timing.reference.median == pytest.approx(3e-3)
    assert timing.overhead_s == pytest.approx(4e-4)


@pytest.mark.parametrize(
    ("candidate", "reference", "noise", "word"),
    [
        (2e-3, 3e-3, 0.01, "faster"),
        (3e-3, 2e-3, 0.01, "slower"),
        (2e-3, 2.01e-3, 0.002, "same"),
        (2e-3, 2.08e-3, 0.2, "ambiguous"),
    ],
)
def test_comparison(candidate: float, reference: float, noise: float, word: str) -> None:
    assert time_rounds(rounds(candidate, reference, noise)).comparison == word


def test_scatter_between_processes_counts_most_for_short_programs() -> None:
    assert time_rounds(rounds(1.0e-3, 1.04e-3, 0.001)).comparison == "same"
    assert time_rounds(rounds(1.0e-2, 1.04e-2, 0.001)).comparison == "faster"


def test_offset_of_the_candidates_own_empty_calls_is_subtracted() -> None:
    assert time_rounds(rounds(2e-3, 2e-3), offset_s=1e-4).candidate.median == pytest.approx(1.9e-3)


def test_interval_covers_the_median_of_noisy_rounds() -> None:
    timing = time_rounds(rounds(2e-3, 2e-3, 0.05))
    assert timing.candidate.low < timing.candidate.median < timing.candidate.high
    assert timing.candidate.low < 2e-3 < timing.candidate.high


def test_nothing_is_shorter_than_the_resolution() -> None:
    spread = [Round(float(i), 4e-4 + 1e-6 * (i % 5), 4e-4, 3.9e-4) for i in range(20)]
    timing = time_rounds(spread)
    assert timing.candidate.median == timing.resolution_s == pytest.approx(1e-6)


def test_no_rounds_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        time_rounds([])


def sample(at: float, throttle: int) -> Sample:
    return Sample(at, 1980, 40, 300.0, throttle)


def test_throttled_rounds_are_dropped_up_to_a_cap() -> None:
    ten = rounds(2e-3, 2e-3, count=10)
    kept, dropped = drop_throttled(ten, [sample(2.001, 0x20), sample(5.5, 0x20), sample(7.001, 0)])
    assert ([r.at for r in kept], dropped) == ([0, 1, 3, 4, 5, 6, 7, 8, 9], 1)
    everywhere = [sample(i + 0.001, 0x40) for i in range(10)]
    assert drop_throttled(ten, everywhere) == (ten, 0)


def test_throttle_names_are_told_once() -> None:
    assert throttle_names([sample(0, 0x4), sample(1, 0x40), sample(2, 0x4)]) == "power cap, thermal (hardware)"
    assert throttle_names([sample(0, 0)]) == ""


def test_roofline_names_what_binds() -> None:
    share, bound = roofline(2.0, moved=1000, flops=10, bytes_per_s=1000.0, flops_per_s=1000.0)
    assert (share, bound) == (0.5, "memory")
    share, bound = roofline(4.0, moved=10, flops=1000, bytes_per_s=1000.0, flops_per_s=1000.0)
    assert (share, bound) == (0.25, "compute")
