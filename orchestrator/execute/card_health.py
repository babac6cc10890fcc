"""Whether a leased card is still one to trust: asked of its driver around every program, without a CUDA context."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["FATAL_XIDS", "CardHealth", "CardLost"]

FATAL_XIDS: Final = {
    48: "uncorrectable memory error",
    62: "internal micro-controller halted",
    64: "memory row could not be remapped",
    74: "NVLink error",
    79: "fallen off the bus",
    95: "uncontained memory error",
    119: "its system processor does not answer",
    120: "its system processor failed",
    140: "unrecovered memory error",
}
"""Errors of the hardware or its firmware, by NVIDIA's number. The others are mostly a program's own doing (13, 31,
43, 45): they say nothing against the card."""


class CardLost(RuntimeError):
    """Nothing more may be judged on this card; one sentence says why."""


class CardHealth:
    """One card, watched from now on."""

    def __init__(self, uuid: str) -> None:
        """Find the card.

        Raises:
            CardLost: the driver does not know it, or does not answer.
        """
        import pynvml

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            raise CardLost(f"the driver says of it: {error}") from error
        self._events = self._listen()

    def check(self) -> None:
        """Ask now; takes microseconds on a card that is well.

        Raises:
            CardLost: the driver says that it is gone, or has reported a fatal error since the last look.
        """
        try:
            self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        except self._nvml.NVMLError as error:
            raise CardLost(f"the driver says of it: {error}") from error
        for number in self._reported():
            if number in FATAL_XIDS:
                raise CardLost(f"the driver reported Xid {number}: {FATAL_XIDS[number]}")

    def _listen(self) -> Any:
        try:
            events = self._nvml.nvmlEventSetCreate()
            self._nvml.nvmlDeviceRegisterEvents(self._handle, self._nvml.nvmlEventTypeXidCriticalError, events)
        except self._nvml.NVMLError:
            # Some cards and virtual ones tell of no events: what they lose is the number, not the check.
            return None
        return events

    def _reported(self) -> list[int]:
        """Errors since the last look, by number."""
        found: list[int] = []
        while self._events is not None:
            try:
                found.append(int(self._nvml.nvmlEventSetWait_v2(self._events, 0).eventData))
            except self._nvml.NVMLError:
                # Nothing more is waiting.
                break
        return found
