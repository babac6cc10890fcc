"""Solved problems against dollars: what each way of spending money on the same problems really bought.

A way to spend is a *strategy*: one try, the best of k tries as public tests choose it, the same as an oracle would,
or repair. Each goes through the problems in the suite's order and pays what its own replies cost, so its line says
how many problems it had solved when so many dollars were gone. Strategies are compared at an equal budget.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.comparison import ALPHA, holm, sign_flip
from orchestrator.core.findings import is_claude
from orchestrator.core.rates import selected_value
from orchestrator.core.rows import Row, by_problem, is_graded, is_passed, natural, number
from orchestrator.core.statistics import pass_at_k
from orchestrator.core.summary import CellSummary, Summary
from orchestrator.core.verdicts import Verdict

__all__ = ["Budget", "Strategy", "equal_budget", "real_difference", "strategies"]

SINGLE, SELECTED, ORACLE, REPAIRED = "single shot", "best of {k}", "oracle of {k}", "repaired"


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to spend money, with what it bought problem by problem."""

    cell: CellSummary
    kind: str
    """``single shot``, ``best of 3``, ``oracle of 3`` or ``repaired``."""
    bound: bool
    """It looks at the scoring tests, so it is an upper bound that nobody can buy."""
    bought: Mapping[str, tuple[float, float]]
    """Problem to (dollars, chance that the answer handed in passes), in the suite's order."""
    lost: int = 0
    """Problems of the suite that are in no strategy, since our own failures left one of them without a grade."""

    @property
    def label(self) -> str:
        """Model, kind and whatever else the cell's axes set but for the suite, which is the same for all."""
        rest = [part for part in self.cell.label.split(" · ")[1:] if part != self.cell.suite]
        if rest and not is_claude(self.cell) and self.cell.model_id not in (None, self.cell.model):
            # A model of one's own goes by the name of its configuration, which says nothing to anybody else.
            rest[0] += f" ({self.cell.model_id})"
        return " · ".join([*rest, self.kind])

    @property
    def usd(self) -> float:
        """All that it spent."""
        return math.fsum(usd for usd, _ in self.bought.values())

    @property
    def finished(self) -> bool:
        """Whether no planned problem was left out for want of money."""
        return self.cell.not_run == 0

    def line(self) -> list[tuple[float, float]]:
        """(dollars gone, problems solved) after each problem."""
        points, usd, solved = [], 0.0, 0.0
        for price, value in self.bought.values():
            usd, solved = usd + price, solved + value
            points.append((usd, solved))
        return points

    def within(self, budget: float) -> dict[str, float]:
        """The problems that ``budget`` paid for, with what came of each."""
        found, usd = {}, 0.0
        for problem, (price, value) in self.bought.items():
            usd += price
            # A millionth more forgives the rounding of sums, no reply costs so little.
            if usd > budget * (1 + 1e-6):
                break
            found[problem] = value
        return found

    def solved(self, budget: float) -> float:
        """Problems solved with ``budget``."""
        return math.fsum(self.within(budget).values())


@dataclass(frozen=True, slots=True)
class Budget:
    """An equal number of dollars for each strategy."""

    usd: float
    cut: bool
    """False: everybody had tried every problem before it was gone."""
    why: str
    """How it was chosen, for a caption."""


def strategies(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> list[Strategy]:
    """What was bought for a known price above 0, in the plan's order of cells."""
    found: list[Strategy] = []
    for cell in summary.cells:
        if cell.model is None or not cell.usd_per_problem:
            continue
        groups = by_problem(rows.get(cell.id, ()))
        if cell.system == "hybrid":
            found.append(Strategy(cell, REPAIRED, cell.feedback == "oracle", _bought(groups, 1, _share)))
            continue
        found.append(Strategy(cell, SINGLE, False, _bought(groups, 1, _share)))
        k = max(cell.pass_at_k, default=1)
        if k > 1 and k in cell.selected_at_k:
            chosen = _bought(groups, k, lambda group, k=k: selected_value(group, k))  # type: ignore[misc]
            found.append(Strategy(cell, SELECTED.format(k=k), False, chosen))
        if k > 1:
            picked = _bought(groups, k, lambda group, k=k: pass_at_k(len(group), sum(map(is_passed, group)), k))  # type: ignore[misc]
            found.append(Strategy(cell, ORACLE.format(k=k), True, picked))
    return [one for one in _without_lost(found, rows) if one.bought]


def equal_budget(found: Sequence[Strategy]) -> Budget | None:
    """The dollars at which the strategies can be compared; None of nothing.

    That is the least that one of them had spent when it was stopped (its budget gone, or by hand), since nobody
    knows what it would have solved with more; where all of them tried every problem it is the most that any spent.
    """
    if not found:
        return None
    stopped = [one.usd for one in found if not one.finished]
    if stopped:
        why = "the least that a strategy had spent when it was stopped"
        return Budget(min(stopped), True, why)
    return Budget(max(one.usd for one in found), False, "by then every strategy had tried every problem")


def real_difference(a: Strategy, b: Strategy, budget: float, compared: int = 1) -> tuple[float, bool]:
    """p-value that B solves as many as A with ``budget``, problem by problem, and whether the difference is real.

    A problem that the budget did not reach counts as not solved. ``compared``: how many comparisons are made
    together (Bonferroni, the first step of Holm's correction).
    """
    left, right = a.within(budget), b.within(budget)
    p = sign_flip([right.get(key, 0.0) - left.get(key, 0.0) for key in {**left, **right}])
    adjusted = holm([p] + [1.0] * (compared - 1))[0]
    return adjusted, adjusted < ALPHA


def _without_lost(found: Sequence[Strategy], rows: Mapping[str, Sequence[Row]]) -> list[Strategy]:
    """The strategies without the problems that ``infrastructure`` took from any of those on the same suite.

    A problem that one of them lacks would otherwise count as one that it did not solve.
    """
    lost: defaultdict[str, set[str]] = defaultdict(set)
    for one in found:
        ours = (row for row in rows.get(one.cell.id, ()) if row.get("verdict") == Verdict.INFRASTRUCTURE)
        lost[_suite(one)] |= {str(row.get("problem")) for row in ours} - one.bought.keys()
    return [
        replace(
            one,
            bought={name: what for name, what in one.bought.items() if name not in lost[_suite(one)]},
            lost=len(lost[_suite(one)]),
        )
        for one in found
    ]


def _suite(one: Strategy) -> str:
    return one.cell.suite_digest or one.cell.suite


def _bought(
    groups: Mapping[str, Sequence[Row]], k: int, value: Callable[[Sequence[Row]], float | None]
) -> dict[str, tuple[float, float]]:
    found = {}
    for problem in sorted(groups, key=natural):
        group = groups[problem]
        graded = [row for row in group if is_graded(row)]
        worth = value(graded) if graded else None
        prices = [price for row in group if (price := number(row.get("api_usd"))) is not None]
        if worth is not None and prices:
            # Replies that came to nothing were paid for too, so they are spread over the graded samples.
            found[problem] = (k * math.fsum(prices) / len(graded), worth)
    return found


def _share(group: Sequence[Row]) -> float:
    return sum(map(is_passed, group)) / len(group)
