"""What is measured and reported of a program that ran on a card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["HOST_MEMORY", "GpuFeedback", "GpuMeasures"]

HOST_MEMORY: Final = "none (host memory)"
"""What stands for a card's name where there was none and programs of the GPU suite ran on a CPU."""


@dataclass(frozen=True, slots=True)
class GpuMeasures:
    """Measured on the referee's clock, never by the candidate. None means not measured."""

    name: str
    """The card, as the driver names it."""
    uuid: str
    time_s: float | None = None
    """Seconds of one call: the lower quartile over the rounds, what an empty call costs taken off. Of a program too
    short for the clock, the shortest time that it can tell; None where its reference is too short as well."""
    time_low_s: float | None = None
    """Lower end of the 95% bootstrap interval of that."""
    time_high_s: float | None = None
    reference_time_s: float | None = None
    """The GPU reference, interleaved in the same lease; None where it is shorter than the clock can tell."""
    cpu_reference_time_s: float | None = None
    comparison: str | None = None
    """``faster``, ``same``, ``slower`` or ``ambiguous`` against the GPU reference."""
    roofline_share: float | None = None
    """Attained share (0..1) of the binding ceiling measured on this card."""
    bound: str | None = None
    """``memory`` or ``compute``."""
    least_bytes: int | None = None
    """Least bytes that must cross the memory bus in one timed call."""
    operations: int | None = None
    """Least operations of the usual algorithm in one timed call."""
    peak_bytes_per_s: float | None = None
    """Memory ceiling, measured where the program ran: a large copy, read and written bytes both counted."""
    peak_operations_per_s: float | None = None
    """Arithmetic ceiling, measured where the program ran: a large matrix product in the same dtype."""
    compile_s: float | None = None
    peak_memory_bytes: int | None = None
    """Card memory that the program took at most, beside its context, with its inputs and outputs."""
    joules: float | None = None
    """Energy of a window of calls back to back (2 s or more), idle power subtracted; None where its calls took much
    less than the timed ones, which had fresh inputs each."""
    joules_per_call: float | None = None
    """The same over the number of calls in the window."""
    shape: str = ""
    """Dimensions of the timed call, e.g. ``m=5000, k=5000``."""
    rounds: int = 0
    dropped_rounds: int = 0
    """Rounds left out because the card was throttled."""
    sm_clock_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    throttle: str = ""
    claimed_time_s: float | None = None
    """What the candidate's own events say: kept beside our time, never scored."""

    @property
    def speedup(self) -> float | None:
        """Time of the GPU reference over this program's; None where either is missing."""
        if self.time_s is None or self.reference_time_s is None or self.time_s <= 0:
            return None
        return self.reference_time_s / self.time_s

    @property
    def cpu_speedup(self) -> float | None:
        """Time of the CPU reference over this program's; None where either is missing."""
        if self.time_s is None or self.cpu_reference_time_s is None or self.time_s <= 0:
            return None
        return self.cpu_reference_time_s / self.time_s


@dataclass(frozen=True, slots=True)
class GpuFeedback:
    """Bounded, structured feedback on a GPU program; from feedback inputs only, unless it is an oracle's."""

    phase: str
    """``compile``, ``load``, ``run``, ``check`` or ``time``: where it ended."""
    lines: tuple[str, ...] = ()
    """One finding a line: first compiler errors, worst mismatch, memory asked, share of roofline, ..."""
