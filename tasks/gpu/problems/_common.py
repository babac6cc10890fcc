"""Small things that several problems share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tasks.gpu.problem import Array, Tolerance

__all__ = ["ACC", "ALL", "REAL", "by_dtype", "root", "wide"]

ALL: Final = ("fp64", "fp32", "bf16", "fp16")
REAL: Final = ("fp64", "fp32")

ACC: Final = """
template <typename T> struct Wide { typedef float type; };
template <> struct Wide<double> { typedef double type; };
typedef Wide<scalar>::type acc;
"""
"""C++ lines for ``cuda`` references: ``acc`` is double where ``scalar`` is, else float."""


def wide(x: Array) -> Array:
    """``x`` in at least float32."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def by_dtype(reason: str, **levels: tuple[float, float]) -> Callable[[str], Tolerance]:
    """Tolerances as ``dtype=(rtol, atol)``, with one reason for all."""

    def tolerance(dtype: str) -> Tolerance:
        rtol, atol = levels[dtype]
        return Tolerance(rtol, atol, reason)

    return tolerance


def root(base: int, scale: float, power: float) -> int:
    """``base * scale ** power`` as a whole number of at least 1, a multiple of 32 from 512 on."""
    value = max(1, round(base * float(scale**power)))
    return value if value < 512 or value == base else value // 32 * 32
