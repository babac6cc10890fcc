"""What the cards of the driver's machine do while a sweep runs, under the names of MLflow's own system metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Cards"]


class Cards:
    """All cards that the driver sees; none where there is no NVIDIA driver."""

    def __init__(self) -> None:
        """Find them."""
        self._nvml: Any = None
        self._handles: list[Any] = []
        try:
            import pynvml

            pynvml.nvmlInit()
        except ImportError:
            return
        except pynvml.NVMLError:
            return
        self._nvml = pynvml
        for number in range(self._ask(pynvml.nvmlDeviceGetCount) or 0):
            # One that is lost keeps its number and says nothing.
            self._handles.append(self._ask(pynvml.nvmlDeviceGetHandleByIndex, number))

    def __len__(self) -> int:
        return sum(handle is not None for handle in self._handles)

    def names(self) -> list[str]:
        """The cards' names, in the order of their numbers."""
        return [str(self._nvml.nvmlDeviceGetName(handle)) for handle in self._handles if handle is not None]

    def metrics(self) -> dict[str, float]:
        """Utilisation and memory in percent, memory in MB (10^6 bytes), power in watts, temperature in degrees.

        What a card does not tell is left out.
        """
        nvml = self._nvml
        found: dict[str, float | None] = {}
        for number, handle in enumerate(self._handles):
            if handle is None:
                continue
            memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
            busy = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
            power = self._ask(nvml.nvmlDeviceGetPowerUsage, handle)
            start = f"system/gpu_{number}"
            found |= {
                f"{start}_utilization_percentage": None if busy is None else busy.gpu,
                f"{start}_memory_usage_percentage": None if memory is None else 100 * memory.used / memory.total,
                f"{start}_memory_usage_megabytes": None if memory is None else memory.used / 1e6,
                f"{start}_power_usage_watts": None if power is None else power / 1e3,
                f"{start}_temperature_celsius": self._ask(
                    nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU
                ),
            }
        return {name: float(value) for name, value in found.items() if value is not None}

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(*arguments)
        except self._nvml.NVMLError:
            return None
