"""The four questions and their answers."""

from __future__ import annotations

from typing import Any

from orchestrator.core.rows import by_cell
from orchestrator.core.summary import summarise
from orchestrator.report.answers import answers, difference_sentence
from orchestrator.report.charts import difference_chart
from orchestrator.report.charts_money import purchases
from orchestrator.report.series import differences


def trials(cell: str, system: str, passed: int, of: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "cell": cell, "system": system, "suite": "humaneval", "suite_digest": "d", "model": "sonnet",
            "problem": f"HumanEval/{i}", "sample": 0, "verdict": "passed" if i < passed else "error",
            "api_usd": 0.01, **more,
        }
        for i in range(of)
    ]  # fmt: skip


def test_an_oracle_is_marked_wherever_it_is_named() -> None:
    rows = [*trials("a", "generate_only", 60, 100), *trials("b", "hybrid", 90, 100, feedback="oracle")]
    summary = summarise(rows, [])
    found = differences(summary, by_cell(rows))
    assert difference_sentence(found[0]).startswith("hybrid · sonnet (oracle) solves 30.0 points more")
    most, real, cost, why = answers(summary, found)
    assert most.short == "hybrid · sonnet (oracle)"
    assert "upper bound" in most.detail
    assert "(oracle)" in real.detail
    assert cost.short.endswith("with hybrid · sonnet (oracle)")
    assert why.detail.startswith("hybrid · sonnet (oracle): 10 of 100")
    assert [one.label for one in purchases(summary)] == ["generate_only · sonnet", "hybrid · sonnet (oracle)"]


def test_a_difference_is_not_called_real_where_much_was_graded_for_one_only() -> None:
    rows = [*trials("a", "generate_only", 60, 100), *trials("b", "hybrid", 80, 80)]
    summary = summarise(rows, [])
    found = differences(summary, by_cell(rows))
    assert "20 more problems were graded for one of the two only" in difference_sentence(found[0])
    _, real, *_ = answers(summary, found)
    assert real.short == "cannot tell with n = 80"
    drawn = difference_chart(found, False)
    assert drawn is not None
    assert drawn.figure["data"][0]["marker"]["symbol"] == ["circle-open"]


def test_what_was_not_graded_is_told_beside_the_best() -> None:
    rows = trials("a", "generate_only", 9, 10)
    rows += [row | {"verdict": "infrastructure", "problem": f"Lost/{i}"} for i, row in enumerate(rows[:4])]
    (most, *_) = answers(summarise(rows, []), [])
    assert "Of 14 planned, 4 infrastructure are in no rate." in most.detail
