"""Summaries and progress as MLflow metrics: stable names, and nothing where nothing was measured."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.core.cost import Hourly, cell_cost
from orchestrator.core.summary import CellSummary
from orchestrator.track.progress import CellProgress, Progress

__all__ = ["LIVE", "card_metrics", "cell_metrics", "progress_metrics", "sweep_progress_metrics"]


def cell_metrics(cell: CellSummary, hourly: Hourly | None, *, on_gpu: bool) -> dict[str, float]:
    """Final metrics of a cell, the most telling first: MLflow's tables keep that order.

    Args:
        cell: as summarised.
        hourly: price of the hardware that its programs ran on, as the report has it; None where it is not known.
        on_gpu: whether its slots held a GPU: then the seconds of its leases are GPU seconds.

    ``@`` is not allowed in a name and would reject the whole batch. Values have six significant digits, which is
    what a table can show; ``summary.json`` has all of them.
    """
    cost = cell_cost(cell, hourly)
    rates = {"pass_at_1": cell.pass_at_1}
    rates |= {f"selected_at_{k}": rate for k, rate in cell.selected_at_k.items()}
    rates |= {"first_turn": cell.first_turn, "repaired": cell.repaired}
    rates |= {f"pass_at_{k}": rate for k, rate in cell.pass_at_k.items()}
    values: dict[str, float | None] = {name: rate.value for name, rate in rates.items() if rate is not None}
    values |= {
        "usd_per_solved": cell.usd_per_solved,
        "usd_per_problem": cell.usd_per_problem,
        "api_usd": cell.api_usd,
        "execution_usd": cost.execution_usd,
        "total_usd": cost.total,
        "execute_s_median": cell.execute_s_median,
        "execute_s_p95": cell.execute_s_p95,
        "turns_mean": cell.turns_mean,
        "passed": cell.passed,
        "graded": cell.graded,
        "infrastructure": cell.infrastructure,
        "not_run": cell.not_run,
        "coverage": cell.coverage,
        "cpu_s_median": cell.cpu_s_median,
        "peak_memory_bytes": cell.peak_memory_bytes,
        "lease_s": cell.lease_s,
        "gpu_seconds": cell.lease_s if on_gpu else None,
        "input_tokens": cell.input_tokens,
        "output_tokens": cell.output_tokens,
        "cache_read_tokens": cell.cache_read_tokens,
        "cache_write_tokens": cell.cache_write_tokens,
        "wall_s": cell.wall_s,
    }
    if cell.gpu is not None:
        values |= {
            "speedup": cell.gpu.speedup,
            "cpu_speedup": cell.gpu.cpu_speedup,
            "gpu_peak_memory_bytes": cell.gpu.peak_memory_bytes,
            "joules_per_call_median": cell.gpu.joules_per_call_median,
            "joules": cell.gpu.joules,
            "roofline_share_median": cell.gpu.roofline_share_median,
        }
        values |= {f"fast_{p.replace('.', '_')}": rate.value for p, rate in cell.gpu.fast_p.items()}
    for name, rate in rates.items():
        if rate is not None:
            values |= {f"{name}_low": rate.low, f"{name}_high": rate.high}
    return {name: float(f"{value:.6g}") for name, value in values.items() if value is not None}


LIVE: Final = frozenset({"pass_at_1", "passed", "graded"})
"""Final metrics of a cell that are logged while it runs too: MLflow draws these as lines and the others as bars."""


def progress_metrics(cell: CellProgress) -> dict[str, float]:
    """Metrics of a cell under way: its final metrics by their own names, as far as they are known.

    ``pass_at_1`` is the share of the graded trials that passed so far. The last point of each is the final one.
    """
    values: dict[str, float | None] = {
        "pass_at_1": cell.pass_rate,
        "passed": cell.passed,
        "graded": cell.graded,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def card_metrics(progress: Progress, since: float) -> dict[str, float]:
    """What programs' executions read off their cards, wherever those are, since this was last asked.

    Args:
        progress: of the sweep; its readings are taken out.
        since: epoch seconds; readings from before, which a resumed sweep brings along, are left out.

    Names are ``system/NODE/GPU-xxxxxxxx_power_usage_watts``, ``..._temperature_celsius`` and ``..._clock_mhz``.
    """
    found: dict[str, float] = {}
    for cell in progress.cells:
        for (node, uuid), reading in cell.cards.items():
            if reading.at < since:
                continue
            # What MLflow allows in a name; a card's number begins with "GPU-" and is long.
            start = "system/" + re.sub(r"[^A-Za-z0-9_./ -]", "_", f"{node or 'node'}/{uuid[:12]}")
            values = {
                "power_usage_watts": reading.power_w,
                "temperature_celsius": reading.temperature_c,
                "clock_mhz": reading.clock_mhz,
            }
            found |= {f"{start}_{name}": float(value) for name, value in values.items() if value is not None}
        cell.cards.clear()
    return found


def sweep_progress_metrics(progress: Progress) -> dict[str, float]:
    """Metrics of the whole sweep under way; dollars are those settled, each reply counted once."""
    settled, _ = progress.money()
    return {
        "progress_done": float(progress.done),
        "progress_planned": float(progress.planned),
        "progress_infrastructure": float(sum(cell.infrastructure for cell in progress.cells)),
        "progress_usd": settled,
    }
