"""Many small systems of linear equations."""

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
        ArraySpec("a", (shape["batch"], shape["n"], shape["n"]), element),
        ArraySpec("b", (shape["batch"], shape["n"]), element),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["batch"], shape["n"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    batch, n = shape["batch"], shape["n"]
    # Well conditioned, with rows out of order: elimination without pivoting divides by small numbers.
    a = draw.real(dtype, batch, n, n) * (0.3 * n**-0.5)
    at = draw.arange(n)
    a[:, at, at] += 1.0
    return [a[:, draw.permutation(n), :], draw.real(dtype, batch, n)]


def _cpu(a: Array, b: Array) -> tuple[Array, ...]:
    return (np.linalg.solve(a, b[..., None])[..., 0],)


_TORCH = """
import torch

def solve(a, b, out):
    out.copy_(torch.linalg.solve(a, b))
"""

_CUPY = """
import cupy as cp

def solve(a, b, out):
    out[...] = cp.linalg.solve(a, b[..., None])[..., 0]
"""

_CUDA = """
// launch: solve(grid=(batch), block=(64), shared=8 * n * (n + 1))
// One block a system, in shared memory: Gauss-Jordan elimination with partial pivoting, a thread a row.
extern "C" __global__ void solve(const scalar* a, const scalar* b, scalar* out, long long batch, long long size) {
    extern __shared__ double memory[];
    __shared__ scalar best[64];
    __shared__ int place[64];
    scalar* m = (scalar*)memory;
    const int n = (int)size, wide = n + 1, t = threadIdx.x;
    const scalar* in = a + blockIdx.x * size * size;
    for (int i = t; i < n * n; i += 64) m[i / n * wide + i % n] = in[i];
    if (t < n) m[t * wide + n] = b[blockIdx.x * size + t];
    __syncthreads();
    for (int col = 0; col < n; col++) {
        const scalar mine = t < n && t >= col ? m[t * wide + col] : (scalar)0;
        best[t] = t < n && t >= col ? (mine < 0 ? -mine : mine) : (scalar)-1;
        place[t] = t;
        __syncthreads();
        for (int half = 32; half > 0; half /= 2) {
            if (t < half && best[t + half] > best[t]) { best[t] = best[t + half]; place[t] = place[t + half]; }
            __syncthreads();
        }
        const int pivot = place[0];
        __syncthreads();
        if (pivot != col)
            for (int j = col + t; j < wide; j += 64) {
                const scalar keep = m[col * wide + j];
                m[col * wide + j] = m[pivot * wide + j];
                m[pivot * wide + j] = keep;
            }
        __syncthreads();
        if (t < n && t != col) {
            const scalar factor = m[t * wide + col] / m[col * wide + col];
            for (int j = col + 1; j < wide; j++) m[t * wide + j] -= factor * m[col * wide + j];
        }
        __syncthreads();
    }
    if (t < n) out[blockIdx.x * size + t] = m[t * wide + n] / m[t * wide + t];
}
"""

PROBLEM = GpuProblem(
    name="batched_solve",
    level=2,
    task="""
Solve many small systems of linear equations: for each `i` find `out[i]` with `a[i] @ out[i] = b[i]`. The
matrices are well conditioned but need pivoting.
""",
    dtypes=REAL,
    sizes={"batch": "number of systems", "n": "unknowns of each, at most 64"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype(
        "roundings of an elimination with pivoting, at condition numbers of about ten",
        fp64=(1e-11, 1e-11),
        fp32=(1e-4, 1e-4),
    ),
    flops=lambda shape, dtype: shape["batch"] * (2 * shape["n"] ** 3 // 3 + 2 * shape["n"] ** 2),
    correctness=({"batch": 7, "n": 5}, {"batch": 100, "n": 17}, {"batch": 9, "n": 64}),
    timed=lambda s: {"batch": root(8192, s, 1.0), "n": 32},
)
