"""Charts of money by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.summary import summarise
from orchestrator.report.charts_money import executed_usd, month_chart, pareto_chart, purchases
from orchestrator.report.load import load_run


def rows(cell: str, usd: float | None, passed: int, of: int = 10, samples: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "cell": cell, "system": cell, "model": "m", "problem": str(i), "sample": s, "api_usd": usd,
            "verdict": "passed" if i < passed else "error", "public_verdict": "passed" if i < passed else "error",
        }
        for i in range(of)
        for s in range(samples)
    ]  # fmt: skip


def test_best_of_k_costs_k_samples() -> None:
    summary = summarise(rows("a", 0.01, 6, samples=3), [])
    one, best = purchases(summary)
    assert (one.label, one.usd_per_problem, one.chosen) == ("a · m", pytest.approx(0.01), False)
    assert (best.label, best.usd_per_problem, best.chosen) == ("a · m · best of 3", pytest.approx(0.03), True)


def test_execution_is_added_where_all_hardware_has_a_price(gpu_run: Path, plain_run: Path) -> None:
    run = load_run(gpu_run)
    summary = run.summary()
    executed = executed_usd(run, summary)
    assert set(executed) == {"generate_only-sonnet", "hybrid-sonnet"}
    with_cards, without = purchases(summary, executed), purchases(summary)
    assert [w.usd_per_problem > o.usd_per_problem for w, o in zip(with_cards, without, strict=True)] == [True] * 4
    drawn = pareto_chart(summary, executed)
    assert drawn is not None
    assert drawn.caption.startswith("API and execution dollars for one problem")
    plain = load_run(plain_run)
    assert executed_usd(plain, plain.summary()) == {}


def test_unpriced_systems_are_named_and_not_drawn() -> None:
    summary = summarise([*rows("a", 0.01, 6), *rows("b", None, 9), *rows("c", 0.0, 3)], [])
    drawn = pareto_chart(summary)
    assert drawn is not None
    assert [trace["name"] for trace in drawn.figure["data"]] == ["front", "a · m"]
    assert "b · m: n/a, 9/10 90.0%" in drawn.caption
    assert "c · m: $0" in drawn.caption
    assert pareto_chart(summarise(rows("b", None, 9), [])) is None


def test_the_front_leaves_out_what_is_beaten() -> None:
    summary = summarise([*rows("a", 0.01, 5), *rows("b", 0.02, 4), *rows("c", 0.04, 9)], [])
    drawn = pareto_chart(summary)
    assert drawn is not None
    front = drawn.figure["data"][0]
    assert (front["x"], front["y"]) == (pytest.approx([0.01, 0.04]), pytest.approx([50.0, 90.0]))


def test_the_month_chart_needs_a_priced_card(gpu_run: Path, plain_run: Path) -> None:
    run = load_run(gpu_run)
    drawn = month_chart(run.summary(), run)
    assert drawn is not None
    names = [trace["name"] for trace in drawn.figure["data"]]
    assert names == [
        "generate_only · sonnet: API only",
        "hybrid · sonnet: rtx4060 owned",
        "hybrid · sonnet: rtx4060 rented",
    ]
    owned, rented = (trace["y"] for trace in drawn.figure["data"][1:])
    # Owning costs more at few problems a month; the lines cross where renting the hours has cost as much.
    assert owned[0] > rented[0]
    assert owned[-1] < rented[-1]


def test_seconds_that_were_not_recorded_are_not_drawn_as_free(gpu_run: Path) -> None:
    run = load_run(gpu_run)
    for row in run.rows:
        row["lease_s"] = None
    drawn = month_chart(run.summary(), run)
    assert drawn is not None
    assert not any("rtx4060" in trace["name"] for trace in drawn.figure["data"])


def test_without_a_priced_card_the_articles_own_price_is_drawn(plain_run: Path) -> None:
    run = load_run(plain_run)
    drawn = month_chart(run.summary(), run)
    assert drawn is not None
    api, card = drawn.figure["data"]
    assert (api["name"], card["name"]) == (
        "generate_only · sonnet: API only",
        "the article's $500 card, its price alone",
    )
    # $500 over three years, whatever is solved.
    assert set(card["y"]) == {13.89}
    run.plan["rates"]["useful_years"] = None
    assert month_chart(run.summary(), run) is None
