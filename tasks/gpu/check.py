"""Compares an output on the host with what was expected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.gpu.problem import Array, Tolerance

__all__ = ["Mismatch", "compare"]

_BLOCK = 1 << 22
"""Elements compared at a time, so that the float64 copies stay small."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The worst element of a wrong output."""

    index: tuple[int, ...]
    got: float
    want: float
    wrong: int
    """Number of elements outside the tolerance."""
    size: int

    @property
    def relative(self) -> float:
        """``|got - want| / |want|``; infinite where ``want`` is 0."""
        return abs(self.got - self.want) / abs(self.want) if self.want else float("inf")

    def __str__(self) -> str:
        return (
            f"{self.wrong} of {self.size} elements wrong, worst at {self.index}: got {self.got:.9g}, "
            f"want {self.want:.9g}"
        )


def compare(got: Array, want: Array, tolerance: Tolerance) -> Mismatch | None:
    """None where all of ``got`` is right, else its worst element.

    Integer outputs must be equal. Elsewhere ``|got - want| <= atol + rtol * |want|``; NaN is never right, and an
    infinity only where it was expected.

    Raises:
        ValueError: if the shapes differ.
    """
    if got.shape != want.shape:
        raise ValueError(f"got shape {got.shape}, want {want.shape}")
    g, w = got.reshape(-1), want.reshape(-1)
    if np.issubdtype(want.dtype, np.integer):
        bad = np.flatnonzero(g != w)
        if not bad.size:
            return None
        at = int(bad[0])
        return Mismatch(_place(at, got.shape), float(g[at]), float(w[at]), int(bad.size), g.size)
    wrong, worst, place = 0, -1.0, 0
    for start in range(0, g.size, _BLOCK):
        a = g[start : start + _BLOCK].astype(np.float64)
        b = w[start : start + _BLOCK].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            excess = np.abs(a - b) - (tolerance.atol + tolerance.rtol * np.abs(b))
        excess[a == b] = -1.0
        # Whatever is not a number by now (NaN got, or an infinity where none or another was expected) is wrong.
        excess[np.isnan(excess)] = np.inf
        excess[np.isinf(b) & (a != b)] = np.inf
        bad_here = int(np.count_nonzero(excess > 0))
        if bad_here:
            wrong += bad_here
            at = int(excess.argmax())
            if excess[at] > worst:
                worst, place = float(excess[at]), start + at
    if not wrong:
        return None
    return Mismatch(_place(place, got.shape), float(g[place]), float(w[place]), wrong, g.size)


def _place(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape))
