"""Metrics, descriptions and tables: names that stay, and nothing where nothing was measured."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from orchestrator.core.cost import hourly_rates
from orchestrator.core.summary import summarise
from orchestrator.track.cards import Cards
from orchestrator.track.description import cell_description, sweep_description, trials_table
from orchestrator.track.metrics import (
    LIVE,
    card_metrics,
    cell_metrics,
    progress_metrics,
    sweep_progress_metrics,
)
from orchestrator.track.progress import CellProgress, Progress

CELLS = [
    {"id": "hybrid-sonnet", "system": "hybrid", "model": "sonnet", "suite": "humaneval", "planned": 3, "axes": {}}
]
ROWS = [
    {
        "cell": "hybrid-sonnet",
        "problem": f"HumanEval/{n}",
        "sample": 0,
        "verdict": verdict,
        "first_turn_verdict": "wrong_answer",
        "turns": 2,
        "execute_s": 0.1234567,
        "synthetic": True,
        "reason": 'a "quoted", reason' if verdict != "passed" else "",
    }
    for n, verdict in enumerate(["passed", "passed", "wrong_answer"])
]


def test_the_most_telling_comes_first_and_what_was_not_measured_is_absent() -> None:
    (cell,) = summarise(ROWS, CELLS, seed=0).cells
    metrics = cell_metrics(cell, None, on_gpu=False)
    assert next(iter(metrics)) == "pass_at_1"
    assert metrics["pass_at_1"] == 0.666667
    assert {"pass_at_1_low", "pass_at_1_high", "first_turn", "repaired", "coverage"} <= set(metrics)
    # No prices, tokens or card in these rows: not 0.
    assert not {"api_usd", "usd_per_solved", "input_tokens", "speedup", "joules"} & set(metrics)
    assert all(name.replace("_", "").isalnum() for name in metrics)


def priced(**more: Any) -> list[dict[str, Any]]:
    return [{**row, "model": "sonnet", "lease_s": 30.0, "api_usd": 0.5, **more} for row in ROWS]


def test_dollars_are_those_of_the_report_and_absent_where_a_price_is_unknown() -> None:
    rented = hourly_rates({"name": "card", "rent_usd_per_hour": 0.36}, {"mode": "auto"})
    (cell,) = summarise(priced(), CELLS, seed=0).cells
    metrics = cell_metrics(cell, rented, on_gpu=True)
    assert (metrics["api_usd"], metrics["execution_usd"], metrics["total_usd"]) == (1.5, 0.009, 1.509)
    assert {"execution_usd", "total_usd"}.isdisjoint(cell_metrics(cell, None, on_gpu=True))
    unpriced = hourly_rates({"name": "local"}, {"mode": "auto"})
    assert {"execution_usd", "total_usd"}.isdisjoint(cell_metrics(cell, unpriced, on_gpu=True))
    (free,) = summarise(priced(api_usd=None), CELLS, seed=0).cells
    metrics = cell_metrics(free, rented, on_gpu=True)
    assert metrics["execution_usd"] == 0.009
    assert {"api_usd", "total_usd"}.isdisjoint(metrics)


@pytest.mark.parametrize("columns", [{}, {"gpu_time_s": 1.0, "joules": None}])
def test_a_lease_is_gpu_seconds_where_the_slot_held_a_gpu_whatever_the_suite(columns: dict[str, Any]) -> None:
    (cell,) = summarise(priced(**columns), CELLS, seed=0).cells
    assert cell_metrics(cell, None, on_gpu=True)["gpu_seconds"] == 90.0
    on_cpu = cell_metrics(cell, None, on_gpu=False)
    assert on_cpu["lease_s"] == 90.0
    assert {"gpu_seconds", "joules"}.isdisjoint(on_cpu)


def test_progress_uses_the_names_of_the_end() -> None:
    cell = CellProgress("hybrid-sonnet", 3, True, {"generating": 0, "executing": 0})
    assert "pass_at_1" not in progress_metrics(cell)
    for row in ROWS:
        cell.count(row)
    assert set(progress_metrics(cell)) == LIVE
    (ended,) = summarise(ROWS, CELLS, seed=0).cells
    assert set(cell_metrics(ended, None, on_gpu=False)) > LIVE
    sweep = sweep_progress_metrics(Progress([cell], money=lambda: (0.5, 0.1)))
    assert (sweep["progress_done"], sweep["progress_planned"], sweep["progress_usd"]) == (3, 3, 0.5)


def test_a_description_says_first_that_no_model_was_called() -> None:
    summary = summarise(ROWS, CELLS, seed=0)
    text = sweep_description(summary)
    assert text.startswith("**SYNTHETIC")
    assert "| hybrid-sonnet * | 66.7% |" in text
    (cell,) = summary.cells
    assert "2 passed, 1 wrong_answer" in cell_description(cell)


def test_a_table_of_trials_has_failures_first_and_survives_what_models_write() -> None:
    header, first, *rest = csv.reader(io.StringIO(trials_table(ROWS)))
    assert header == ["problem", "sample", "verdict", "reason", "turns", "first_turn_verdict", "execute_s"]
    assert first == ["HumanEval/2", "0", "wrong_answer", 'a "quoted", reason', "2", "wrong_answer", "0.123457"]
    assert [row[2] for row in rest] == ["passed", "passed"]


def test_cards_are_none_where_there_is_no_driver_and_told_of_where_there_is() -> None:
    cards = Cards()
    metrics = cards.metrics()
    assert bool(metrics) is bool(len(cards))
    for number, name in enumerate(cards.names()):
        assert name
        assert 0 <= metrics[f"system/gpu_{number}_memory_usage_percentage"] <= 100


def test_what_executions_read_off_cards_on_any_node_is_logged_once() -> None:
    cell = CellProgress("hybrid-sonnet", 3, True, {"generating": 0, "executing": 0})
    row = {
        **ROWS[0],
        "node": "worker 1",
        "ended_at": 2000.0,
        "gpu_uuid": "GPU-0123abcd-ffff-eeee",
        "gpu_clock_mhz": 1980,
        "gpu_temperature_c": 41,
        "gpu_power_w": None,
    }
    cell.count(row)
    cell.count({**row, "gpu_uuid": "GPU-77777777-ffff", "ended_at": 10.0})
    progress = Progress([cell], money=lambda: (0.5, 0.1))
    assert card_metrics(progress, since=1000.0) == {
        "system/worker 1/GPU-0123abcd_temperature_celsius": 41.0,
        "system/worker 1/GPU-0123abcd_clock_mhz": 1980.0,
    }
    assert card_metrics(progress, since=1000.0) == {}
