"""What MLflow's page of a run says first."""

from __future__ import annotations

from typing import Any

from orchestrator.core.summary import summarise
from orchestrator.track.description import sweep_description


def rows(verdicts: list[str]) -> list[dict[str, Any]]:
    return [
        {"cell": "c", "system": "hybrid", "problem": f"p/{i}", "sample": 0, "verdict": verdict}
        for i, verdict in enumerate(verdicts)
    ]


def test_a_sweep_that_its_budget_ended_says_so_and_how_far_it_came() -> None:
    summary = summarise(rows(["passed", "error", "not_run"]), [{"id": "c", "planned": 4}])
    text = sweep_description(summary, "budget")
    assert text.startswith(
        "**The budget ended this sweep: 2 of 4 trials were not run** (`resume=` goes on with them)."
    )
    assert sweep_description(summary, "interrupted").startswith("**This sweep was interrupted: 2 of 4 ")


def test_a_sweep_that_is_done_begins_with_its_table() -> None:
    assert sweep_description(summarise(rows(["passed"]), [])).startswith("| cell | pass@1 |")
