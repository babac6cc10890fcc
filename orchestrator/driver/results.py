"""What a run leaves behind: tables, summary, report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from orchestrator.core.rows import by_cell, is_graded, number
from orchestrator.core.summary import Summary, summarise
from orchestrator.core.tables import RESULTS, STEPS
from orchestrator.track.tables import TableWriter, file_exists, read_rows

__all__ = ["Results"]

LARGE_TEXT = frozenset({"reason", "axes"})
"""Columns that no summary reads, left on disk."""

TRIAL: Final = ("cell", "problem", "sample")
TIMES: Final = ("wall_s", "started_at", "ended_at")


class Results:
    """The two tables of a run, then its summary."""

    def __init__(self, folder: Path, uri: str | None, *, planned: Mapping[str, int]) -> None:
        """Begin the tables, in place of those that an earlier driver of this run may have left.

        Args:
            uri: where the tables go when not into ``folder``: any filesystem that pyarrow knows.
            planned: trials of each cell.

        Raises:
            OSError, ValueError: the place cannot be written to.
        """
        self._folder = folder
        place = uri or str(folder)
        self._times = _measured(f"{place.rstrip('/')}/results.parquet", planned)
        self._results = TableWriter(place, "results.parquet", RESULTS)
        self._steps = TableWriter(place, "steps.parquet", STEPS)

    def write(self, row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> None:
        """Add a finished trial."""
        if row["started_at"] is None:
            row = {**row, **self._times.get(tuple(row[name] for name in TRIAL), {})}
        self._results.write(row)
        for step in steps:
            self._steps.write(step)

    def finish(self, cells: Sequence[Mapping[str, Any]], *, seed: int, notes: Sequence[str]) -> Summary:
        """Complete the tables and write ``summary.json``."""
        path = self._results.close()
        self._steps.close()
        columns = [column.name for column in RESULTS if column.name not in LARGE_TEXT]
        summary = summarise(read_rows(path, columns), cells, seed=seed)
        summary = Summary(summary.cells, summary.seed, tuple(notes))
        text = json.dumps(summary.to_dict(), indent=1)
        (self._folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return summary


def _measured(path: str, planned: Mapping[str, int]) -> dict[tuple[Any, ...], dict[str, float]]:
    """Times in the table that an earlier driver left, of the cells that it finished, by cell, problem and sample.

    Times from several drivers must not meet in one cell: its elapsed time would hold the pause between them.
    """
    try:
        rows = read_rows(path, (*TRIAL, "verdict", *TIMES)) if file_exists(path) else []
    except (OSError, ValueError):
        # The table is about to be made anew, and one that cannot be read has no times to give.
        return {}
    return {
        tuple(row[name] for name in TRIAL): {name: row[name] for name in TIMES}
        for cell, own in by_cell(rows).items()
        if len(own) == planned.get(cell)
        and all(is_graded(row) and all(number(row[name]) is not None for name in TIMES) for row in own)
        for row in own
    }
