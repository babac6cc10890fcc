"""Turns what was watched of one program into the measures that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from orchestrator.core.gpu import HOST_MEMORY, GpuMeasures
from orchestrator.execute.gpu.follow import Watched
from orchestrator.execute.gpu.measures import Quiet, Round, drop_throttled, roofline, throttle_names, time_rounds
from orchestrator.execute.gpu.nvml import CardWatch

__all__ = ["measures_of"]

_SHORTEST: Final = 0.75
"""Share of its time that a call of the energy window takes at least: it may find inputs in the cache."""


def measures_of(
    watched: Watched, watch: CardWatch | None, recording: Mapping[str, Any], ceilings: Mapping[str, Any]
) -> GpuMeasures:
    """All that is known of a program; times only of one that passed.

    Args:
        watched: by the session.
        watch: the card; None without one.
        recording: of the preparation, with the CPU reference's time and the reference's scatter.
        ceilings: the referee's ``ceilings`` for this problem; empty where nothing was timed.
    """
    found = watched.found
    passed = found.get("outcome") == "passed"
    rounds = [Round(*values) for values in found["rounds"]]
    kept, dropped = drop_throttled(rounds, watched.samples)
    throttled = throttle_names(watched.samples)
    clock = _middle([s.sm_clock_mhz for s in watched.samples])
    quiet = Quiet(**found["quiet"]) if "quiet" in found else None
    # A program can make a card hold itself back. That excuses a reference as far as the clock fell, and no further.
    best = watch.best_clock_mhz if watch is not None else None
    slowed = max(best / clock, 1.0) if throttled and best and clock else 1.0
    timing = None
    if kept and passed:
        timing = time_rounds(kept, quiet, slowed=slowed, scatter=recording.get("scatter") or 0.0)
    share, bound = None, None
    own = timing.candidate if timing is not None and timing.candidate_told else None
    if own is not None and ceilings:
        share, bound = roofline(
            own.value,
            ceilings["bytes"],
            ceilings["flops"],
            ceilings["bytes_per_s"],
            ceilings["flops_per_s"],
        )
    peak = None
    if watched.peak_device is not None:
        peak = max(watched.peak_device, 0) + int(found.get("footprint", 0))
    joules, calls = _energy(watched, own.value if own else None)
    return GpuMeasures(
        name=watch.name if watch is not None else HOST_MEMORY,
        uuid=watch.uuid if watch is not None else "",
        time_s=own.value if own else None,
        time_low_s=own.low if own else None,
        time_high_s=own.high if own else None,
        reference_time_s=timing.reference.value if timing and timing.reference_told else None,
        cpu_reference_time_s=recording.get("cpu_reference_s"),
        comparison=timing.comparison if timing else None,
        roofline_share=share,
        bound=bound,
        least_bytes=ceilings.get("bytes"),
        operations=ceilings.get("flops"),
        peak_bytes_per_s=ceilings.get("bytes_per_s"),
        peak_operations_per_s=ceilings.get("flops_per_s"),
        compile_s=found.get("compile_s"),
        peak_memory_bytes=peak,
        joules=joules,
        joules_per_call=joules / calls if joules is not None else None,
        shape=", ".join(f"{k}={v}" for k, v in found.get("shape", {}).items()),
        rounds=len(kept) if timing else 0,
        dropped_rounds=dropped if timing else 0,
        sm_clock_mhz=clock,
        temperature_c=_middle([s.temperature_c for s in watched.samples]),
        power_w=_mean([s.power_w for s in watched.samples]),
        throttle=throttled,
        claimed_time_s=found.get("claimed_s"),
    )


def _energy(watched: Watched, time_s: float | None) -> tuple[float | None, int]:
    """Joules of the window and the calls in it; None without one, or where its calls were not like the timed ones.

    Timed calls have fresh inputs each; those of the window repeat one, which a program may notice and do nothing.
    """
    burst = watched.found.get("burst")
    if watched.joules is None or not burst or not burst["calls"] or time_s is None:
        return None, 0
    calls = int(burst["calls"])
    return (watched.joules if burst["seconds"] / calls >= _SHORTEST * time_s else None), calls


def _middle(values: list[int | None]) -> int | None:
    known = [v for v in values if v is not None]
    return round(median(known)) if known else None


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
