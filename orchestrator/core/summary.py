"""One summary for the terminal table, ``summary.json`` and the report, so that they cannot disagree.

Rates are over problems: a problem's value is the share of its graded samples that passed (or its pass@k), and
the rate is the mean over problems. With one sample a problem the interval is Wilson's, otherwise a bootstrap
over problems. ``infrastructure`` and ``not_run`` enter neither side of a rate and are counted by name.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.rows import (
    Row,
    by_cell,
    by_problem,
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
from orchestrator.core.statistics import (
    bootstrap_mean,
    geometric_mean,
    mean,
    median,
    p95,
    pass_at_k,
    selected_at_k,
    wilson,
)
from orchestrator.core.verdicts import GRADED, Verdict

__all__ = [
    "FAST_P",
    "CellSummary",
    "GpuSummary",
    "Rate",
    "Summary",
    "rate_over_problems",
    "summarise",
]


FAST_P = (0.5, 1.0, 1.5, 2.0)
USUAL_KS = (5, 10, 25, 50, 100)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share (0..1) with its 95% interval."""

    value: float
    low: float
    high: float
    problems: int
    """How many problems it is a mean over."""
    method: str
    """How the interval was made: ``wilson`` or ``bootstrap``."""


@dataclass(frozen=True, slots=True)
class GpuSummary:
    """Speed over the graded trials of a suite that has one."""

    correct: Rate
    fast_p: dict[str, Rate]
    """``p`` to the share of graded trials that are correct and more than ``p`` times as fast as the reference."""
    speedup: float | None
    """Geometric mean against the GPU reference, correct programs with a measured time only."""
    speedup_measured: int
    """How many programs that mean is over."""
    speedup_failures_zero: float | None
    """Arithmetic mean with a failed trial counted as 0 (a geometric mean would be 0 after one failure)."""
    cpu_speedup: float | None
    cpu_speedup_failures_zero: float | None
    time_s_median: float | None
    roofline_share_median: float | None
    peak_memory_bytes: int | None
    """Largest over the cell, on the card."""
    peak_memory_bytes_median: float | None
    joules: float | None
    """Sum over the programs whose energy was measured; None where none was."""
    joules_measured: int
    compile_s_median: float | None
    comparisons: dict[str, int]
    """``faster``, ``same``, ``slower``, ``ambiguous`` to how many correct programs."""


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
    """From the first trial's start to the last one's end."""
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

    @property
    def coverage(self) -> float | None:
        """Graded over planned."""
        return self.graded / self.planned if self.planned else None

    @property
    def label(self) -> str:
        """System, model and whatever else the cell's axes set, e.g. ``hybrid · sonnet · effort=low``."""
        named = {"system", "model"}
        rest = [f"{key.rsplit('.', 1)[-1]}={value}" for key, value in self.axes.items() if key not in named]
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


def rate_over_problems(groups: Iterable[Sequence[bool]], seed: int = 0) -> Rate | None:
    """Mean over problems of each problem's share of successes; empty problems are left out. None of nothing."""
    lists = [group for group in groups if group]
    if not lists:
        return None
    if all(len(group) == 1 for group in lists):
        hits = sum(group[0] for group in lists)
        return Rate(hits / len(lists), *wilson(hits, len(lists)), problems=len(lists), method="wilson")
    return _rate([sum(group) / len(group) for group in lists], seed)


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


def _rate(values: Sequence[float], seed: int) -> Rate:
    value = math.fsum(values) / len(values)
    return Rate(value, *bootstrap_mean(values, seed=seed), problems=len(values), method="bootstrap")


def _cell(cell: Mapping[str, Any], rows: Sequence[Row], seed: int) -> CellSummary:
    graded = [row for row in rows if is_graded(row)]
    groups = by_problem(graded)
    verdicts = Counter(str(row.get("verdict")) for row in rows)
    samples = int(cell.get("samples") or _samples(rows))
    planned = int(cell.get("planned") or len(rows))
    passed = sum(map(is_passed, graded))
    usd = _api_usd(rows)
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
        pass_at_k=_at_ks(groups, samples, seed),
        selected_at_k=_selected(groups, samples, seed),
        **_turns(graded, seed),
        feedback=_told(cell, rows, "feedback"),
        without_examples=_without_examples(groups),
        execute_s_median=median(values_of(graded, "execute_s")),
        execute_s_p95=p95(values_of(graded, "execute_s")),
        cpu_s_median=median(values_of(graded, "cpu_s")),
        wall_s=span_of(rows),
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
        gpus=distinct(rows, "gpu"),
        gpu=_gpu(groups, graded, seed),
    )


def _at_ks(groups: Mapping[str, Sequence[Row]], samples: int, seed: int) -> dict[int, Rate]:
    rates = {}
    for k in _ks(samples):
        values = [pass_at_k(len(group), sum(map(is_passed, group)), k) for group in groups.values()]
        known = [value for value in values if value is not None]
        if known:
            rates[k] = _rate(known, seed)
    return rates


def _selected(groups: Mapping[str, Sequence[Row]], samples: int, seed: int) -> dict[int, Rate]:
    graded = [row for group in groups.values() for row in group]
    if not graded or any(row.get("public_verdict") is None for row in graded):
        return {}
    rates = {}
    for k in _ks(samples):
        values = [
            selected_at_k(
                [(float(r["public_verdict"] == Verdict.PASSED), is_passed(r)) for r in group],
                k,
            )
            for group in groups.values()
        ]
        known = [value for value in values if value is not None]
        if known:
            rates[k] = _rate(known, seed)
    return rates


def _ks(samples: int) -> list[int]:
    return sorted({k for k in USUAL_KS if k <= samples} | ({samples} if samples > 1 else set()))


def _turns(graded: Sequence[Row], seed: int) -> dict[str, Any]:
    first = [row for row in graded if row.get("first_turn_verdict") in GRADED]
    groups = [
        [(r["first_turn_verdict"] == Verdict.PASSED, is_passed(r)) for r in group]
        for group in by_problem(first).values()
    ]
    return {
        "first_turn": rate_over_problems([[f for f, _ in group] for group in groups], seed),
        "repaired": rate_over_problems([[e for f, e in group if not f] for group in groups], seed),
        "broken": sum(f and not e for group in groups for f, e in group),
        "turns_mean": mean(values_of(graded, "turns")),
    }


def _without_examples(groups: Mapping[str, Sequence[Row]]) -> float | None:
    counts = [number(group[0].get("feedback_examples")) for group in groups.values()]
    known = [count for count in counts if count is not None]
    return sum(count == 0 for count in known) / len(known) if known else None


def _gpu(groups: Mapping[str, Sequence[Row]], graded: Sequence[Row], seed: int) -> GpuSummary | None:
    if not values_of(graded, "gpu_reference_time_s") and not values_of(graded, "gpu_time_s"):
        return None
    right = [row for row in graded if is_passed(row)]
    correct = rate_over_problems([[is_passed(r) for r in group] for group in groups.values()], seed)
    if correct is None:
        return None
    fast = {}
    for p in FAST_P:
        rate = rate_over_problems(
            [[is_passed(r) and (number(r.get("speedup")) or 0.0) > p for r in group] for group in groups.values()],
            seed,
        )
        if rate is not None:
            fast[f"{p:g}"] = rate
    speedups = values_of(right, "speedup")
    energies = values_of(graded, "joules")
    return GpuSummary(
        correct=correct,
        fast_p=fast,
        speedup=geometric_mean(speedups),
        speedup_measured=len(speedups),
        speedup_failures_zero=_failures_zero(graded, "speedup"),
        cpu_speedup=geometric_mean(values_of(right, "cpu_speedup")),
        cpu_speedup_failures_zero=_failures_zero(graded, "cpu_speedup"),
        time_s_median=median(values_of(right, "gpu_time_s")),
        roofline_share_median=median(values_of(right, "roofline_share")),
        peak_memory_bytes=largest(values_of(graded, "gpu_peak_memory_bytes")),
        peak_memory_bytes_median=median(values_of(graded, "gpu_peak_memory_bytes")),
        joules=math.fsum(energies) if energies else None,
        joules_measured=len(energies),
        compile_s_median=median(values_of(graded, "compile_s")),
        comparisons=dict(Counter(str(row["comparison"]) for row in right if row.get("comparison"))),
    )


def _failures_zero(graded: Sequence[Row], column: str) -> float | None:
    right = [row for row in graded if is_passed(row)]
    if right and not values_of(right, column):
        return None
    # A correct program whose time was not measured is left out: it is neither a failure nor a speed.
    values = [number(row.get(column)) if is_passed(row) else 0.0 for row in graded]
    return mean(value for value in values if value is not None)


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
