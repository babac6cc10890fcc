"""Whether one system is better than another on the same problems, and what this many problems can show.

Two systems are always compared on the problems that both were graded on, paired by suite digest and problem id.
With one sample a problem the test is McNemar's, exact; with more it is the sign-flip test on the per-problem
differences, of which McNemar's is the one-sample case. The interval is a bootstrap over problems, and where few of
them flipped one of the two ways the adjusted interval of Bonett and Price (2012).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from orchestrator.core.rows import Row, is_graded, is_passed
from orchestrator.core.statistics import CONFIDENCE, bootstrap_mean

__all__ = [
    "ALPHA",
    "RELEVANT",
    "Outcome",
    "Paired",
    "compare",
    "correct_for_several",
    "detectable_difference",
    "holm",
    "mcnemar_exact",
    "outcome",
    "sign_flip",
    "smallest_significant",
]

ALPHA = 0.05
POWER = 0.8
RELEVANT = 0.10
"""A difference of 10 points: a run that cannot show even this says ``cannot tell`` and not ``no difference``."""

UNMATCHED = 0.05
"""Above this share of problems that only one side has graded, what was left out could turn the verdict."""

Outcome = Literal["better", "worse", "no difference shown", "cannot tell"]
ProblemKey = tuple[str, str]
FLIPS = 20_000
FEW_FLIPS = 5
"""Problems that went one way below which a bootstrap covers too rarely (simulated: 85% to 92% instead of 95%)."""


@dataclass(frozen=True, slots=True)
class Paired:
    """System B against system A (the baseline) on the problems that both were graded on."""

    problems: int
    """How many problems were compared."""
    a_only: tuple[str, ...]
    """Ids of problems on which A did better (with one sample: A solved it and B did not)."""
    b_only: tuple[str, ...]
    same: int
    a_rate: float
    b_rate: float
    difference: float
    """B's rate less A's, in shares (0.08 is 8 points)."""
    low: float
    """Lower end of its 95% interval."""
    high: float
    p: float
    """Two-sided; see the module's text for the test."""
    p_adjusted: float
    """After Holm's correction for the comparisons made together; equals ``p`` when there was one."""
    test: str
    """``exact McNemar`` or ``sign flip``."""
    detectable: float
    """The true difference that so many problems with so many flips show four times in five."""
    unmatched: int
    """Problems that only one side has graded."""

    @property
    def one_sided(self) -> bool:
        """Whether so many problems were graded on one side only that the rest says nothing of the whole."""
        return self.unmatched > UNMATCHED * (self.problems + self.unmatched)


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value for ``b`` flips one way and ``c`` the other; 1 when there are none.

    Raises:
        ValueError: for negative counts.
    """
    if b < 0 or c < 0:
        raise ValueError(f"counts of flips cannot be negative, got {b}, {c}")
    n = b + c
    tail = sum(math.comb(n, i) for i in range(min(b, c) + 1))
    return min(1.0, 2 * tail / (1 << n))


def sign_flip(differences: Sequence[float], seed: int = 0) -> float:
    """Two-sided p-value that the mean of paired ``differences`` is 0, by flipping their signs at random.

    Drawn 20,000 times from a seeded generator; the observed signs count as one draw, so it is never 0.
    """
    import numpy as np

    # In order of size, so that the order in which trials ended does not change what is drawn.
    data = np.sort(np.asarray([d for d in differences if d != 0.0], dtype=np.float64))
    if not len(data):
        return 1.0
    generator = np.random.default_rng(seed)
    observed = abs(float(data.sum())) - 1e-12
    hits = drawn = 0
    block = max(1, 2_000_000 // len(data))
    while drawn < FLIPS:
        size = min(block, FLIPS - drawn)
        signs = generator.integers(0, 2, size=(size, len(data))) * 2 - 1
        hits += int((np.abs(signs @ data) >= observed).sum())
        drawn += size
    return (hits + 1) / (drawn + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def smallest_significant(n: int, alpha: float = ALPHA) -> float | None:
    """The smallest observed difference that can be significant at all with ``n`` paired problems.

    It is reached when every flip goes one way (6 flips for alpha = 0.05). None when ``n`` problems are too few
    for any outcome to be significant.
    """
    flips = next((m for m in range(1, n + 1) if mcnemar_exact(0, m) < alpha), None)
    return None if flips is None else flips / n


def detectable_difference(n: int, discordance: float, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest true difference that ``n`` paired problems show with chance ``power`` (Connor, 1987).

    Args:
        n: paired problems.
        discordance: share of problems on which the two sides differ; raised to the difference itself where
            it is smaller, since the flips cannot be fewer than the difference.

    Returns:
        A share in 0..1; 1 when even certain improvement would not show. Never less than what brings the fewest
        flips that can be significant with that chance when all go one way: of few problems the formula knows
        nothing of that (of 8 it would say 72 points, which show three times in five).
    """
    least = smallest_significant(n, alpha)
    if least is None:
        return 1.0
    flips = round(least * n)
    z_alpha = NormalDist().inv_cdf(1 - alpha / 2)
    z_power = NormalDist().inv_cdf(power)

    def needed(delta: float) -> float:
        psi = max(discordance, delta)
        return (z_alpha * math.sqrt(psi) + z_power * math.sqrt(max(psi - delta * delta, 0.0))) ** 2 / delta**2

    def shows(delta: float) -> bool:
        too_few = math.fsum(math.comb(n, i) * delta**i * (1 - delta) ** (n - i) for i in range(flips))
        return needed(delta) <= n and too_few <= 1 - power

    low, high = 0.0, 1.0
    if not shows(high):
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


def compare(a: Iterable[Row], b: Iterable[Row], *, seed: int = 0) -> Paired | None:
    """Compare two sets of result rows; None when no problem was graded in both.

    Rows are joined on suite digest and problem id, never on their order. ``infrastructure`` and ``not_run``
    leave a problem unmatched.
    """
    left, right = _shares(a), _shares(b)
    shared = [key for key in left if key in right and left[key] and right[key]]
    if not shared:
        return None
    rates = [(_mean(left[key]), _mean(right[key])) for key in shared]
    differences = [y - x for x, y in rates]
    a_only = tuple(key[1] for key, d in zip(shared, differences, strict=True) if d < 0)
    b_only = tuple(key[1] for key, d in zip(shared, differences, strict=True) if d > 0)
    n = len(shared)
    single = all(len(left[key]) == 1 and len(right[key]) == 1 for key in shared)
    p = mcnemar_exact(len(a_only), len(b_only)) if single else sign_flip(differences, seed)
    low, high = _difference_interval(differences, seed)
    return Paired(
        problems=n,
        a_only=a_only,
        b_only=b_only,
        same=n - len(a_only) - len(b_only),
        a_rate=math.fsum(x for x, _ in rates) / n,
        b_rate=math.fsum(y for _, y in rates) / n,
        difference=math.fsum(differences) / n,
        low=low,
        high=high,
        p=p,
        p_adjusted=p,
        test="exact McNemar" if single else "sign flip",
        detectable=_detectable(differences, single),
        unmatched=len({key for key in left if left[key]} ^ {key for key in right if right[key]}),
    )


def correct_for_several(comparisons: Sequence[Paired]) -> list[Paired]:
    """The same comparisons with Holm's correction for having made all of them."""
    adjusted = holm([c.p for c in comparisons])
    return [replace(c, p_adjusted=p) for c, p in zip(comparisons, adjusted, strict=True)]


def outcome(paired: Paired | None) -> Outcome:
    """What the comparison shows of B against A.

    ``better`` and ``worse`` need an adjusted p below 0.05. Otherwise it is ``no difference shown`` where the
    problems were enough to show 10 points, and ``cannot tell`` where they were not, or where more than one problem
    in twenty was graded on one side only.
    """
    if paired is None or paired.one_sided:
        return "cannot tell"
    if paired.p_adjusted < ALPHA:
        return "better" if paired.difference > 0 else "worse"
    return "no difference shown" if paired.detectable <= RELEVANT else "cannot tell"


def _shares(rows: Iterable[Row]) -> dict[ProblemKey, list[bool]]:
    groups: defaultdict[ProblemKey, list[bool]] = defaultdict(list)
    for row in rows:
        group = groups[(str(row.get("suite_digest") or ""), str(row.get("problem")))]
        if is_graded(row):
            group.append(is_passed(row))
    return dict(groups)


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def _detectable(differences: Sequence[float], single: bool) -> float:
    n = len(differences)
    squares = math.fsum(d * d for d in differences) / n
    variance = squares - (math.fsum(differences) / n) ** 2
    if single or variance <= 0:
        return detectable_difference(n, squares)
    # Shares of several samples differ by parts of a problem, so their own spread counts and not that of flips.
    if smallest_significant(n) is None:
        return 1.0
    normal = NormalDist()
    return min(1.0, (normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(POWER)) * math.sqrt(variance / n))


def _difference_interval(differences: Sequence[float], seed: int) -> tuple[float, float]:
    """Bootstrap over problems; another interval where resampling is blind.

    When no problem flipped, resampling would give an interval of no width. What n problems without a flip
    still allow is the rule of three: a difference of up to about 3 / n either way. When few flipped one of the
    two ways, it would leave out differences that a handful of such flips more would make.
    """
    if all(d == 0.0 for d in differences):
        reach = min(1.0, 3.0 / len(differences))
        return -reach, reach
    if min(sum(d > 0 for d in differences), sum(d < 0 for d in differences)) < FEW_FLIPS:
        return _adjusted_interval(differences)
    # Shifted into 0..1, where the bootstrap for shares takes them.
    low, high = bootstrap_mean([(1 + d) / 2 for d in differences], seed=seed)
    return 2 * low - 1, 2 * high - 1


def _adjusted_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Normal interval after one more problem has flipped either way (Bonett and Price, 2012).

    With several samples those two flip by as much as any problem did, which with one sample is all the way.
    """
    largest = max(map(abs, differences))
    data = [*differences, largest, -largest]
    middle = math.fsum(data) / len(data)
    variance = math.fsum((d - middle) ** 2 for d in data) / len(data)
    half = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * math.sqrt(variance / len(data))
    return max(-1.0, middle - half), min(1.0, middle + half)
