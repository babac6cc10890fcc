from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.plan import load_plan
from orchestrator.plan.cost import estimate
from orchestrator.plan.text import plan_text

PRICE = ["model.price.input_per_mtok=1", "model.price.output_per_mtok=10"]


def test_the_first_turn_of_hybrid_is_bought_with_the_single_shot() -> None:
    cost = estimate(load_plan(["+sweep=humaneval", "limit=4", "samples=2", "turns=3", *PRICE]))
    assert [(cell.requests_low, cell.requests_high, cell.shared) for cell in cost.cells] == [
        (8, 8, 0),
        (0, 0, 0),
        (8, 24, 8),
    ]
    assert (cost.requests_low, cost.requests_high) == (8, 24)


def test_another_effort_is_another_purchase() -> None:
    cost = estimate(load_plan(["axes.system=[generate_only]", "axes.effort=[low,high]", "limit=3", *PRICE]))
    assert [cell.shared for cell in cost.cells] == [0, 0]
    assert cost.requests_low == 6


def test_as_many_samples_as_anybody_types_are_counted_at_once() -> None:
    words = ["axes.system=[generate_only,hybrid]", "limit=2", "turns=3", *PRICE]
    few, many = (estimate(load_plan([*words, f"samples={count}"])) for count in (1, 10**12))
    assert [(cell.requests_low, cell.requests_high, cell.shared) for cell in many.cells] == [
        (cell.requests_low * 10**12, cell.requests_high * 10**12, cell.shared * 10**12) for cell in few.cells
    ]
    assert (many.usd_low, many.usd_high) == (few.usd_low * 10**12, few.usd_high * 10**12)


def test_more_samples_of_the_same_share_the_first_ones() -> None:
    for counts, shared in (([2, 5], 2), ([5, 2], 2)):
        cost = estimate(load_plan([f"axes.samples={counts}".replace(" ", ""), "limit=1", "turns=1", *PRICE]))
        assert [cell.shared for cell in cost.cells] == [0, shared]
        assert (cost.requests_low, cost.requests_high) == (5, 5)


def test_dollars_go_from_the_likely_to_the_worst_case() -> None:
    one = estimate(load_plan(["limit=1", "turns=1", "model.max_tokens=100", *PRICE]))
    # 100 tokens out at $10 a million are a thousandth of a dollar; input comes on top.
    assert Decimal("0.001") < one.usd_high < Decimal("0.004")
    assert Decimal(0) < one.usd_low < one.usd_high
    assert estimate(load_plan(["limit=1", "turns=2", "model.max_tokens=100", *PRICE])).usd_high > 2 * one.usd_high


def test_synthetic_dollars_are_not_added_to_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["limit=2", "turns=1"]
    rehearsed = estimate(load_plan([*words, "axes.model=[sonnet,local]"]))
    assert rehearsed.synthetic
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-real-key")
    both, real = (estimate(load_plan([*words, f"axes.model=[{m}]"])) for m in ("sonnet,rehearsal", "sonnet"))
    assert not both.synthetic
    assert (both.usd_low, both.usd_high) == (real.usd_low, real.usd_high)
    assert both.requests_low == 2 * real.requests_low


def test_batches_cost_half() -> None:
    words = ["limit=2", "system=generate_only", *PRICE]
    assert estimate(load_plan([*words, "generate.mode=batch"])).usd_high * 2 == estimate(load_plan(words)).usd_high


def test_no_tokens_are_bought_for_files_and_local_servers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"task_id": "HumanEval/0", "completion": "x"}\n')
    from_file = estimate(load_plan(["limit=1", "model=samples", "model.path=a.jsonl"]))
    assert (from_file.requests_high, from_file.usd_high) == (0, 0)
    local = estimate(load_plan(["limit=1", "model=local"]))
    assert (local.requests_low, local.usd_high, local.sources) == (1, 0, ())


@pytest.mark.parametrize("width", [30, 50, 80, 120])
def test_the_plan_in_words(width: int) -> None:
    text = plan_text(load_plan(["+sweep=humaneval", "limit=4"]), width)
    for cell in ("generate_only-sonnet", "execute_only", "hybrid-sonnet"):
        assert cell in text
    words = " ".join(text.split())
    assert "3 cells, 12 trials" in words
    assert "rehearsal stands in for sonnet" in words
    assert "4 to 12 requests" in words
    assert "nothing was spent" in words
    if width >= 50:
        assert all(len(line) <= width for line in text.splitlines() if "Files" not in line)


@pytest.mark.parametrize(
    "words", [["+sweep=humaneval"], ["+sweep=article"], ["+sweep=humaneval", "samples=1000000"]]
)
def test_the_cells_of_a_plan_fit_a_terminal_of_80_columns(words: list[str]) -> None:
    plan = load_plan(words)
    lines = [line for line in plan_text(plan, 80).splitlines() if not line.startswith("Files")]
    assert max(map(len, lines)) <= 80
    assert all(any(line.startswith(cell.id) for line in lines) for cell in plan.cells)
    assert any("shared" in line for line in lines)


def test_the_cap_is_named_where_it_may_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-real-key")
    assert "budget.usd=0.01 caps it" in plan_text(load_plan(["limit=9", "budget.usd=0.01", *PRICE]), 120)
    assert "No budget is set" in plan_text(load_plan(["limit=9", "budget.usd=null", *PRICE]), 120)
    assert "synthetic" not in plan_text(load_plan(["limit=1", *PRICE]), 120)
