"""Softmax of each row, with rows whose plain exponentials overflow."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import ACC, ALL, by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("x", (shape["rows"], shape["cols"]), ELEMENT_OF[dtype]),)


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["rows"], shape["cols"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    x = draw.real(dtype, shape["rows"], shape["cols"])
    x *= 3.0
    # Every third row is far from zero, so that exp overflows or vanishes unless the maximum is taken off first.
    x[1::3] += 300.0
    x[2::3] -= 300.0
    return [x]


def _cpu(x: Array) -> tuple[Array, ...]:
    x = wide(x)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return (e,)


_TORCH = """
import torch

def solve(x, out):
    torch.softmax(x, dim=1, out=out)
"""

_CUPY = """
import cupy as cp

def solve(x, out):
    wide = x.astype(cp.float32) if x.dtype == cp.float16 else x
    e = cp.exp(wide - wide.max(axis=1, keepdims=True))
    cp.divide(e, e.sum(axis=1, keepdims=True), out=e)
    out[...] = e
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def softmax_kernel(x, out, cols, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    mask = at < cols
    v = tl.load(x + row * cols + at, mask=mask, other=float("-inf")).to(WIDE)
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(out + row * cols + at, (e / tl.sum(e, axis=0)).to(out.dtype.element_ty), mask=mask)

def solve(x, out):
    rows, cols = x.shape
    block = triton.next_power_of_2(cols)
    wide = tl.float64 if x.dtype == torch.float64 else tl.float32
    softmax_kernel[(rows,)](x, out, cols, BLOCK=block, WIDE=wide, num_warps=8 if block >= 2048 else 4)
"""

_CUDA = (
    """
// launch: solve(grid=(rows), block=(256))
// One block a row: running maximum and rescaled sum in one pass, then the result in a second.
"""
    + ACC
    + """
extern "C" __global__ void solve(const scalar* x, scalar* out, long long rows, long long cols) {
    __shared__ acc tops[256], sums[256];
    const scalar* in = x + blockIdx.x * cols;
    scalar* to = out + blockIdx.x * cols;
    const int t = threadIdx.x;
    acc top = -(acc)__int_as_float(0x7f800000), sum = 0;
    for (long long c = t; c < cols; c += 256) {
        const acc v = (acc)in[c];
        if (v > top) { sum = sum * exp(top - v) + 1; top = v; }
        else sum += exp(v - top);
    }
    tops[t] = top;
    sums[t] = sum;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) {
            const acc a = tops[t], b = tops[t + half], m = a > b ? a : b;
            // A thread that saw no element has the maximum -inf and the sum 0.
            const acc sa = sums[t] > 0 ? sums[t] * exp(a - m) : (acc)0;
            const acc sb = sums[t + half] > 0 ? sums[t + half] * exp(b - m) : (acc)0;
            tops[t] = m;
            sums[t] = sa + sb;
        }
        __syncthreads();
    }
    const acc most = tops[0], whole = 1 / sums[0];
    for (long long c = t; c < cols; c += 256) to[c] = (scalar)(exp((acc)in[c] - most) * whole);
}
"""
)

PROBLEM = GpuProblem(
    name="softmax",
    level=1,
    task="""
Compute the softmax of each row of `x`: `out[i, j] = exp(x[i, j]) / sum over l of exp(x[i, l])`. Values can be
far from zero, so that a plain exponential overflows: subtract the row's maximum first.
""",
    dtypes=ALL,
    sizes={"rows": "rows of `x`", "cols": "columns of `x`, at most 16384"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "a few roundings of the exponential and the sum; relative, since the entries differ by orders of magnitude",
        fp64=(1e-12, 1e-18),
        fp32=(2e-5, 1e-9),
        bf16=(1e-2, 1e-7),
        fp16=(2e-3, 1.2e-7),
    ),
    flops=lambda shape, dtype: 5 * shape["rows"] * shape["cols"],
    correctness=({"rows": 7, "cols": 33}, {"rows": 65, "cols": 1000}, {"rows": 3, "cols": 5001}),
    timed=lambda s: {"rows": root(4096, s, 1.0), "cols": 4096},
)
