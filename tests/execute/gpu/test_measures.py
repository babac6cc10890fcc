"""Times with intervals, comparison, throttled rounds, roofline."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.execute.gpu.measures import (
    Quiet,
    Round,
    drop_throttled,
    quiet_of,
    roofline,
    throttle_names,
    time_rounds,
)
from orchestrator.execute.gpu.nvml import Sample


def rounds(candidate: float, reference: float, noise: float = 0.0, count: int = 40) -> list[Round]:
    rng = np.random.default_rng(3)

    def near(value: float) -> float:
        return float(value * (1 + noise * rng.standard_normal()))

    return [Round(float(i), 5e-4, near(reference) + 5e-4, near(candidate) + 5e-4, 1e-4) for i in range(count)]


def test_empty_calls_are_subtracted() -> None:
    timing = time_rounds(rounds(2e-3, 3e-3))
    assert timing.candidate.value == pytest.approx(2e-3)
    assert timing.reference.value == pytest.approx(3e-3)
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


def test_what_a_reference_differs_by_from_itself_is_no_difference() -> None:
    faster = rounds(2.26e-3, 2.50e-3, 0.001)
    assert time_rounds(faster).comparison == "faster"
    assert time_rounds(faster, scatter=0.03).comparison == "faster"
    assert time_rounds(faster, scatter=0.08).comparison == "same"
    assert time_rounds(rounds(2.26e-3, 2.60e-3, 0.001), scatter=0.075).comparison == "ambiguous"
    # However disturbed the reference was when it was timed against itself.
    assert time_rounds(rounds(2.0e-3, 3.0e-3, 0.001), scatter=0.9).comparison == "faster"


def test_what_every_call_of_a_round_waits_for_cancels() -> None:
    held_up = [
        Round(r.at, r.touch_s + d, r.reference_s + d, r.candidate_s + d, r.around_s + d)
        for r, d in zip(rounds(2e-3, 3e-3), np.linspace(0, 1e-3, 40), strict=True)
    ]
    assert time_rounds(held_up).candidate.value == pytest.approx(2e-3)
    assert time_rounds(held_up).reference.value == pytest.approx(3e-3)


def test_work_after_the_word_done_is_charged_in_whichever_rounds_it_happens() -> None:
    # Half of the rounds return early and leave the rest to the copy: the whole call is what counts.
    honest = rounds(2e-3, 2e-3)
    assert time_rounds(honest).candidate.value == pytest.approx(2e-3)
    slow = [
        Round(r.at, r.touch_s, r.reference_s, r.candidate_s + 1e-3 * (i % 4 > 0), r.around_s)
        for i, r in enumerate(honest)
    ]
    assert time_rounds(slow).candidate.value > 2e-3


def test_empty_calls_that_a_program_slows_are_not_subtracted() -> None:
    slowed = [Round(r.at, r.touch_s + 1e-3, r.reference_s, r.candidate_s, r.around_s) for r in rounds(2e-3, 2e-3)]
    assert time_rounds(slowed).candidate.value == pytest.approx(1e-3)
    assert time_rounds(slowed, Quiet(4e-4, 2.4e-3, 2.4e-3, 1e-4)).candidate.value == pytest.approx(2e-3)


def test_a_reference_that_a_program_slows_counts_as_it_was_without() -> None:
    slowed = rounds(2e-3, 6e-3)
    assert time_rounds(slowed).comparison == "faster"
    timing = time_rounds(slowed, Quiet(4e-4, 2.4e-3, 2.4e-3, 1e-4))
    assert (timing.disturbed, timing.comparison) == (True, "same")
    assert timing.reference.value == pytest.approx(2e-3)
    assert not time_rounds(rounds(2e-3, 2.1e-3), Quiet(4e-4, 2.4e-3, 2.4e-3, 1e-4)).disturbed
    assert not time_rounds(slowed, Quiet(4e-4, 2.4e-3, 6.4e-3, 1e-4)).disturbed


def test_a_card_that_holds_itself_back_excuses_a_reference_as_far_as_its_clock_fell() -> None:
    slowed, quiet = rounds(2e-3, 3e-3), Quiet(4e-4, 2.4e-3, 2.4e-3, 1e-4)
    assert time_rounds(slowed, quiet).disturbed
    assert not time_rounds(slowed, quiet, slowed=1.5).disturbed
    assert time_rounds(rounds(2e-3, 6e-3), quiet, slowed=1.5).disturbed


def test_a_program_gains_nothing_by_holding_the_referee_up_in_calls_of_the_reference() -> None:
    held_up = [
        Round(r.at, r.touch_s + 1e-3, r.reference_s + 1e-3, r.candidate_s, r.around_s + 1e-3)
        for r in rounds(2e-3, 2e-3)
    ]
    assert time_rounds(held_up).candidate.value < 1.1e-3
    assert time_rounds(held_up, Quiet(4e-4, 2.4e-3, 2.4e-3, 1e-4)).candidate.value > 1.95e-3


def test_quiet_is_what_the_rounds_say_and_only_empty_calls_count_the_lower() -> None:
    assert quiet_of(rounds(2e-3, 3e-3)) == Quiet(*(pytest.approx(x) for x in (4e-4, 3.4e-3, 3.4e-3, 1e-4)))
    seen = Quiet(4.5e-4, 2.4e-3, 2.5e-3, 1.2e-4)
    assert seen.lowered_by(rounds(2e-3, 9e-3)) == Quiet(*(pytest.approx(x) for x in (4e-4, 2.4e-3, 2.5e-3, 1e-4)))
    assert Quiet(3e-4, 2.4e-3, 2.5e-3, 5e-5).lowered_by(rounds(2e-3, 1e-3)).touch_s == 3e-4
    with pytest.raises(ValueError, match="no rounds"):
        quiet_of([])


def test_a_program_that_holds_the_referee_up_leaves_the_next_one_no_longer_time() -> None:
    quiet = Quiet(4e-4, 2.4e-3, 2.4e-3, 1e-4)
    held_up = [
        Round(r.at, r.touch_s, r.reference_s + 2e-2, r.candidate_s, r.around_s + 2e-2) for r in rounds(2e-3, 2e-3)
    ]
    after = quiet.lowered_by(held_up)
    assert after.touch_s > 3e-4
    assert time_rounds(rounds(2e-3, 2e-3), after).candidate.value < 2.2e-3


def test_interval_covers_the_lower_quartile_of_noisy_rounds() -> None:
    timing = time_rounds(rounds(2e-3, 2e-3, 0.05))
    lower_quartile = 2e-3 * (1 - 0.05 * 0.6745)
    assert timing.candidate.low < timing.candidate.value < timing.candidate.high
    assert timing.candidate.low < lower_quartile < timing.candidate.high


def test_nothing_is_shorter_than_the_resolution() -> None:
    spread = [Round(float(i), 4e-4 + 1e-6 * (i % 5), 4e-4, 3.9e-4, 0.0) for i in range(20)]
    timing = time_rounds(spread)
    assert timing.candidate.value == timing.resolution_s == pytest.approx(1e-6)
    # Neither this program nor its reference can be told from an empty call.
    assert not timing.candidate_told
    assert not timing.reference_told


def test_a_program_too_short_for_the_clock_has_a_bound_beside_a_reference_that_is_not() -> None:
    spread = [Round(float(i), 4e-4 + 1e-6 * (i % 5), 2e-3, 4e-4, 0.0) for i in range(20)]
    timing = time_rounds(spread)
    assert timing.candidate.value == timing.resolution_s
    assert timing.candidate_told
    assert timing.reference_told
    assert timing.comparison == "faster"


def test_where_the_scatter_is_most_of_the_time_nothing_is_called_the_same() -> None:
    assert time_rounds(rounds(1e-3, 1e-3)).comparison == "same"
    short = [Round(float(i), 4e-4 + 1e-8 * (i % 5), 5e-4, 5e-4, 0.0) for i in range(20)]
    assert time_rounds(short).comparison == "ambiguous"


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


def test_a_round_is_throttled_from_its_beginning_until_its_calls_are_surely_over() -> None:
    # An empty call, one of the reference and one of the program: 1 + 2 + 4 ms, and as long again around them.
    three = [Round(at, 1e-3, 2e-3, 4e-3, 0.0) for at in (1.0, 2.0, 3.0)]
    for at, dropped in ((1.999, 0), (2.0, 1), (2.0139, 1), (2.0141, 0)):
        assert drop_throttled(three, [sample(at, 0x40)])[1] == dropped


def test_throttle_names_are_told_once() -> None:
    assert throttle_names([sample(0, 0x4), sample(1, 0x40), sample(2, 0x4)]) == "power cap, thermal (hardware)"
    assert throttle_names([sample(0, 0)]) == ""


def test_roofline_names_what_binds() -> None:
    share, bound = roofline(2.0, moved=1000, flops=10, bytes_per_s=1000.0, flops_per_s=1000.0)
    assert (share, bound) == (0.5, "memory")
    share, bound = roofline(4.0, moved=10, flops=1000, bytes_per_s=1000.0, flops_per_s=1000.0)
    assert (share, bound) == (0.25, "compute")
