"""What the driver says of one card: memory, clocks, temperature, power, energy. No CUDA context is made for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["COUNTER_LAG_S", "THROTTLED", "CardWatch", "EnergyMeter", "Sample", "first_visible"]

_IDLE_S: Final = 2.0
_REST_S: Final = 1.0
"""Before that: several times what the counter is late by."""
COUNTER_LAG_S: Final = 0.2
"""By which a card's energy counter may be late. On an H200 the second after five seconds of products showed 53 J
more than the next, which is some 0.1 s of what they drew."""
THROTTLED: Final = {
    0x0000000000000004: "power cap",
    0x0000000000000008: "hardware slowdown",
    0x0000000000000020: "thermal (software)",
    0x0000000000000040: "thermal (hardware)",
    0x0000000000000080: "power brake",
}
"""Bits of the driver's clock event reasons that mean: slower than the card could be. Idle is not among them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the card; None for what its driver does not tell."""

    at: float
    """time.monotonic()"""
    sm_clock_mhz: int | None
    temperature_c: int | None
    power_w: float | None
    throttle: int
    """Those of the reasons' bits that are in :data:`THROTTLED`."""


class CardWatch:
    """One card, by UUID."""

    def __init__(self, uuid: str) -> None:
        """Find the card; an empty ``uuid`` takes the first that CUDA would show this process.

        Raises:
            pynvml.NVMLError: no driver, or no such card.
        """
        import pynvml

        self._nvml: Any = pynvml
        pynvml.nvmlInit()
        wanted = uuid or first_visible(os.environ.get("CUDA_VISIBLE_DEVICES"))
        by_index = wanted.isdigit()
        self._handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(wanted)) if by_index else pynvml.nvmlDeviceGetHandleByUUID(wanted)
        )
        self.uuid = str(pynvml.nvmlDeviceGetUUID(self._handle))
        self.name = str(pynvml.nvmlDeviceGetName(self._handle))
        self.minor = int(pynvml.nvmlDeviceGetMinorNumber(self._handle))
        self.total_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).total)
        self.best_clock_mhz: int | None = self._ask(
            lambda: pynvml.nvmlDeviceGetMaxClockInfo(self._handle, pynvml.NVML_CLOCK_SM)
        )
        """The highest SM clock that the card can run at; None where it does not tell."""

    def used(self) -> int:
        """Bytes of the card's memory in use, by whomever."""
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)

    def used_by(self, pid: int) -> int | None:
        """Bytes that one process uses, 0 if none; None where the driver does not tell (WSL2, containers)."""
        listed = self._ask(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        if listed is None or any(p.usedGpuMemory is None for p in listed):
            return None
        return sum(int(p.usedGpuMemory) for p in listed if p.pid == pid)

    def processes(self) -> frozenset[int] | None:
        """Processes with a context on the card, by the driver's numbers; None where it does not tell."""
        listed = self._ask(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        return None if listed is None else frozenset(int(p.pid) for p in listed)

    def sample(self) -> Sample:
        """Look at clocks, temperature, power and throttling."""
        nvml, handle = self._nvml, self._handle
        milliwatts = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        reasons = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
        return Sample(
            time.monotonic(),
            self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            None if milliwatts is None else milliwatts / 1e3,
            (reasons or 0) & sum(THROTTLED),
        )

    def energy_j(self) -> float | None:
        """Joules since the driver was loaded; None where the card has no counter."""
        found = self._ask(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        return None if found is None else found / 1e3

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._nvml.NVMLError:
            return None


def first_visible(visible: str | None) -> str:
    """The first card of ``CUDA_VISIBLE_DEVICES``: its index or UUID; index 0 where the variable says nothing."""
    first = (visible or "").split(",")[0].strip()
    return first or "0"


class EnergyMeter:
    """The card's energy counter, and what the card draws when nothing runs."""

    def __init__(self, watch: CardWatch) -> None:
        self._watch = watch
        self._idle: float | None = None
        self._asked = False

    @property
    def knows_idle(self) -> bool:
        """Whether :meth:`idle_w` answers at once."""
        return self._asked

    def joules(self) -> float | None:
        """The counter; None where the card has none."""
        return self._watch.energy_j()

    def idle_w(self) -> float | None:
        """Watts with contexts but nothing running: measured over 2 s when first asked, while nothing runs.

        What ran before has left the counter by then.
        """
        if not self._asked:
            self._asked = True
            time.sleep(_REST_S)
            start, began = self.joules(), time.monotonic()
            time.sleep(_IDLE_S)
            end, elapsed = self.joules(), time.monotonic() - began
            if start is not None and end is not None:
                self._idle = (end - start) / elapsed
        return self._idle
