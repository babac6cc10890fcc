"""Sum, maximum and its place for each row, with planted outliers."""

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
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("total", (shape["rows"],), element, "the sum of each row"),
        ArraySpec("largest", (shape["rows"],), element, "the largest value of each row"),
        ArraySpec("where", (shape["rows"],), "int64", "the column of the largest value"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    rows, cols = shape["rows"], shape["cols"]
    x = draw.real(dtype, rows, cols)
    # One large and one very negative value a row: who samples the row, or stops early, misses them. There is one
    # large one only, so its place is unique in every precision.
    high = draw.integers(rows, low=0, high=cols)
    low = (high + 1 + draw.integers(rows, low=0, high=cols - 1)) % cols
    row = draw.arange(rows)
    x[row, high] = draw.unit(dtype, rows, low=500.0, high=1000.0)
    x[row, low] = draw.unit(dtype, rows, low=-1000.0, high=-500.0)
    return [x]


def _cpu(x: Array) -> tuple[Array, ...]:
    where = x.argmax(axis=1)
    return wide(x).sum(axis=1, dtype=np.float64), x[np.arange(len(x)), where], where


_TORCH = """
import torch

def solve(x, out):
    total, largest, where = out
    torch.sum(x, dim=1, out=total)
    torch.max(x, dim=1, out=(largest, where))
"""

_CUPY = """
import cupy as cp

def solve(x, out):
    total, largest, where = out
    total[...] = x.sum(axis=1, dtype=cp.float32 if x.dtype == cp.float16 else x.dtype)
    place = x.argmax(axis=1)
    where[...] = place
    largest[...] = x[cp.arange(x.shape[0]), place]
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def reduce_kernel(x, total, largest, where, cols, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    sums = tl.zeros((BLOCK,), dtype=WIDE)
    best = tl.full((BLOCK,), float("-inf"), dtype=WIDE)
    place = tl.zeros((BLOCK,), dtype=tl.int32)
    for start in range(0, cols, BLOCK):
        mask = start + at < cols
        v = tl.load(x + row * cols + start + at, mask=mask, other=float("-inf")).to(WIDE)
        sums += tl.where(mask, v, 0.0)
        place = tl.where(v > best, start + at, place)
        best = tl.maximum(best, v)
    top = tl.max(best, axis=0)
    tl.store(total + row, tl.sum(sums, axis=0).to(total.dtype.element_ty))
    tl.store(largest + row, top.to(largest.dtype.element_ty))
    tl.store(where + row, tl.min(tl.where(best == top, place, 2147483647), axis=0).to(tl.int64))

def solve(x, out):
    total, largest, where = out
    rows, cols = x.shape
    wide = tl.float64 if x.dtype == torch.float64 else tl.float32
    reduce_kernel[(rows,)](x, total, largest, where, cols, BLOCK=1024, WIDE=wide, num_warps=4)
"""

_CUDA = (
    """
// launch: solve(grid=(rows), block=(256))
"""
    + ACC
    + """
extern "C" __global__ void solve(const scalar* x, scalar* total, scalar* largest, long long* where,
                                 long long rows, long long cols) {
    __shared__ acc sums[256], bests[256];
    __shared__ long long places[256];
    const scalar* in = x + blockIdx.x * cols;
    const int t = threadIdx.x;
    acc sum = 0, best = -(acc)__int_as_float(0x7f800000);
    long long place = cols;
    for (long long c = t; c < cols; c += 256) {
        const acc v = (acc)in[c];
        sum += v;
        if (v > best) { best = v; place = c; }
    }
    sums[t] = sum;
    bests[t] = best;
    places[t] = place;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) {
            const int u = t + half;
            sums[t] += sums[u];
            if (bests[u] > bests[t] || (bests[u] == bests[t] && places[u] < places[t])) {
                bests[t] = bests[u];
                places[t] = places[u];
            }
        }
        __syncthreads();
    }
    if (t == 0) {
        total[blockIdx.x] = (scalar)sums[0];
        largest[blockIdx.x] = (scalar)bests[0];
        where[blockIdx.x] = places[0];
    }
}
"""
)

PROBLEM = GpuProblem(
    name="row_reduce",
    level=1,
    task="""
For each row of `x` compute its sum, its largest value and the column where that stands (the first, if there are
several). Rows hold a few values that are large against the rest.
""",
    dtypes=ALL,
    sizes={"rows": "rows of `x`", "cols": "columns of `x`"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "partial sums near an outlier round at its size; 16-bit rows are summed in float32 and rounded once",
        fp64=(1e-12, 1e-10),
        fp32=(1e-6, 5e-3),
        bf16=(8e-3, 2e-2),
        fp16=(1e-3, 2e-2),
    ),
    flops=lambda shape, dtype: 2 * shape["rows"] * shape["cols"],
    correctness=({"rows": 5, "cols": 67}, {"rows": 130, "cols": 1000}, {"rows": 3, "cols": 9001}),
    timed=lambda s: {"rows": root(2048, s, 1.0), "cols": 8192},
)
