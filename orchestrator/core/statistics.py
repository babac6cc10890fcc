"""Rates, intervals and quantiles. Pure: NumPy is imported where it is used, and every draw is seeded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist

__all__ = [
    "bootstrap_mean",
    "geometric_mean",
    "mean",
    "median",
    "median_interval",
    "p95",
    "pass_at_k",
    "percentile",
    "resampled",
    "selected_at_k",
    "wilson",
]

CONFIDENCE = 0.95
FEW = 2
"""Successes or failures below which a bootstrap covers too rarely (simulated: 75% instead of 95%)."""
FEW_VALUES = 10
"""Values below which a bootstrap covers too rarely (simulated: 90% to 92%, and none at all where all are equal)."""
ALIKE = 1e-9
"""Shares that differ by less are the same share, computed in two ways."""
EXACT = 1000
"""Values up to which the binomial distribution is summed exactly."""
RESAMPLES = 4000
"""Enough that the ends of a 95% interval move by less than a tenth of its width between seeds."""


def pass_at_k(n: int, c: int, k: int) -> float | None:
    """Chance that at least one of ``k`` samples passes, estimated without bias from ``c`` of ``n`` that did.

    ``1 - C(n - c, k) / C(n, k)`` of Chen et al. (2021), in exact integers. None when ``n < k``: there is no
    unbiased estimate from fewer samples than asked for.

    Raises:
        ValueError: unless ``0 <= c <= n`` and ``k >= 1``.
    """
    if not 0 <= c <= n or k < 1:
        raise ValueError(f"pass@k needs 0 <= c <= n and k >= 1, got n={n}, c={c}, k={k}")
    if n < k:
        return None
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def selected_at_k(samples: Sequence[tuple[float, bool]], k: int) -> float | None:
    """Chance that the best-looking of ``k`` samples passes, without bias over the choice of samples.

    Args:
        samples: (score on public tests, passed the scoring tests) of each sample of one problem.
        k: how many samples the chooser sees. It takes the highest score and breaks ties at random.

    Returns:
        The exact mean over all subsets of size ``k``; None when there are fewer samples. With ``k = 1``, or
        with equal scores, it is the share of samples that passed.

    Raises:
        ValueError: for ``k < 1``.
    """
    if k < 1:
        raise ValueError(f"selected@k needs k >= 1, got {k}")
    n = len(samples)
    if n < k:
        return None
    total = math.comb(n, k)
    value = 0.0
    better = 0
    for score in sorted({s for s, _ in samples}, reverse=True):
        group = [passed for s, passed in samples if s == score]
        # Subsets whose best score is this one: those without a better sample, less those without this group.
        ways = math.comb(n - better, k) - math.comb(n - better - len(group), k)
        value += ways / total * (sum(group) / len(group))
        better += len(group)
    return value


def wilson(k: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval for ``k`` successes in ``n`` independent tries; (0, 1) when ``n`` is 0.

    ``k`` may be the sum of shares of success, one for each try.

    Raises:
        ValueError: unless ``0 <= k <= n`` and ``0 < confidence < 1``.
    """
    if not 0 <= k <= n or not 0 < confidence < 1:
        raise ValueError(f"Wilson needs 0 <= k <= n and 0 < confidence < 1, got {k}, {n}, {confidence}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = k / n
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At the two ends the formula is exactly 0 and 1; floating point misses them by an ulp.
    low = 0.0 if k <= 0 else max(0.0, centre - half)
    high = 1.0 if k >= n else min(1.0, centre + half)
    return low, high


def resampled(values: Sequence[float]) -> bool:
    """Whether ``bootstrap_mean`` resamples these values; False where it gives Wilson's interval instead."""
    total = math.fsum(values)
    varied = max(values) - min(values) > ALIKE
    return len(values) >= FEW_VALUES and varied and min(total, len(values) - total) >= FEW


def bootstrap_mean(
    values: Sequence[float],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Bootstrap interval of the mean of ``values``, one value a problem: bias-corrected and accelerated (BCa).

    Problems are drawn with replacement, so the interval says what another set of such problems might give. Plain
    percentiles would be too narrow for rates near 0 or 1, whose values are skewed.
    Where there are fewer than ten problems, all have the same value, or the values add up to fewer than two
    successes or two failures, resampling sees too little of the spread (none, if all are equal) and would claim too
    much; the result is then Wilson's interval over as many problems, which is careful, since no values in 0..1
    spread more than zeros and ones.

    Args:
        values: one number in 0..1 a problem, e.g. its pass@k.
        seed: of the generator; equal seeds give equal intervals.

    Raises:
        ValueError: for no values, values outside 0..1, or a confidence outside (0, 1).
    """
    import numpy as np

    if not values or not 0 < confidence < 1:
        raise ValueError("the bootstrap needs at least one value and 0 < confidence < 1")
    # In order of size: the interval must not depend on the order in which trials happened to end.
    data = np.sort(np.asarray(values, dtype=np.float64))
    if data.min() < 0 or data.max() > 1:
        raise ValueError("this bootstrap is for shares: every value must lie in 0..1")
    if not resampled(values):
        return wilson(min(float(data.sum()), len(data)), len(data), confidence)
    generator = np.random.default_rng(seed)
    # In blocks, so that many problems do not need a matrix of problems x resamples at once.
    block = max(1, min(resamples, 2_000_000 // len(data)))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    means = np.concatenate(
        [data[generator.integers(0, len(data), (size, len(data)))].mean(axis=1) for size in sizes]
    )
    normal = NormalDist()
    # Ties count half: the mean of a few values falls on the observed mean quite often.
    below = float(np.mean(means < data.mean()) + np.mean(means == data.mean()) / 2)
    bias = normal.inv_cdf(min(max(below, 1 / resamples), 1 - 1 / resamples))
    deviations = data - data.mean()
    spread = float((deviations**2).sum())
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5)
    ends = []
    for share in ((1 - confidence) / 2, (1 + confidence) / 2):
        moved = bias + normal.inv_cdf(share)
        ends.append(normal.cdf(bias + moved / (1 - acceleration * moved)))
    low, high = np.quantile(means, ends)
    return float(low), float(high)


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of the median of the values' source, whatever its distribution: two of the values themselves.

    The median lies between the k-th smallest and the k-th largest value with a chance that the binomial
    distribution gives exactly. Fewer than six values cannot reach 95%; their range is returned.

    Raises:
        ValueError: for no values, or a confidence outside (0, 1).
    """
    if not values or not 0 < confidence < 1:
        raise ValueError("an interval of the median needs at least one value and 0 < confidence < 1")
    data = sorted(values)
    n = len(data)
    tail = (1 - confidence) / 2
    if n > EXACT:
        # The normal approximation, a whole rank to the careful side.
        k = math.floor(n / 2 + NormalDist().inv_cdf(tail) * math.sqrt(n) / 2)
    else:
        k, term, outcomes, whole = 0, 1, 1, 1 << n
        # The largest k for which fewer than k values below the median is rare enough.
        while outcomes / whole <= tail:
            term = term * (n - k) // (k + 1)
            k += 1
            outcomes += term
    k = max(1, k)
    return data[k - 1], data[n - k]


def mean(values: Iterable[float]) -> float | None:
    """Arithmetic mean; None of nothing."""
    data = list(values)
    return math.fsum(data) / len(data) if data else None


def percentile(values: Iterable[float], share: float) -> float | None:
    """Quantile with linear interpolation, as NumPy's default; ``share`` in 0..1. None of nothing.

    Raises:
        ValueError: for a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies in 0..1, got {share}")
    data = sorted(values)
    if not data:
        return None
    position = share * (len(data) - 1)
    below = math.floor(position)
    above = min(below + 1, len(data) - 1)
    return data[below] + (data[above] - data[below]) * (position - below)


def median(values: Iterable[float]) -> float | None:
    """The middle value; None of nothing."""
    return percentile(values, 0.5)


def p95(values: Iterable[float]) -> float | None:
    """The 95th percentile; None of nothing."""
    return percentile(values, 0.95)


def geometric_mean(values: Iterable[float]) -> float | None:
    """Geometric mean of numbers of at least 0; 0 when one of them is 0; None of nothing.

    Raises:
        ValueError: for a negative number.
    """
    data = list(values)
    if not data:
        return None
    if min(data) < 0:
        raise ValueError("a geometric mean needs numbers of at least 0")
    if min(data) == 0:
        return 0.0
    return math.exp(math.fsum(math.log(v) for v in data) / len(data))
