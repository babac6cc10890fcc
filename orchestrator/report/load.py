"""Reads run folders: plan, results, and as much of the steps as is asked for.

Tables may be one file or a folder of parts. Columns that are missing or all null are left out of the rows, so
that ``row.get(name)`` is None for them and a big run costs no more memory than what it holds.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.core.findings import Evidence
from orchestrator.core.rows import by_cell, number
from orchestrator.core.summary import Summary, summarise
from orchestrator.core.tables import RESULTS, STEPS
from orchestrator.report.errors import ReportError
from orchestrator.track.tables import file_exists, open_filesystem

__all__ = ["Run", "combine", "load_run", "other_prices"]

TEXTS = frozenset({"program", "reply", "messages", "feedback"})
BATCH = 2048
PRICES = ("purchase_usd", "resale_usd", "rent_usd_per_hour", "power_w")


@dataclass(frozen=True)
class Run:
    """One run folder, or several combined."""

    name: str
    path: Path
    plan: dict[str, Any]
    rows: list[dict[str, Any]]
    """Of ``results.parquet``."""
    parts: tuple[Run, ...] = field(default=())
    """The runs that this one combines; empty for a single run."""

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The plan's cells."""
        return [cell for cell in self.plan.get("cells") or [] if isinstance(cell, dict) and cell.get("id")]

    @property
    def hardware(self) -> dict[str, dict[str, Any]]:
        """Hardware classes by name."""
        return {str(h.get("name")): h for h in self.plan.get("hardware") or [] if isinstance(h, dict)}

    @property
    def rates(self) -> dict[str, Any]:
        """The assumptions that turn hardware into dollars."""
        return dict(self.plan.get("rates") or {})

    def summary(self) -> Summary:
        """Summarise the results by cell."""
        return summarise(self.rows, self.cells, seed=int(self.plan.get("seed") or 0))

    def evidence(self, summary: Summary) -> Evidence:
        """What claims are judged by."""
        spent: dict[str, list[float]] = {cell.id: [] for cell in summary.cells}
        for step in self.steps(("cell", "kind", "slot", "lease_s", "resumed")):
            # A step's start and end hold its wait for rate limits too. A batch's reply has no slot: nobody waited
            # for that one alone.
            seconds = number(step.get("lease_s"))
            if step.get("kind") != "generation" or step.get("resumed") or seconds is None or not step.get("slot"):
                continue
            for cell in step["cell"]:
                spent.setdefault(cell, []).append(seconds)
        return Evidence(summary, by_cell(self.rows), spent, self.hardware, self.rates)

    def steps(self, columns: Sequence[str], wanted: Sequence[int] | None = None) -> Iterator[dict[str, Any]]:
        """Rows of ``steps.parquet`` with these columns, ``cell`` as a tuple of ids; nothing when there is none.

        Args:
            wanted: positions of the rows to read, rising; None for all. Only one batch is held at a time.
        """
        if self.parts:
            yield from self._combined_steps(columns, wanted)
            return
        place = self.table("steps.parquet")
        if not _exists(place):
            return
        import pyarrow as pa

        offset = 0
        for batch in _batches(place, columns, tuple(c.name for c in STEPS)):
            chosen = batch
            if wanted is not None:
                first, last = bisect_left(wanted, offset), bisect_left(wanted, offset + len(batch))
                chosen = batch.take(pa.array([i - offset for i in wanted[first:last]], pa.int64()))
            offset += len(batch)
            for row in chosen.to_pylist():
                row["cell"] = _cells_of(row.get("cell"))
                yield row

    def _combined_steps(self, columns: Sequence[str], wanted: Sequence[int] | None) -> Iterator[dict[str, Any]]:
        offset = 0
        for part in self.parts:
            count = part.count_steps()
            own = None if wanted is None else [i - offset for i in wanted if offset <= i < offset + count]
            offset += count
            for row in part.steps(columns, own):
                row["cell"] = tuple(f"{part.name}/{cell}" for cell in row["cell"])
                yield row

    def count_steps(self) -> int:
        """How many rows ``steps.parquet`` has."""
        if self.parts:
            return sum(part.count_steps() for part in self.parts)
        place = self.table("steps.parquet")
        return int(_dataset(place).count_rows()) if _exists(place) else 0

    def table(self, name: str) -> str:
        """Where a table of this run is: in its folder, or at the URI that it was told to write to."""
        settings = self.plan.get("config") or {}
        uri = (settings.get("run") or {}).get("results_uri") if isinstance(settings, dict) else None
        local = self.path / name
        return str(local) if uri is None or local.exists() else f"{str(uri).rstrip('/')}/{name}"


def load_run(path: Path | str) -> Run:
    """Read a run folder.

    Raises:
        ReportError: when it is not one, or a file in it cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ReportError(
            f"{folder} is not a folder; give the run folder that the sweep printed, e.g. runs/humaneval-..."
        )
    plan_path = folder / "plan.json"
    if not plan_path.is_file():
        raise ReportError(f"{folder} holds no plan.json, so it is not a run folder.")
    try:
        plan = json.loads(plan_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{plan_path} cannot be read: {_one_line(error)}.") from error
    if not isinstance(plan, dict):
        raise ReportError(f"{plan_path} holds no JSON object.")
    run = Run(folder.resolve().name, folder, plan, [])
    results = run.table("results.parquet")
    if not _exists(results):
        raise ReportError(
            f"{folder} holds no results.parquet: the run has not ended yet, or ended before any result."
        )
    for batch in _batches(results, None, tuple(c.name for c in RESULTS)):
        run.rows.extend(_rows(batch))
    return run


def combine(runs: Sequence[Run]) -> Run:
    """Put several runs side by side as one: every cell's id starts with its run's name.

    Raises:
        ReportError: when two runs have the same name.
    """
    if len(runs) == 1:
        return runs[0]
    if len({run.name for run in runs}) < len(runs):
        runs = [replace(run, name=f"{run.path.resolve().parent.name}/{run.name}") for run in runs]
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ReportError(f"Two of the runs have the same name ({', '.join(sorted(names))}); rename a folder.")
    rows = [{**row, "cell": f"{run.name}/{row.get('cell')}"} for run in runs for row in run.rows]
    cells = [
        {**cell, "id": f"{run.name}/{cell['id']}", "axes": {**(cell.get("axes") or {}), "run": run.name}}
        for run in runs
        for cell in run.cells
    ]
    first = runs[0].plan
    # The first run's, like its rates; ``other_prices`` says which runs had others.
    hardware = {name: card for run in reversed(runs) for name, card in run.hardware.items()}
    prices = {json.dumps(p, sort_keys=True): p for run in runs for p in run.plan.get("prices") or []}
    plan = {**first, "cells": cells, "hardware": list(hardware.values()), "prices": list(prices.values())}
    return Run(" + ".join(names), runs[0].path, plan, rows, tuple(runs))


def other_prices(run: Run) -> list[str]:
    """Names of the combined runs whose rates or hardware prices are not those that are computed with."""
    return [
        part.name
        for part in run.parts
        if part.rates != run.rates
        or any(
            card.get(key) != run.hardware[name].get(key) for name, card in part.hardware.items() for key in PRICES
        )
    ]


def _filesystem(place: str) -> tuple[Any, str]:
    try:
        return open_filesystem(place)
    except ValueError as error:
        raise ReportError(f"{place} cannot be read: {_one_line(error.__cause__ or error)}.") from error


def _exists(place: str) -> bool:
    try:
        return file_exists(place)
    except (OSError, ValueError) as error:
        raise ReportError(f"{place} cannot be read: {_one_line(error.__cause__ or error)}.") from error


def _dataset(place: str) -> Any:
    import pyarrow as pa
    import pyarrow.dataset as ds

    filesystem, path = _filesystem(place)
    try:
        return ds.dataset(path, format="parquet", filesystem=filesystem)
    except (OSError, pa.ArrowException) as error:
        raise ReportError(f"{place} cannot be read: {_one_line(error)}.") from error


def _batches(place: str, columns: Sequence[str] | None, known: Iterable[str]) -> Iterator[Any]:
    import pyarrow as pa

    data = _dataset(place)
    there = set(data.schema.names)
    asked = [name for name in (columns or known) if name in there]
    # Text columns make wide rows: a smaller batch keeps what is held at a time small.
    size = BATCH // 8 if TEXTS & set(asked) else BATCH * 8
    try:
        yield from data.to_batches(columns=asked, batch_size=size, batch_readahead=1, fragment_readahead=1)
    except (OSError, pa.ArrowException) as error:
        raise ReportError(f"{place} cannot be read: {_one_line(error)}.") from error


def _rows(batch: Any) -> list[dict[str, Any]]:
    columns: dict[str, list[Any]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count == len(column):
            continue
        values = column.to_pylist()
        if values and isinstance(next((v for v in values if v is not None), None), str):
            # Most text repeats from row to row; one object for each distinct value saves most of the memory.
            seen: dict[str, str] = {}
            values = [None if v is None else seen.setdefault(v, v) for v in values]
        columns[name] = values
    names = list(columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@lru_cache(maxsize=1024)
def _cells_of(value: str | None) -> tuple[str, ...]:
    if value is not None and value.startswith("["):
        found = json.loads(value)
        return tuple(str(cell) for cell in found)
    return () if value is None else (value,)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
