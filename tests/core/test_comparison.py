"""Paired comparison against published examples, SciPy and statsmodels."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from orchestrator.core.comparison import (
    compare,
    correct_for_several,
    detectable_difference,
    holm,
    mcnemar_exact,
    outcome,
    sign_flip,
    smallest_significant,
)


def rows(verdicts: dict[str, str | list[str]], suite: str = "s") -> list[dict[str, object]]:
    return [
        {"suite_digest": suite, "problem": problem, "sample": i, "verdict": verdict}
        for problem, found in verdicts.items()
        for i, verdict in enumerate([found] if isinstance(found, str) else found)
    ]


def flips(gained: int, lost: int, same: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    kinds = [("error", "passed")] * gained + [("passed", "error")] * lost + [("passed", "passed")] * same
    return (
        rows({str(i): a for i, (a, _) in enumerate(kinds)}),
        rows({str(i): b for i, (_, b) in enumerate(kinds)}),
    )


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels_and_scipy(b: int, c: int) -> None:
    ours = mcnemar_exact(b, c)
    if b + c:
        assert ours == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-9)
        assert ours == pytest.approx(mcnemar([[0, b], [c, 0]], exact=True).pvalue, rel=1e-9)
    else:
        assert ours == 1.0


def test_mcnemar_known_values() -> None:
    # 6 flips one way are the fewest that are significant; 5 are not.
    assert mcnemar_exact(0, 5) == 0.0625
    assert mcnemar_exact(0, 6) == 0.03125
    assert mcnemar_exact(3, 3) == 1.0
    assert mcnemar_exact(0, 2000) < 1e-300 or mcnemar_exact(0, 2000) == 0.0
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 2)


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_holm_known_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_sign_flip_is_mcnemar_with_one_sample() -> None:
    differences = [1.0] * 9 + [-1.0] * 2 + [0.0] * 50
    assert sign_flip(differences) == pytest.approx(mcnemar_exact(9, 2), abs=0.01)
    assert sign_flip([0.0, 0.0]) == 1.0


def test_sign_flip_agrees_with_every_choice_of_signs() -> None:
    generator = random.Random(1)
    differences = [generator.choice([0.2, -0.2, 0.4, 0.6]) for _ in range(10)]
    observed = abs(sum(differences)) - 1e-9
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=10)
    ]
    exact = sum(total >= observed for total in sums) / len(sums)
    assert sign_flip(differences) == pytest.approx(exact, abs=0.01)


def test_sign_flip_agrees_with_scipy() -> None:
    # Values without ties, which SciPy's comparison of sums would trip over.
    generator = random.Random(2)
    differences = [generator.gauss(0.3, 1) for _ in range(30)]
    scipy = stats.permutation_test(
        (differences, [0.0] * 30), lambda x, y: (x - y).mean(), permutation_type="samples", vectorized=False,
        n_resamples=4000, rng=1,
    )  # fmt: skip
    assert sign_flip(differences) == pytest.approx(scipy.pvalue, abs=0.03)


def test_compare_counts_flips_by_id() -> None:
    a, b = flips(3, 1, 10)
    paired = compare(a, b)
    assert paired is not None
    assert (paired.problems, paired.same) == (14, 10)
    assert paired.b_only == ("0", "1", "2")
    assert paired.a_only == ("3",)
    assert paired.difference == pytest.approx(2 / 14)
    assert paired.p == mcnemar_exact(1, 3)
    assert paired.test == "exact McNemar"
    assert paired.low < paired.difference < paired.high


def test_the_interval_of_a_difference_is_scipys() -> None:
    paired = compare(*flips(30, 12, 122))
    assert paired is not None
    differences = [1.0] * 30 + [-1.0] * 12 + [0.0] * 122
    scipy = stats.bootstrap((differences,), lambda x, axis: x.mean(axis=axis), method="BCa", rng=4)
    assert (paired.low, paired.high) == pytest.approx(tuple(scipy.confidence_interval), abs=0.01)


def test_compare_joins_on_problem_and_never_on_order() -> None:
    a, b = flips(3, 1, 10)
    shuffled = list(reversed(b))
    assert compare(a, shuffled) == compare(a, b)


def test_compare_needs_the_same_suite() -> None:
    a = rows({"HumanEval/0": "passed"}, suite="one")
    b = rows({"HumanEval/0": "passed"}, suite="other")
    assert compare(a, b) is None


def test_what_was_not_graded_is_not_a_wrong_answer() -> None:
    a = rows({"0": "passed", "1": "passed", "2": "passed"})
    b = rows({"0": "passed", "1": "infrastructure", "2": "not_run"})
    paired = compare(a, b)
    assert paired is not None
    assert (paired.problems, paired.unmatched, paired.difference) == (1, 2, 0.0)


def test_what_neither_has_graded_is_nobodys_gap() -> None:
    a, b = flips(10, 0, 30)
    neither = rows({"x": "not_run", "y": "infrastructure"})
    paired = compare([*a, *neither], [*b, *neither])
    assert paired is not None
    assert (paired.unmatched, paired.one_sided, outcome(paired)) == (0, False, "better")


def test_too_much_that_only_one_has_graded_stops_the_verdict() -> None:
    a, b = flips(10, 0, 30)
    more = rows({f"x{i}": "passed" for i in range(3)})
    paired = compare([*a, *more], b)
    assert paired is not None
    assert (paired.unmatched, paired.p < 0.05, outcome(paired)) == (3, True, "cannot tell")


def test_several_samples_are_paired_by_their_share() -> None:
    a = rows({"0": ["passed", "error"], "1": ["error", "error"]})
    b = rows({"0": ["passed", "passed"], "1": ["error", "passed"]})
    paired = compare(a, b)
    assert paired is not None
    assert paired.difference == pytest.approx(0.5)
    assert paired.test == "sign flip"


def test_what_shares_can_show_goes_by_their_own_spread() -> None:
    # One sample in five more on every other problem: far less spread than flips of whole problems.
    a = rows({str(i): ["passed"] * 3 + ["error"] * 2 for i in range(60)})
    b = rows({str(i): ["passed"] * (3 + i % 2) + ["error"] * (2 - i % 2) for i in range(60)})
    paired = compare(a, b)
    assert paired is not None
    assert paired.difference == pytest.approx(0.1)
    assert paired.detectable == pytest.approx((1.96 + 0.84) * 0.1 / 60**0.5, rel=0.01)


@pytest.mark.parametrize("gained", [1, 3, 5, 6, 8])
def test_flips_of_one_way_only_leave_out_no_difference_when_the_test_does(gained: int) -> None:
    paired = compare(*flips(gained, 0, 164 - gained))
    assert paired is not None
    assert (paired.low > 0) == (paired.p < 0.05)
    assert paired.low < paired.difference < paired.high


def test_few_problems_show_nothing_however_alike_their_shares() -> None:
    # Five problems can't be significant; that their differences hardly spread does not make up for it.
    a = rows({str(i): ["passed"] * 2 + ["error"] * 3 for i in range(5)})
    b = rows({str(i): ["passed"] * (2 + i % 2) + ["error"] * (3 - i % 2) for i in range(5)})
    paired = compare(a, b)
    assert paired is not None
    assert paired.detectable == 1.0
    assert outcome(paired) == "cannot tell"


def test_what_flips_can_show_goes_by_connors_formula() -> None:
    paired = compare(*flips(20, 0, 144))
    assert paired is not None
    flipped, shown = 20 / 164, paired.detectable
    # So many problems are needed to show what is said to be shown: all that there are.
    needed = ((1.95996 * flipped**0.5 + 0.84162 * (flipped - shown**2) ** 0.5) / shown) ** 2
    assert needed == pytest.approx(164, rel=1e-3)


def test_shares_that_all_differ_alike_do_not_show_everything() -> None:
    paired = compare(
        rows({str(i): ["passed", "error"] for i in range(20)}), rows({str(i): ["passed"] * 2 for i in range(20)})
    )
    assert paired is not None
    assert 0.1 < paired.detectable <= 1.0


def test_no_flip_at_all_still_leaves_doubt() -> None:
    a, b = flips(0, 0, 100)
    paired = compare(a, b)
    assert paired is not None
    assert (paired.low, paired.high) == pytest.approx((-0.03, 0.03))
    assert paired.p == 1.0


@pytest.mark.parametrize(
    ("gained", "lost", "same", "said"),
    [
        (20, 2, 142, "better"),
        (2, 20, 142, "worse"),
        (4, 4, 156, "no difference shown"),
        (0, 0, 164, "no difference shown"),
        (3, 0, 17, "cannot tell"),
        (0, 0, 10, "cannot tell"),
    ],
)
def test_outcomes(gained: int, lost: int, same: int, said: str) -> None:
    assert outcome(compare(*flips(gained, lost, same))) == said


def test_nothing_in_common_cannot_tell() -> None:
    assert outcome(None) == "cannot tell"


def test_correction_makes_significance_rarer() -> None:
    single = compare(*flips(7, 0, 157))
    assert single is not None
    assert outcome(single) == "better"
    corrected = correct_for_several([single] * 5)
    assert [c.p_adjusted for c in corrected] == pytest.approx([5 * single.p] * 5)
    assert outcome(corrected[0]) == "no difference shown"


def test_smallest_significant_difference() -> None:
    assert smallest_significant(164) == pytest.approx(6 / 164)
    assert smallest_significant(5) is None


def test_detectable_difference_falls_with_problems_and_rises_with_flips() -> None:
    assert detectable_difference(1000, 0.1) < detectable_difference(164, 0.1) < detectable_difference(40, 0.1)
    assert detectable_difference(164, 0.1) < detectable_difference(164, 0.3)
    assert detectable_difference(0, 0.1) == 1.0
    assert detectable_difference(3, 0.5) == 1.0
    # The formula alone would say 96 points, and even five flips of five are no proof.
    assert detectable_difference(5, 0.5) == 1.0
    assert detectable_difference(100_000, 0.0) < 0.001


def test_a_comparison_does_not_depend_on_the_order_in_which_trials_ended() -> None:
    differences = [0.5, -0.25, 0.75, 0.5, -0.5, 1.0, 0.25, 0.25]
    assert sign_flip(differences) == sign_flip(differences[::-1])
