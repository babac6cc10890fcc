"""Random arrays from a seed, on the host (NumPy) or on a device (torch), through one small interface.

Input makers are written once against :class:`Draw`; the small shapes are then drawn by NumPy, the same on every
machine, and the large timed ones on the card, where that takes milliseconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["Draw", "NumpyDraw", "TorchDraw", "round_bfloat16", "to_device"]


class Draw(ABC):
    """A seeded source of arrays. What it returns is a NumPy array or a torch tensor, one kind throughout.

    Both kinds share the operators, slicing and in-place assignment that input makers use on them.
    """

    @abstractmethod
    def normal(self, *shape: int) -> Any:
        """Standard normal numbers, float32 in ``shape``."""

    @abstractmethod
    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Any:
        """Uniform numbers in [low, high), float32 in ``shape``."""

    @abstractmethod
    def normal64(self, *shape: int) -> Any:
        """Standard normal numbers, float64 in ``shape``."""

    @abstractmethod
    def uniform64(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Any:
        """Uniform numbers in [low, high), float64 in ``shape``."""

    @abstractmethod
    def integers(self, *shape: int, low: int, high: int) -> Any:
        """Uniform integers in [low, high), int64 in ``shape``."""

    @abstractmethod
    def permutation(self, n: int) -> Any:
        """A random order of 0..n-1, int64."""

    @abstractmethod
    def arange(self, n: int) -> Any:
        """0..n-1, int64."""

    @abstractmethod
    def to_float(self, x: Any, double: bool = True) -> Any:
        """``x`` as float64 (or float32)."""

    @abstractmethod
    def floor(self, x: Any) -> Any:
        """Elementwise floor, as int64."""

    @abstractmethod
    def sort(self, x: Any) -> Any:
        """``x`` sorted along its last axis."""

    @abstractmethod
    def cumsum(self, x: Any) -> Any:
        """Running sum along the first axis."""

    def real(self, dtype: str, *shape: int) -> Any:
        """Standard normal numbers with all the digits that ``dtype`` holds."""
        return self.normal64(*shape) if dtype == "fp64" else self.normal(*shape)

    def unit(self, dtype: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Any:
        """Uniform numbers in [low, high) with all the digits that ``dtype`` holds."""
        draw = self.uniform64 if dtype == "fp64" else self.uniform
        return draw(*shape, low=low, high=high)


class NumpyDraw(Draw):
    """Draws on the host."""

    def __init__(self, seed: int) -> None:
        # SFC64 is the fastest of NumPy's generators, and makes the same numbers on every machine.
        self._rng = np.random.Generator(np.random.SFC64(seed))

    def normal(self, *shape: int) -> Any:
        return self._rng.standard_normal(shape, dtype=np.float32)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Any:
        values = self._rng.random(shape, dtype=np.float32)
        values *= np.float32(high - low)
        values += np.float32(low)
        return values

    def normal64(self, *shape: int) -> Any:
        return self._rng.standard_normal(shape)

    def uniform64(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Any:
        return self._rng.random(shape) * (high - low) + low

    def integers(self, *shape: int, low: int, high: int) -> Any:
        return self._rng.integers(low, high, size=shape, dtype=np.int64)

    def permutation(self, n: int) -> Any:
        return self._rng.permutation(n)

    def arange(self, n: int) -> Any:
        return np.arange(n, dtype=np.int64)

    def to_float(self, x: Any, double: bool = True) -> Any:
        return np.asarray(x).astype(np.float64 if double else np.float32)

    def floor(self, x: Any) -> Any:
        return np.floor(x).astype(np.int64)

    def sort(self, x: Any) -> Any:
        return np.sort(x, axis=-1)

    def cumsum(self, x: Any) -> Any:
        return np.cumsum(x, axis=0)


class TorchDraw(Draw):
    """Draws with torch on ``device``."""

    def __init__(self, seed: int, device: str) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(device)
        self._rng = torch.Generator(device=self._device)
        self._rng.manual_seed(seed)

    def normal(self, *shape: int) -> Any:
        return self._torch.randn(shape, generator=self._rng, device=self._device, dtype=self._torch.float32)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Any:
        values = self._torch.rand(shape, generator=self._rng, device=self._device, dtype=self._torch.float32)
        return values.mul_(high - low).add_(low)

    def normal64(self, *shape: int) -> Any:
        return self._torch.randn(shape, generator=self._rng, device=self._device, dtype=self._torch.float64)

    def uniform64(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Any:
        values = self._torch.rand(shape, generator=self._rng, device=self._device, dtype=self._torch.float64)
        return values.mul_(high - low).add_(low)

    def integers(self, *shape: int, low: int, high: int) -> Any:
        return self._torch.randint(low, high, shape, generator=self._rng, device=self._device)

    def permutation(self, n: int) -> Any:
        return self._torch.randperm(n, generator=self._rng, device=self._device)

    def arange(self, n: int) -> Any:
        return self._torch.arange(n, device=self._device)

    def to_float(self, x: Any, double: bool = True) -> Any:
        return x.to(self._torch.float64 if double else self._torch.float32)

    def floor(self, x: Any) -> Any:
        return self._torch.floor(x).to(self._torch.int64)

    def sort(self, x: Any) -> Any:
        return self._torch.sort(x, dim=-1).values

    def cumsum(self, x: Any) -> Any:
        return self._torch.cumsum(x, dim=0)


def round_bfloat16(x: NDArray[Any]) -> NDArray[np.float32]:
    """``x`` rounded to bfloat16 (to nearest, ties to even), kept as float32. ``x`` must be finite."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)


def to_device(value: Any, element: str, device: str) -> torch.Tensor:
    """A drawn array as a torch tensor of ``element`` on ``device``."""
    import torch

    tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    return tensor.to(device=device, dtype=getattr(torch, element))
