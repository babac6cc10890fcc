"""Estimators against published values, against SciPy and statsmodels, and by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from orchestrator.core.statistics import (
    bootstrap_mean,
    geometric_mean,
    mean,
    median,
    median_interval,
    p95,
    pass_at_k,
    percentile,
    resampled,
    selected_at_k,
    wilson,
)


def chen_et_al(n: int, c: int, k: int) -> float:
    """The numerically stable form printed in "Evaluating Large Language Models Trained on Code" (2021)."""
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


@pytest.mark.parametrize(
    ("n", "c", "k"), [(1, 0, 1), (1, 1, 1), (5, 2, 1), (10, 3, 5), (200, 40, 100), (200, 1, 10)]
)
def test_pass_at_k_is_the_published_estimator(n: int, c: int, k: int) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(chen_et_al(n, c, k), rel=1e-12)


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_mean_over_all_choices(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    choices = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_pass_at_k_is_not_given_for_fewer_samples() -> None:
    assert pass_at_k(4, 4, 5) is None


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_pass_at_k_refuses_nonsense(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@k"):
        pass_at_k(n, c, k)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=7), st.data())
def test_selected_at_k_is_the_mean_over_all_choices(samples: list[tuple[int, bool]], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(samples)))
    values = []
    for chosen in itertools.combinations(samples, k):
        best = max(score for score, _ in chosen)
        level = [passed for score, passed in chosen if score == best]
        values.append(sum(level) / len(level))
    assert selected_at_k([(float(s), p) for s, p in samples], k) == pytest.approx(sum(values) / len(values))


def test_selected_at_k_needs_k_samples() -> None:
    assert selected_at_k([(1.0, True)], 2) is None
    with pytest.raises(ValueError, match="k >= 1"):
        selected_at_k([(1.0, True)], 0)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (137, 164), (1, 1), (3, 7), (81, 263), (15, 148)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy_and_statsmodels(k: int, n: int, confidence: float) -> None:
    ours = wilson(k, n, confidence)
    scipy = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert ours == pytest.approx((scipy.low, scipy.high), abs=1e-12)
    assert ours == pytest.approx(proportion_confint(k, n, 1 - confidence, method="wilson"), abs=1e-12)


def test_wilson_known_values() -> None:
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
    assert [round(v, 4) for v in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(v, 4) for v in wilson(15, 148)] == [0.0624, 0.1605]
    assert [round(v, 4) for v in wilson(0, 20)] == [0.0, 0.1611]
    assert [round(v, 4) for v in wilson(1, 29)] == [0.0061, 0.1718]


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_ends_exactly_where_shares_do() -> None:
    assert {wilson(0, n)[0] for n in range(1, 300)} == {0.0}
    assert {wilson(n, n)[1] for n in range(1, 300)} == {1.0}


@pytest.mark.parametrize(("k", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_wilson_refuses_nonsense(k: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="Wilson"):
        wilson(k, n, confidence)


def test_bootstrap_is_close_to_scipys() -> None:
    # Skewed, so that the bias and acceleration of BCa matter.
    data = np.random.default_rng(3).beta(4, 1, 60)
    ours = bootstrap_mean(data.tolist(), seed=5)
    scipy = stats.bootstrap((data,), np.mean, method="BCa", rng=np.random.default_rng(8)).confidence_interval
    assert ours == pytest.approx((scipy.low, scipy.high), abs=0.004)


def test_bootstrap_is_seeded() -> None:
    data = [0.0, 0.25, 0.5, 1.0] * 30
    assert bootstrap_mean(data, seed=1) == bootstrap_mean(data, seed=1)
    assert bootstrap_mean(data, seed=1) != bootstrap_mean(data, seed=2)


@pytest.mark.parametrize("value", [0.0, 0.5, 0.25, 1.0])
def test_bootstrap_does_not_claim_certainty_when_all_are_alike(value: float) -> None:
    low, high = bootstrap_mean([value] * 20)
    assert (low, high) == wilson(value * 20, 20)
    assert high - low > 0.1


def test_shares_that_differ_by_rounding_only_are_alike() -> None:
    low, high = bootstrap_mean([1 - 2 / 3, 1 / 3] * 10)
    assert high - low > 0.1


@pytest.mark.parametrize("values", [[0.5] * 20, [1 / 3] * 12, [0.4, 0.5, 0.5, 0.6, 0.6]])
def test_bootstrap_of_little_spread_is_not_believed(values: list[float]) -> None:
    # Twenty problems that one of two samples solved do not make a rate that is known to the last digit.
    assert not resampled(values)
    assert bootstrap_mean(values) == pytest.approx(wilson(sum(values), len(values)))


def test_bootstrap_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_mean([])
    with pytest.raises(ValueError, match="at least one"):
        median_interval([])
    for confidence in (0.0, 1.0):
        for interval in (bootstrap_mean, median_interval):
            with pytest.raises(ValueError, match="confidence"):
                interval([0.1, 0.5, 1.0, 1.0, 0.9], confidence=confidence)
    with pytest.raises(ValueError, match="for shares"):
        bootstrap_mean([0.5, 1.5])


def test_bootstrap_of_many_values_goes_by_blocks() -> None:
    # More values than one block holds: the interval must still be that of a mean of 0.5.
    low, high = bootstrap_mean([0.0, 1.0] * 20_000, resamples=200)
    assert low < 0.5 < high
    assert high - low < 0.02


@pytest.mark.parametrize("n", [6, 7, 20, 51, 164, 1000])
def test_median_interval_takes_the_binomials_ranks(n: int) -> None:
    low, high = median_interval([float(i) for i in range(1, n + 1)])
    k = int(low)
    assert high == n + 1 - k
    # One rank further in, the tail would be more than 2.5%.
    assert stats.binom.cdf(k - 1, n, 0.5) <= 0.025 < stats.binom.cdf(k, n, 0.5)


def test_median_interval_of_few_values_is_their_range() -> None:
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert median_interval([5.0]) == (5.0, 5.0)


def test_median_interval_of_many_values_is_as_the_exact_one() -> None:
    low, high = median_interval([float(i) for i in range(1, 20_001)])
    exact = float(stats.binom.ppf(0.025, 20_000, 0.5))
    assert abs(low - exact) <= 2
    assert high == 20_001 - low


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_percentile_is_numpys(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-6)


def test_quantiles_of_nothing_are_none() -> None:
    assert median([]) is None
    assert p95([]) is None
    assert mean([]) is None
    assert geometric_mean([]) is None
    assert (median([3, 1, 2]), p95([1.0])) == (2, 1.0)
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], 95)


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert geometric_mean([1.0, 2.0, 4.0]) == pytest.approx(float(stats.gmean([1.0, 2.0, 4.0])))
    assert geometric_mean([3.0, 0.0]) == 0.0
    assert math.isclose(geometric_mean([1e-200] * 5) or 0.0, 1e-200)
    with pytest.raises(ValueError, match="at least 0"):
        geometric_mean([-1.0])


def test_an_interval_does_not_depend_on_the_order_in_which_trials_ended() -> None:
    values = [0.0, 1.0, 0.5, 1.0, 0.25, 0.0, 1.0, 0.75, 0.5, 1.0]
    assert bootstrap_mean(values) == bootstrap_mean(values[::-1]) == bootstrap_mean(sorted(values))
