"""The headline's chart and its sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.rows import by_cell
from orchestrator.core.summary import summarise
from orchestrator.report.charts_headline import Headline, headline_chart, headlines
from orchestrator.report.load import load_run
from tests.report.fabricate import fabricate_run


def made(rows: list[dict[str, Any]]) -> list[Headline]:
    return headlines(summarise(rows, []), by_cell(rows))


def rows(
    cell: str, model: str, passed: int, of: int = 60, usd: float | None = 0.01, **more: Any
) -> list[dict[str, Any]]:
    return [
        {
            "cell": cell, "system": "generate_only", "model": model, "suite": "s", "suite_digest": "d", "sample": 0,
            "problem": f"p/{i}", "api_usd": usd, "verdict": "passed" if i < passed else "error", **more,
        }
        for i in range(of)
    ]  # fmt: skip


def test_the_sentence_answers_claude_against_the_other_kind() -> None:
    (headline,) = made(
        [*rows("a", "sonnet", 50), *rows("h", "sonnet", 55, system="hybrid"), *rows("l", "local", 20)]
    )
    assert headline.sentence == (
        "With $0.6000 each, sonnet · repaired solved most: 55 of 60 problems; the best of the other kind of model, "
        "local · single shot, solved 20 (p < 0.001): the difference is real."
    )


def test_a_small_difference_is_not_called_real() -> None:
    (headline,) = made([*rows("a", "sonnet", 50), *rows("b", "opus", 51)])
    assert "next, sonnet · single shot, solved 50" in headline.sentence
    assert "not shown to be real with n = 60" in headline.sentence


def test_who_solved_as_many_is_not_said_to_have_solved_most() -> None:
    (headline,) = made([*rows("a", "sonnet", 50), *rows("b", "opus", 50)])
    assert "solved as many: 50 of 60 problems (" in headline.sentence
    assert "most" not in headline.sentence
    assert "not shown to be real" in headline.sentence


def test_nearly_all_is_not_all() -> None:
    # Of two samples each, one of one problem fails: single shots solve 59.5 problems on average.
    nearly = [
        row | {"sample": sample, "verdict": "error" if i == sample == 0 else "passed"}
        for sample in (0, 1)
        for i, row in enumerate(rows("a", "sonnet", 60))
    ]
    (headline,) = made([*nearly, *rows("b", "opus", 20)])
    assert "sonnet · single shot solved most: 59.5 of 60 problems" in headline.sentence
    assert "solved 20 (" in headline.sentence


def test_a_rehearsal_answers_nothing() -> None:
    (headline,) = made([*rows("a", "sonnet", 50, synthetic=True), *rows("l", "local", 20, synthetic=True)])
    assert headline.sentence.endswith("No model was called, so this answers nothing yet.")
    assert headline.synthetic


def test_lines_are_cut_at_the_equal_budget_and_the_chart_says_so() -> None:
    stopped = [
        row if i < 20 else row | {"verdict": "not_run", "api_usd": None}
        for i, row in enumerate(rows("a", "sonnet", 60, usd=0.05))
    ]
    (headline,) = made([*stopped, *rows("l", "local", 30), *rows("x", "other", 5, usd=None)])
    drawn = headline_chart(headline)
    assert "cut at $1.00 each, the least that a strategy had spent when it was stopped." in drawn.caption
    assert headline.budget.usd == pytest.approx(1.0)
    assert "Not drawn for want of a price: generate_only · other" in drawn.caption
    sonnet, local = drawn.figure["data"]
    assert (sonnet["x"][-1], sonnet["y"][-1]) == (pytest.approx(1.0), 20)
    assert (local["x"][-1], local["y"][-1]) == (pytest.approx(0.6), 30)
    assert sonnet["marker"]["size"][-1] > 0
    assert set(sonnet["marker"]["size"][:-1]) == {0}


def test_the_oracle_is_hollow_and_shares_the_colour_of_its_tries(tmp_path: Path) -> None:
    run = load_run(fabricate_run(tmp_path / "run", problems=30, samples=3))
    summary = run.summary()
    (headline,) = headlines(summary, by_cell(run.rows))
    traces = {trace["name"].split(" · ")[-1]: trace for trace in headline_chart(headline).figure["data"]}
    assert set(traces) == {"single shot", "best of 3", "oracle of 3 (upper bound)", "repaired"}
    oracle, best = traces["oracle of 3 (upper bound)"], traces["best of 3"]
    assert oracle["marker"]["symbol"].endswith("-open")
    assert oracle["line"]["color"] == best["line"]["color"] != traces["single shot"]["line"]["color"]


def test_suites_are_never_on_one_chart() -> None:
    other = rows("c", "sonnet", 5, suite="t", suite_digest="e") + rows("d", "local", 4, suite="t", suite_digest="e")
    found = made([*rows("a", "sonnet", 5), *rows("b", "local", 4), *other])
    assert [h.suite for h in found] == ["s", "t"]
    assert made(rows("a", "sonnet", 5)) == []
