"""What a dollar solves, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.headline import Strategy, equal_budget, real_difference, strategies
from orchestrator.core.rows import by_cell
from orchestrator.core.summary import summarise


def row(cell: str, problem: int, passed: bool, usd: float | None, **more: Any) -> dict[str, Any]:
    verdict = "passed" if passed else "error"
    return {
        "cell": cell, "system": "generate_only", "model": "m", "problem": f"p/{problem}", "sample": 0,
        "verdict": verdict, "public_verdict": verdict, "api_usd": usd, **more,
    }  # fmt: skip


def found(rows: list[dict[str, Any]], *cells: dict[str, Any]) -> list[Strategy]:
    return strategies(summarise(rows, cells), by_cell(rows))


def test_a_line_pays_for_each_problem_in_the_suites_order() -> None:
    # Rows lie in the order in which trials ended, which is nobody's order.
    rows = [row("a", 10, True, 0.4), row("a", 9, False, 0.2), row("a", 1, True, 0.1)]
    (one,) = found(rows)
    assert one.kind == "single shot"
    assert one.line() == [pytest.approx(point) for point in ((0.1, 1.0), (0.3, 1.0), (0.7, 2.0))]
    assert one.solved(0.3) == 1.0
    assert list(one.within(0.69)) == ["p/1", "p/9"]
    assert one.usd == pytest.approx(0.7)


def test_best_of_k_costs_k_tries_and_the_oracle_is_a_bound() -> None:
    rows = [row("a", 0, False, 0.1, sample=0), row("a", 0, True, 0.3, sample=1)]
    single, best, oracle = found(rows)
    assert (single.kind, best.kind, oracle.kind) == ("single shot", "best of 2", "oracle of 2")
    assert (single.bound, best.bound, oracle.bound) == (False, False, True)
    assert single.line() == [pytest.approx((0.2, 0.5))]
    assert best.line() == oracle.line() == [pytest.approx((0.4, 1.0))]


def test_failures_of_ours_are_paid_for_too() -> None:
    rows = [row("a", 0, True, 0.1, sample=0), row("a", 0, True, 0.1, sample=1)]
    rows[1]["verdict"] = "infrastructure"
    single = found(rows)[0]
    assert single.line() == [pytest.approx((0.2, 1.0))]


def test_what_our_failures_took_from_one_is_held_against_none() -> None:
    rows = [row(cell, i, True, 0.1) for cell in "ab" for i in range(10)]
    for lost in rows[:6]:
        lost["verdict"] = "infrastructure"
    a, b = found(rows)
    assert (a.solved(1.0), b.solved(1.0)) == (4.0, 4.0)
    assert (a.lost, b.lost) == (6, 6)
    assert real_difference(a, b, 1.0) == (1.0, False)


def test_repair_is_a_strategy_and_oracle_feedback_a_bound() -> None:
    rows = [row("h", 0, True, 0.3, system="hybrid"), row("o", 0, True, 0.3, system="hybrid", feedback="oracle")]
    assert [(one.kind, one.bound) for one in found(rows)] == [("repaired", False), ("repaired", True)]


def test_a_model_of_ones_own_is_named_by_its_id() -> None:
    (own,) = found([row("a", 0, True, 0.1, model="local", model_id="open-14b")])
    assert own.label == "local (open-14b) · single shot"
    (claude,) = found([row("a", 0, True, 0.1, model="sonnet", model_id="claude-sonnet-5-5")])
    assert claude.label == "sonnet · single shot"


def test_what_has_no_price_or_no_model_is_left_out() -> None:
    rows = [row("a", 0, True, None), row("b", 0, True, 0.0), row("c", 0, True, 0.0, model=None)]
    assert found(rows) == []
    assert equal_budget([]) is None


def test_the_budget_is_what_the_first_to_stop_had_spent() -> None:
    rows = [row("a", i, True, 0.1) for i in range(10)] + [row("b", i, True, 0.5) for i in range(10)]
    everybody = equal_budget(found(rows))
    assert everybody is not None
    assert (everybody.usd, everybody.cut) == (pytest.approx(5.0), False)
    stopped = [r | {"verdict": "not_run", "api_usd": None} if r["cell"] == "b" and i > 13 else r
               for i, r in enumerate(rows)]  # fmt: skip
    made = found(stopped)
    budget = equal_budget(made)
    assert budget is not None
    assert (budget.usd, budget.cut) == (pytest.approx(2.0), True)
    assert [one.solved(budget.usd) for one in made] == [10.0, 4.0]


def test_a_difference_needs_problems() -> None:
    few = found([row("a", i, True, 0.1) for i in range(4)] + [row("b", i, False, 0.1) for i in range(4)])
    many = found([row("a", i, True, 0.1) for i in range(40)] + [row("b", i, False, 0.1) for i in range(40)])
    assert real_difference(few[1], few[0], 9.0)[1] is False
    assert real_difference(many[1], many[0], 9.0)[1] is True
    # A problem that the budget did not reach counts as not solved.
    assert real_difference(many[1], many[0], 0.35)[1] is False
    p, _ = real_difference(many[1], many[0], 9.0, compared=3)
    assert p == pytest.approx(3 * real_difference(many[1], many[0], 9.0)[0])
