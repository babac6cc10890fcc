"""Circular convolution of long rows by way of the Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("x", (shape["rows"], shape["n"]), element),
        ArraySpec("kernel", (shape["n"],), element),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["rows"], shape["n"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    n = shape["n"]
    return [draw.real(dtype, shape["rows"], n), draw.real(dtype, n) * n**-0.5]


def _cpu(x: Array, kernel: Array) -> tuple[Array, ...]:
    from scipy import fft

    spectrum = fft.rfft(x, axis=1)
    spectrum *= fft.rfft(kernel)
    return (np.asarray(fft.irfft(spectrum, n=x.shape[1], axis=1)),)


_TORCH = """
import torch

def solve(x, kernel, out):
    n = x.shape[1]
    spectrum = torch.fft.rfft(x, dim=1)
    spectrum *= torch.fft.rfft(kernel)
    torch.fft.irfft(spectrum, n=n, dim=1, out=out)
"""

_CUPY = """
import cupy as cp

def solve(x, kernel, out):
    spectrum = cp.fft.rfft(x, axis=1)
    spectrum *= cp.fft.rfft(kernel)
    out[...] = cp.fft.irfft(spectrum, n=x.shape[1], axis=1)
"""

PROBLEM = GpuProblem(
    name="fft_conv",
    level=2,
    task="""
Convolve each row of `x` circularly with `kernel`: `out[i, j] = sum over l of x[i, l] * kernel[(j - l) mod n]`.
Rows are long: use the Fourier transform.
""",
    dtypes=REAL,
    sizes={"rows": "number of rows", "n": "length of a row and of the kernel"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY},
    tolerance=by_dtype(
        "Fourier transforms lose a few roundings a level; results are of order 1",
        fp64=(1e-12, 1e-12),
        fp32=(2e-5, 2e-5),
    ),
    # Two real transforms of 2.5 n log2 n operations each and a product of half spectra.
    flops=lambda shape, dtype: shape["rows"] * shape["n"] * (5 * max(shape["n"].bit_length() - 1, 1) + 3),
    correctness=({"rows": 3, "n": 100}, {"rows": 17, "n": 1024}, {"rows": 4, "n": 3001}),
    timed=lambda s: {"rows": root(256, s, 1.0), "n": 65_536},
)
