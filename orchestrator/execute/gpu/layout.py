"""Where the arrays of one call lie in the shared arenas, with guard bands that show a write out of bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tasks.gpu.problem import ELEMENT_BYTES, ArraySpec, InputSpec, ScalarSpec

__all__ = ["GUARD_BYTES", "Arrangement", "Slot", "arrange"]

GUARD_BYTES: Final = 4096
"""Least width of the band before, between and after arrays; array starts are aligned to it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One array in an arena."""

    offset: int
    """Bytes from the arena's start."""
    shape: tuple[int, ...]
    element: str
    host: bool
    """True: in the arena of host memory, on every kind of device."""

    @property
    def nbytes(self) -> int:
        """Bytes that the array itself takes."""
        return math.prod(self.shape) * ELEMENT_BYTES[self.element]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """All arrays of one call."""

    inputs: tuple[Slot | None, ...]
    """In order of the arguments; None for a scalar."""
    outputs: tuple[Slot, ...]
    device_bytes: int
    host_bytes: int

    def guards(self, host: bool) -> tuple[tuple[int, int], ...]:
        """(start, end) of every guard band in the device's arena, or in the host's."""
        slots = [s for s in (*self.inputs, *self.outputs) if s is not None and s.host is host]
        bands, at = [], 0
        for slot in sorted(slots, key=lambda s: s.offset):
            bands.append((at, slot.offset))
            at = slot.offset + slot.nbytes
        end = self.host_bytes if host else self.device_bytes
        return (*bands, (at, end)) if slots else ()

    def to_wire(self, scalars: Sequence[int | float]) -> dict[str, Any]:
        """The arrangement as the candidate gets it; ``scalars`` are the numbers among the inputs, in order."""
        numbers = iter(scalars)

        def plain(slot: Slot) -> dict[str, Any]:
            return {"at": slot.offset, "shape": slot.shape, "element": slot.element, "host": slot.host}

        return {
            "inputs": [{"scalar": next(numbers)} if s is None else plain(s) for s in self.inputs],
            "outputs": [plain(s) for s in self.outputs],
        }


def arrange(inputs: Sequence[InputSpec], outputs: Sequence[ArraySpec]) -> Arrangement:
    """Lay out the arrays of one call, each between two guard bands."""
    ends = {False: GUARD_BYTES, True: GUARD_BYTES}

    def place(spec: ArraySpec) -> Slot:
        slot = Slot(ends[spec.host], spec.shape, spec.element, spec.host)
        after = slot.offset + slot.nbytes + GUARD_BYTES
        ends[spec.host] = -(-after // GUARD_BYTES) * GUARD_BYTES
        return slot

    placed = tuple(None if isinstance(s, ScalarSpec) else place(s) for s in inputs)
    filled = tuple(place(s) for s in outputs)
    return Arrangement(placed, filled, ends[False], ends[True])
