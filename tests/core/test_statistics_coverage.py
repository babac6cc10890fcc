"""Intervals hold the truth as often as they say, and tests cry wolf as rarely: by seeded simulation."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.core.comparison import compare, detectable_difference, mcnemar_exact, sign_flip
from orchestrator.core.statistics import bootstrap_mean, median_interval, pass_at_k, wilson


@pytest.mark.parametrize("n", [20, 164])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.83, 0.97])
def test_wilson_covers(n: int, rate: float) -> None:
    counts = np.random.default_rng(n).binomial(n, rate, 4000)
    hits = sum(low <= rate <= high for low, high in (wilson(int(k), n) for k in counts))
    # Its coverage swings around 95%: near the ends and for 20 problems it may dip to about 91%.
    assert 0.905 <= hits / 4000 <= 0.995


@pytest.mark.parametrize(("a", "b"), [(2, 2), (0.5, 0.5), (5, 1)])
def test_bootstrap_of_pass_at_5_covers(a: float, b: float) -> None:
    # Problems of different difficulty, five of ten samples: the truth is the mean over the population. In the
    # last case it is 0.998, where hardly any problem fails and a plain bootstrap covers 83%.
    generator = np.random.default_rng(0)
    population = generator.beta(a, b, 20_000)
    truth = float(np.mean(1 - (1 - population) ** 5))
    hits = 0
    for trial in range(300):
        passed = generator.binomial(10, generator.choice(population, 100))
        values = [pass_at_k(10, int(c), 5) or 0.0 for c in passed]
        low, high = bootstrap_mean(values, seed=trial, resamples=500)
        hits += low <= truth <= high
    assert hits / 300 >= 0.92


def test_pass_at_k_is_unbiased() -> None:
    generator = np.random.default_rng(1)
    p = 0.3
    values = [pass_at_k(8, int(c), 3) or 0.0 for c in generator.binomial(8, p, 20_000)]
    assert np.mean(values) == pytest.approx(1 - (1 - p) ** 3, abs=0.006)


def test_mcnemar_is_not_fooled_by_chance() -> None:
    # Two systems that are equally good: fewer than 5% of comparisons may be called significant.
    generator = np.random.default_rng(2)
    flips = generator.multinomial(164, [0.1, 0.1, 0.8], 3000)
    wrong = sum(mcnemar_exact(int(b), int(c)) < 0.05 for b, c, _ in flips)
    assert wrong / 3000 <= 0.05


def test_sign_flip_is_not_fooled_by_chance() -> None:
    generator = np.random.default_rng(3)
    wrong = 0
    for trial in range(200):
        rates = generator.beta(2, 1, 60)
        a, b = generator.binomial(5, rates) / 5, generator.binomial(5, rates) / 5
        wrong += sign_flip((b - a).tolist(), seed=trial) < 0.05
    assert wrong / 200 <= 0.09


@pytest.mark.parametrize(("n", "discordance"), [(8, 0.0), (12, 0.2), (164, 0.1), (164, 0.3), (500, 0.2)])
def test_the_detectable_difference_is_detected_about_four_times_in_five(n: int, discordance: float) -> None:
    delta = detectable_difference(n, discordance)
    discordance = max(discordance, delta)
    gain, loss = (discordance + delta) / 2, (discordance - delta) / 2
    flips = np.random.default_rng(4).multinomial(n, [gain, loss, 1 - discordance], 3000)
    power = sum(mcnemar_exact(int(b), int(c)) < 0.05 for b, c, _ in flips) / 3000
    # The exact test is a little more careful than the normal approximation behind the formula.
    assert 0.68 <= power <= 0.85


def test_the_paired_interval_covers_the_difference() -> None:
    generator = np.random.default_rng(5)
    hits = 0
    for trial in range(200):
        kinds = generator.choice(3, 164, p=[0.12, 0.05, 0.83])
        rows_a = [{"problem": str(i), "verdict": "passed" if k == 1 else "error"} for i, k in enumerate(kinds)]
        rows_b = [{"problem": str(i), "verdict": "passed" if k == 0 else "error"} for i, k in enumerate(kinds)]
        paired = compare(rows_a, rows_b, seed=trial)
        assert paired is not None
        hits += paired.low <= 0.07 <= paired.high
    assert 0.9 <= hits / 200 <= 0.99


@pytest.mark.parametrize(("n", "gain", "loss"), [(8, 0.1, 0.02), (20, 0.1, 0.1), (20, 0.04, 0.01)])
def test_the_paired_interval_covers_where_few_problems_flip(n: int, gain: float, loss: float) -> None:
    generator = np.random.default_rng(6)
    hits = 0
    for trial in range(200):
        kinds = generator.choice(3, n, p=[gain, loss, 1 - gain - loss])
        rows_a = [{"problem": str(i), "verdict": "passed" if k == 1 else "error"} for i, k in enumerate(kinds)]
        rows_b = [{"problem": str(i), "verdict": "passed" if k == 0 else "error"} for i, k in enumerate(kinds)]
        paired = compare(rows_a, rows_b, seed=trial)
        assert paired is not None
        hits += paired.low <= gain - loss <= paired.high
    # A bootstrap alone holds it in 86% to 90% of these.
    assert hits / 200 >= 0.94


@pytest.mark.parametrize("n", [9, 40, 2000])
def test_the_medians_interval_covers(n: int) -> None:
    generator = np.random.default_rng(n)
    intervals = [median_interval(generator.exponential(1.0, n).tolist()) for _ in range(600)]
    hits = sum(low <= np.log(2) <= high for low, high in intervals)
    assert 0.93 <= hits / 600 <= 0.99


@pytest.mark.parametrize(("n", "spread"), [(6, 20), (8, 20), (8, 2)])
def test_rates_of_few_problems_are_covered(n: int, spread: float) -> None:
    # Five samples of few problems, alike in difficulty or not.
    generator = np.random.default_rng(7)
    hits = 0
    for trial in range(300):
        values = (generator.binomial(5, generator.beta(spread, spread, n)) / 5).tolist()
        low, high = bootstrap_mean(values, seed=trial, resamples=500)
        hits += low <= 0.5 <= high
    # A bootstrap holds it in about 90%.
    assert hits / 300 >= 0.95


@pytest.mark.parametrize(("a", "b", "n"), [(11, 1, 60), (20, 1, 164), (2, 0.1, 60)])
def test_rates_near_the_end_are_covered_too(a: float, b: float, n: int) -> None:
    # Five samples a problem and pass@1 from 0.92 to 0.95: a handful of failures in all.
    generator = np.random.default_rng(0)
    truth = a / (a + b)
    hits = 0
    for trial in range(300):
        values = (generator.binomial(5, generator.beta(a, b, n)) / 5).tolist()
        low, high = bootstrap_mean(values, seed=trial, resamples=500)
        hits += low <= truth <= high
    assert hits / 300 >= 0.9
