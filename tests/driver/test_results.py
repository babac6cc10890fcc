"""The tables of a run, and what a resume keeps of those that were there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.driver.results import Results
from orchestrator.track.tables import read_rows

PLANNED = {"a": 2, "b": 2}


def trial(cell: str, problem: str, started: float | None, verdict: str = "passed") -> dict[str, Any]:
    took = {"started_at": started, "ended_at": None, "wall_s": None}
    if started is not None:
        took |= {"ended_at": started + 2.0, "wall_s": 2.0}
    return {"cell": cell, "problem": problem, "sample": 0, "verdict": verdict, "system": "hybrid", **took}


def drive(folder: Path, *rows: dict[str, Any]) -> tuple[list[float | None], list[float | None]]:
    """Starts of the trials in the table, and the cells' elapsed seconds."""
    results = Results(folder, None, planned=PLANNED)
    for row in rows:
        results.write(row, [])
    summary = results.finish([{"id": "a"}, {"id": "b"}], seed=0, notes=[])
    table = read_rows(str(folder / "results.parquet"))
    return [row["started_at"] for row in table], [cell.wall_s for cell in summary.cells]


def test_a_finished_cell_keeps_its_measured_times_when_the_journal_answers_again(tmp_path: Path) -> None:
    drive(tmp_path, trial("a", "x", 1.0), trial("a", "y", 2.0), trial("b", "x", 3.0))
    again = [trial("a", "x", None), trial("a", "y", None), trial("b", "x", None), trial("b", "y", 900.0)]
    # Cell b was not complete: its time would hold the pause between the two drivers.
    assert drive(tmp_path, *again) == ([1.0, 2.0, None, 900.0], [3.0, None])
    assert drive(tmp_path, *again[:3], trial("b", "y", None)) == ([1.0, 2.0, None, None], [3.0, None])


def test_times_beside_a_trial_that_was_not_graded_are_not_kept(tmp_path: Path) -> None:
    drive(tmp_path, trial("a", "x", 1.0), trial("a", "y", 2.0, "infrastructure"))
    again = drive(tmp_path, trial("a", "x", None), trial("a", "y", 900.0))
    assert again == ([None, 900.0], [None, None])


def test_a_table_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "results.parquet").write_bytes(b"cut off")
    assert drive(tmp_path, trial("a", "x", 1.0), trial("a", "y", None)) == ([1.0, None], [None, None])
