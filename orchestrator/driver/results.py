"""What a run leaves behind: tables, summary, report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.core.summary import Summary, summarise
from orchestrator.core.tables import RESULTS, STEPS
from orchestrator.track.tables import TableWriter, read_rows

__all__ = ["Results"]

LARGE_TEXT = frozenset({"reason", "axes"})
"""Columns that no summary reads, left on disk."""


class Results:
    """The two tables of a run, then its summary."""

    def __init__(self, folder: Path, uri: str | None) -> None:
        """``uri`` is where the tables go when not into ``folder``: any filesystem that pyarrow knows.

        Raises:
            OSError, ValueError: the place cannot be written to.
        """
        self._folder = folder
        place = uri or str(folder)
        self._results = TableWriter(place, "results.parquet", RESULTS)
        self._steps = TableWriter(place, "steps.parquet", STEPS)

    def write(self, row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> None:
        """Add a finished trial."""
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
