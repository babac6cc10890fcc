"""One summary for the terminal table, ``summary.json`` and the report, so that they cannot disagree.

``infrastructure`` and ``not_run`` enter neither side of a rate and are counted by name.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.gpu_summary import FAST_P, GpuSummary, summarise_gpu
from orchestrator.core.rates import Rate, passed_at_ks, rate_over_problems, selected_at_ks, turn_rates
from orchestrator.core.rows import (
    Row,
    by_cell,
    by_problem,
    card_of,
    count_of,
    distinct,
    is_graded,
    is_passed,
    largest,
    number,
    span_of,
    total_of,
    values_of,
)
from orchestrator.core.statistics import mean, median, p95
from orchestrator.core.verdicts import Verdict

__all__ = [
    "FAST_P",
    "CellSummary",
    "GpuSummary",
    "Rate",
    "Summary",
    "rate_over_problems",
    "summarise",
]


@dataclass(frozen=True, slots=True)
class CellSummary:
    """What is said about one cell. None means not measured, or that it does not apply."""

    id: str
    system: str
    model: str | None
    model_id: str | None
    suite: str
    suite_digest: str | None
    hardware: str | None
    axes: dict[str, Any]
    samples: int
    planned: int
    """Trials that the plan asked for."""
    graded: int
    """Trials with a verdict on the system: the denominator."""
    passed: int
    infrastructure: int
    not_run: int
    """Trials stopped by the budget or cancelled, and planned ones that have no row yet."""
    verdicts: dict[str, int]
    problems: int
    """Problems with at least one graded trial."""
    pass_at_1: Rate | None
    pass_at_k: dict[int, Rate]
    """For the ks above 1 that samples allow. The k best of k samples is also the oracle's choice."""
    selected_at_k: dict[int, Rate]
    """The same ks when the sample is chosen by public tests; empty where those were not run."""
    first_turn: Rate | None
    """Hybrid: the first turn's programs on the scoring tests."""
    repaired: Rate | None
    """Hybrid: of the trials whose first turn failed, the share that passed in the end."""
    broken: int
    """Hybrid: trials that passed at first and failed in the end."""
    turns_mean: float | None
    feedback: str | None
    """``public``, ``oracle`` (an upper bound; every table marks it) or None."""
    without_examples: float | None
    """Share of problems whose feedback had no public example to run."""
    execute_s_median: float | None
    execute_s_p95: float | None
    cpu_s_median: float | None
    wall_s: float | None
    """From the first trial's start to the last one's end; None where any graded trial's are unknown."""
    peak_memory_bytes: int | None
    peak_memory_bytes_median: float | None
    lease_s: float | None
    api_usd: float | None
    """All that the cell's replies cost, those of failed trials too; None if any reply has no known price."""
    usd_per_problem: float | None
    """``api_usd`` over graded trials: what one try at one problem costs."""
    usd_per_solved: float | None
    """``api_usd`` over passed trials: failures are charged. None when nothing passed."""
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    shared: int
    """Trials that use a reply bought once for several cells; its price is shown in full in each."""
    synthetic: bool
    isolation: tuple[str, ...]
    gpus: tuple[str, ...]
    gpu: GpuSummary | None = None
    effort: str | None = None
    """How hard the model was told to think; None: its default."""

    @property
    def coverage(self) -> float | None:
        """Graded over planned."""
        return self.graded / self.planned if self.planned else None

    @property
    def label(self) -> str:
        """System, model, the cell's other axes and its effort, e.g. ``hybrid · sonnet · effort=low``."""
        named = {"system", "model"}
        axes = {key.rsplit(".", 1)[-1]: value for key, value in self.axes.items() if key not in named}
        # Effort changes price and rate alike, so it is named also where it is no axis.
        axes |= {"effort": self.effort} if self.effort is not None and "effort" not in axes else {}
        # Names of suites and cards say what they are.
        rest = [str(value) if name in ("suite", "hardware") else f"{name}={value}" for name, value in axes.items()]
        return " · ".join([self.system, *([self.model] if self.model else []), *rest])

    @property
    def infrastructure_and_not_run(self) -> str:
        """The uncovered trials by name, e.g. ``2 infrastructure, 5 not_run``; empty when there are none."""
        parts = [(self.infrastructure, "infrastructure"), (self.not_run, "not_run")]
        return ", ".join(f"{n} {name}" for n, name in parts if n)


@dataclass(frozen=True, slots=True)
class Summary:
    """All cells of a run, in the plan's order."""

    cells: tuple[CellSummary, ...]
    seed: int = 0
    """Seed of the bootstrap."""
    notes: tuple[str, ...] = field(default=())
    """Sentences to print under the table."""

    @property
    def synthetic(self) -> bool:
        """True if any trial is."""
        return any(cell.synthetic for cell in self.cells)

    def to_dict(self) -> dict[str, Any]:
        """JSON data for ``summary.json``; derived figures included."""
        cells = []
        for cell in self.cells:
            data = dataclasses.asdict(cell)
            data["pass_at_k"] = {str(k): v for k, v in data["pass_at_k"].items()}
            data["selected_at_k"] = {str(k): v for k, v in data["selected_at_k"].items()}
            data["coverage"] = cell.coverage
            cells.append(data)
        return {"synthetic": self.synthetic, "seed": self.seed, "notes": list(self.notes), "cells": cells}


def summarise(rows: Iterable[Row], cells: Sequence[Mapping[str, Any]], *, seed: int = 0) -> Summary:
    """Summarise results by cell.

    Args:
        rows: of ``results.parquet``, finished or not.
        cells: of the plan (``core.tables.PlanCell``); ``id`` is enough. Without ``planned``, what has a row
            is taken to be all that was planned. A cell that only the rows name is appended.
        seed: of the bootstrap.
    """
    groups = by_cell(rows)
    known = [str(cell["id"]) for cell in cells]
    described = [*cells, *({"id": name} for name in groups if name not in known)]
    return Summary(tuple(_cell(cell, groups.get(str(cell["id"]), []), seed) for cell in described), seed)


def _cell(cell: Mapping[str, Any], rows: Sequence[Row], seed: int) -> CellSummary:
    graded = [row for row in rows if is_graded(row)]
    groups = by_problem(graded)
    verdicts = Counter(str(row.get("verdict")) for row in rows)
    samples = int(cell.get("samples") or _samples(rows))
    planned = int(cell.get("planned") or len(rows))
    passed = sum(map(is_passed, graded))
    usd = _api_usd(rows)
    turns = turn_rates(graded, seed)
    return CellSummary(
        id=str(cell["id"]),
        system=str(_told(cell, rows, "system") or "unknown"),
        model=_told(cell, rows, "model"),
        model_id=_told({}, rows, "model_id") or _told(cell, rows, "model_id"),
        suite=str(_told(cell, rows, "suite") or "unknown"),
        suite_digest=_told({}, rows, "suite_digest") or _told(cell, rows, "suite_digest"),
        hardware=_told(cell, rows, "hardware"),
        axes=_axes(_told(cell, rows, "axes")),
        samples=samples,
        planned=planned,
        graded=len(graded),
        passed=passed,
        infrastructure=verdicts[Verdict.INFRASTRUCTURE],
        not_run=verdicts[Verdict.NOT_RUN] + max(0, planned - len(rows)),
        verdicts={str(v): verdicts[v] for v in Verdict if verdicts[v]},
        problems=len(groups),
        pass_at_1=rate_over_problems([[is_passed(r) for r in group] for group in groups.values()], seed),
        pass_at_k=passed_at_ks(groups, samples, seed),
        selected_at_k=selected_at_ks(groups, samples, seed),
        first_turn=turns.first_turn,
        repaired=turns.repaired,
        broken=turns.broken,
        turns_mean=mean(values_of(graded, "turns")),
        feedback=_told(cell, rows, "feedback"),
        without_examples=_without_examples(groups),
        execute_s_median=median(values_of(graded, "execute_s")),
        execute_s_p95=p95(values_of(graded, "execute_s")),
        cpu_s_median=median(values_of(graded, "cpu_s")),
        wall_s=span_of(rows) if len(values_of(graded, "started_at")) == len(graded) else None,
        peak_memory_bytes=largest(values_of(graded, "peak_memory_bytes")),
        peak_memory_bytes_median=median(values_of(graded, "peak_memory_bytes")),
        lease_s=total_of(rows, "lease_s"),
        api_usd=usd,
        usd_per_problem=usd / len(graded) if usd is not None and graded else None,
        usd_per_solved=usd / passed if usd is not None and passed else None,
        input_tokens=count_of(rows, "input_tokens"),
        output_tokens=count_of(rows, "output_tokens"),
        cache_read_tokens=count_of(rows, "cache_read_tokens"),
        cache_write_tokens=count_of(rows, "cache_write_tokens"),
        shared=sum(bool(row.get("shared")) for row in rows),
        synthetic=any(bool(row.get("synthetic")) for row in rows) or (not rows and bool(cell.get("synthetic"))),
        isolation=distinct(rows, "isolation"),
        gpus=tuple(sorted({card for row in rows if (card := card_of(row)) is not None})),
        gpu=summarise_gpu(groups, graded, seed),
        effort=_told(cell, rows, "effort"),
    )


def _without_examples(groups: Mapping[str, Sequence[Row]]) -> float | None:
    counts = [number(group[0].get("feedback_examples")) for group in groups.values()]
    known = [count for count in counts if count is not None]
    return sum(count == 0 for count in known) / len(known) if known else None


def _api_usd(rows: Sequence[Row]) -> float | None:
    """Sum of the prices; None where one is missing that something was bought for, or nothing is priced."""
    prices = []
    for row in rows:
        price = number(row.get("api_usd"))
        if price is not None:
            prices.append(price)
        elif is_graded(row) or number(row.get("input_tokens")) or number(row.get("output_tokens")):
            return None
    return math.fsum(prices) if prices else None


def _samples(rows: Sequence[Row]) -> int:
    return 1 + max((int(number(row.get("sample")) or 0) for row in rows), default=0)


def _told(cell: Mapping[str, Any], rows: Sequence[Row], name: str) -> Any:
    value = cell.get(name)
    if value is not None:
        return value
    return next((row[name] for row in rows if row.get(name) is not None), None)


def _axes(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = json.loads(value)
    return dict(value) if isinstance(value, Mapping) else {}
