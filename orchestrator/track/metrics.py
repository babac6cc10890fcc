"""A cell's summary as MLflow metrics: stable names, and nothing where nothing was measured."""

from __future__ import annotations

from orchestrator.core.summary import CellSummary
from orchestrator.track.progress import CellProgress

__all__ = ["cell_metrics", "progress_metrics"]


def cell_metrics(cell: CellSummary) -> dict[str, float]:
    """Final metrics of a cell. ``@`` is not allowed in a name and would reject the whole batch."""
    values: dict[str, float | None] = {
        "coverage": cell.coverage,
        "graded": cell.graded,
        "passed": cell.passed,
        "infrastructure": cell.infrastructure,
        "not_run": cell.not_run,
        "turns_mean": cell.turns_mean,
        "execute_s_median": cell.execute_s_median,
        "execute_s_p95": cell.execute_s_p95,
        "cpu_s_median": cell.cpu_s_median,
        "peak_memory_bytes": cell.peak_memory_bytes,
        "lease_s": cell.lease_s,
        "input_tokens": cell.input_tokens,
        "output_tokens": cell.output_tokens,
        "cache_read_tokens": cell.cache_read_tokens,
        "cache_write_tokens": cell.cache_write_tokens,
        "api_usd": cell.api_usd,
        "usd_per_problem": cell.usd_per_problem,
        "usd_per_solved": cell.usd_per_solved,
        "wall_s": cell.wall_s,
    }
    rates = {"pass_at_1": cell.pass_at_1, "first_turn": cell.first_turn, "repaired": cell.repaired}
    rates |= {f"pass_at_{k}": rate for k, rate in cell.pass_at_k.items()}
    rates |= {f"selected_at_{k}": rate for k, rate in cell.selected_at_k.items()}
    for name, rate in rates.items():
        if rate is not None:
            values |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
    if cell.gpu is not None:
        values |= {
            "gpu_seconds": cell.lease_s,
            "gpu_peak_memory_bytes": cell.gpu.peak_memory_bytes,
            "joules": cell.gpu.joules,
            "speedup": cell.gpu.speedup,
            "cpu_speedup": cell.gpu.cpu_speedup,
            "roofline_share_median": cell.gpu.roofline_share_median,
        }
        values |= {f"fast_{p.replace('.', '_')}": rate.value for p, rate in cell.gpu.fast_p.items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def progress_metrics(cell: CellProgress) -> dict[str, float]:
    """Metrics of a cell under way, logged over time."""
    values: dict[str, float | None] = {
        "progress_done": cell.done,
        "progress_pass_rate": cell.pass_rate,
        "progress_usd": cell.usd,
    }
    return {name: float(value) for name, value in values.items() if value is not None}
