"""Comparison of what a program wrote with what it should have written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasks.gpu.problem import Tolerance

if TYPE_CHECKING:
    import torch

__all__ = ["Mismatch", "all_close", "as_tensor", "compare", "paint_guards", "poison", "torn_guards"]

_CHUNK: Final = 1 << 24
"""Elements compared at a time, so that large arrays need little memory beside them."""
_GUARD_BYTE: Final = 0xA5


@dataclass(frozen=True, slots=True)
class Mismatch:
    """How an output is wrong, with its worst element."""

    output: int
    """Which of the outputs."""
    wrong: int
    """Elements outside the tolerance."""
    of: int
    unwritten: int
    """Elements that still hold what was there before the call."""
    index: tuple[int, ...]
    got: float
    wanted: float

    def __str__(self) -> str:
        where = ", ".join(str(i) for i in self.index)
        scale = abs(self.wanted)
        relative = f", relative error {abs(self.got - self.wanted) / scale:.3g}" if scale > 0 else ""
        unwritten = f", {self.unwritten} never written" if self.unwritten else ""
        which = f"output {self.output}: " if self.output else ""
        return (
            f"{which}{self.wrong} of {self.of} elements wrong{unwritten}; "
            f"worst at [{where}]: got {self.got:.7g}, wanted {self.wanted:.7g}{relative}"
        )


def compare(
    got: Sequence[torch.Tensor],
    want: Sequence[torch.Tensor],
    tolerance: Tolerance,
    poisons: Sequence[float],
    slack: float = 1.0,
) -> Mismatch | None:
    """The first output that is wrong; None where all are right.

    Args:
        got: what was written.
        want: the expected values, of the same shapes and on the same device; any floating type of at least the
            precision of ``got``.
        tolerance: of the problem, for this dtype. Integers must be equal.
        poisons: what each output held before the call (NaN for floating point).
        slack: factor on the tolerance, where ``want`` has an error of its own.
    """
    for number, (mine, right, poison_value) in enumerate(zip(got, want, poisons, strict=True)):
        if not all_close(mine, right, tolerance, slack):
            return _worst(number, mine, right, tolerance=tolerance, poison_value=poison_value, slack=slack)
    return None


def all_close(got: torch.Tensor, want: torch.Tensor, tolerance: Tolerance, slack: float = 1.0) -> bool:
    """Whether every element is within the tolerance; NaN equals NaN, infinities must be the same."""
    mine, right = got.reshape(-1), want.reshape(-1)
    return all(
        bool(_right(mine[at : at + _CHUNK], right[at : at + _CHUNK], tolerance, slack).all())
        for at in range(0, mine.numel(), _CHUNK)
    )


def _right(got: torch.Tensor, want: torch.Tensor, tolerance: Tolerance, slack: float) -> torch.Tensor:
    import torch

    if not got.is_floating_point():
        return got == want
    wide = torch.promote_types(torch.promote_types(got.dtype, want.dtype), torch.float32)
    mine, right = got.to(wide), want.to(wide)
    near = (mine - right).abs() <= slack * (tolerance.atol + tolerance.rtol * right.abs())
    # An infinite expectation has an infinite tolerance, so nearness says nothing there.
    return (near & right.isfinite()) | (mine == right) | (mine.isnan() & right.isnan())


def _worst(
    number: int, got: torch.Tensor, want: torch.Tensor, *, tolerance: Tolerance, poison_value: float, slack: float
) -> Mismatch:
    import torch

    mine, right = got.reshape(-1), want.reshape(-1)
    wrong = unwritten = 0
    worst, excess = 0, -1.0
    for at in range(0, mine.numel(), _CHUNK):
        a, b = mine[at : at + _CHUNK], right[at : at + _CHUNK]
        bad = ~_right(a, b, tolerance, slack)
        wrong += int(bad.sum())
        blank = a.isnan() if math.isnan(poison_value) else a == poison_value
        unwritten += int((blank & bad).sum())
        wide_a, wide_b = a.double(), b.double()
        error = (wide_a - wide_b).abs() / (tolerance.atol + tolerance.rtol * wide_b.abs()).clamp_min(1e-300)
        error = torch.where(bad, error.nan_to_num(nan=1e300, posinf=1e300), torch.full_like(error, -1.0))
        most = int(error.argmax())
        if float(error[most]) > excess:
            worst, excess = at + most, float(error[most])
    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), got.shape)) if got.dim() else ()
    return Mismatch(number, wrong, mine.numel(), unwritten, index, _number(mine[worst]), _number(right[worst]))


def _number(value: torch.Tensor) -> float:
    return float(value.item())


def poison(out: torch.Tensor, salt: int) -> float:
    """Fill an output with what no right answer holds, and return it: NaN, or an integer that changes by call."""
    if out.is_floating_point():
        out.fill_(math.nan)
        return math.nan
    value = -(salt % 1_000_003) - 7
    out.fill_(value)
    return float(value)


def paint_guards(arena: torch.Tensor, bands: Sequence[tuple[int, int]]) -> None:
    """Write the pattern that :func:`torn_guards` looks for."""
    for start, end in bands:
        arena[start:end].fill_(_GUARD_BYTE)


def torn_guards(arena: torch.Tensor, bands: Sequence[tuple[int, int]]) -> bool:
    """Whether anything was written between arrays."""
    return any(bool((arena[start:end] != _GUARD_BYTE).any()) for start, end in bands)


def as_tensor(value: Any, element: str, device: str) -> torch.Tensor:
    """A host array as a tensor of ``element``."""
    import torch

    return torch.from_numpy(value).to(device=device, dtype=getattr(torch, element))
