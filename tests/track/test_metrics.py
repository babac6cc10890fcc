"""Metrics, descriptions and tables: names that stay, and nothing where nothing was measured."""

from __future__ import annotations

import csv
import io

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
    metrics = cell_metrics(cell)
    assert next(iter(metrics)) == "pass_at_1"
    assert metrics["pass_at_1"] == 0.666667
    assert {"pass_at_1_low", "pass_at_1_high", "first_turn", "repaired", "coverage"} <= set(metrics)
    # No prices, tokens or card in these rows: not 0.
    assert not {"api_usd", "usd_per_solved", "input_tokens", "speedup", "joules"} & set(metrics)
    assert all(name.replace("_", "").isalnum() for name in metrics)


def test_progress_uses_the_names_of_the_end() -> None:
    cell = CellProgress("hybrid-sonnet", 3, True, {"generating": 0, "executing": 0})
    assert "pass_at_1" not in progress_metrics(cell)
    for row in ROWS:
        cell.count(row)
    assert set(progress_metrics(cell)) == LIVE
    (ended,) = summarise(ROWS, CELLS, seed=0).cells
    assert set(cell_metrics(ended)) > LIVE
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
