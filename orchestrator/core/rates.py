"""Rates over problems with their intervals: of one sample, of several, and over the turns of a repair.

A problem's value is the share of its graded samples that passed (or its pass@k), and the rate is the mean over
problems. With one sample a problem, and with few problems, the interval is Wilson's, otherwise a bootstrap over
problems.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.rows import Row, by_problem, is_passed
from orchestrator.core.statistics import bootstrap_mean, pass_at_k, resampled, selected_at_k, wilson
from orchestrator.core.verdicts import GRADED, Verdict

__all__ = [
    "Rate",
    "TurnRates",
    "mean_rate",
    "passed_at_ks",
    "rate_over_problems",
    "selected_at_ks",
    "selected_value",
    "turn_rates",
]

PROGRAMLESS = frozenset({Verdict.NO_CODE, Verdict.ERROR})
"""Verdicts of replies without a program, or without the function that was asked for."""
USUAL_KS = (5, 10, 25, 50, 100)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share (0..1) with its 95% interval."""

    value: float
    low: float
    high: float
    problems: int
    """How many problems it is a mean over."""
    method: str
    """How the interval was made: ``wilson`` or ``bootstrap``."""


@dataclass(frozen=True, slots=True)
class TurnRates:
    """What repair did to the trials of a cell whose first turn was graded too."""

    first_turn: Rate | None
    """The first turn's programs on the scoring tests."""
    repaired: Rate | None
    """Of the trials whose first turn failed, the share that passed in the end."""
    broken: int
    """Trials that passed at first and failed in the end."""


def rate_over_problems(groups: Iterable[Sequence[bool]], seed: int = 0) -> Rate | None:
    """Mean over problems of each problem's share of successes; empty problems are left out. None of nothing."""
    lists = [group for group in groups if group]
    if not lists:
        return None
    if all(len(group) == 1 for group in lists):
        hits = sum(group[0] for group in lists)
        return Rate(hits / len(lists), *wilson(hits, len(lists)), problems=len(lists), method="wilson")
    return mean_rate([sum(group) / len(group) for group in lists], seed)


def mean_rate(values: Sequence[float], seed: int) -> Rate:
    """Mean of one value in 0..1 a problem, with a bootstrap over problems where there are enough of them."""
    value = math.fsum(values) / len(values)
    method = "bootstrap" if resampled(values) else "wilson"
    return Rate(value, *bootstrap_mean(values, seed=seed), problems=len(values), method=method)


def passed_at_ks(groups: Mapping[str, Sequence[Row]], samples: int, seed: int) -> dict[int, Rate]:
    """pass@k for the usual ks above 1 that ``samples`` allow, from graded rows by problem."""
    rates = {}
    for k in _ks(samples):
        values = [pass_at_k(len(group), sum(map(is_passed, group)), k) for group in groups.values()]
        known = [value for value in values if value is not None]
        if known:
            rates[k] = mean_rate(known, seed)
    return rates


def selected_at_ks(groups: Mapping[str, Sequence[Row]], samples: int, seed: int) -> dict[int, Rate]:
    """The same ks when the sample is chosen by public tests; empty where those were not run.

    A reply without a program has no public verdict of its own; to whoever chooses it looks like a failed one.
    """
    graded = [row for group in groups.values() for row in group]
    if not any(row.get("public_verdict") is not None for row in graded):
        return {}
    if any(row.get("public_verdict") is None and row.get("verdict") not in PROGRAMLESS for row in graded):
        return {}
    rates = {}
    for k in _ks(samples):
        values = [selected_value(group, k) for group in groups.values()]
        known = [value for value in values if value is not None]
        if known:
            rates[k] = mean_rate(known, seed)
    return rates


def selected_value(group: Sequence[Row], k: int) -> float | None:
    """Chance that public tests choose a passing one of ``k`` samples of a problem; None with fewer samples."""
    return selected_at_k([(float(r.get("public_verdict") == Verdict.PASSED), is_passed(r)) for r in group], k)


def turn_rates(graded: Sequence[Row], seed: int) -> TurnRates:
    """First-turn and repaired rates of graded rows; None in both where no first turn was graded."""
    first = [row for row in graded if row.get("first_turn_verdict") in GRADED]
    groups = [
        [(r["first_turn_verdict"] == Verdict.PASSED, is_passed(r)) for r in group]
        for group in by_problem(first).values()
    ]
    return TurnRates(
        first_turn=rate_over_problems([[f for f, _ in group] for group in groups], seed),
        repaired=rate_over_problems([[e for f, e in group if not f] for group in groups], seed),
        broken=sum(f and not e for group in groups for f, e in group),
    )


def _ks(samples: int) -> list[int]:
    return sorted({k for k in USUAL_KS if k <= samples} | ({samples} if samples > 1 else set()))
