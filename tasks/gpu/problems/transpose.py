"""Transpose of a matrix into a new one."""

from __future__ import annotations

from typing import Any

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import ALL, by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("a", (shape["rows"], shape["cols"]), ELEMENT_OF[dtype]),)


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["cols"], shape["rows"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    return [draw.real(dtype, shape["rows"], shape["cols"])]


def _cpu(a: Array) -> tuple[Array, ...]:
    return (wide(a).T.copy(),)


_TORCH = """
import torch

def solve(a, out):
    out.copy_(a.T)
"""

_CUPY = """
import cupy as cp

def solve(a, out):
    out[...] = a.T
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def transpose_kernel(a, out, rows, cols, B: tl.constexpr):
    r = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    c = tl.program_id(1).to(tl.int64) * B + tl.arange(0, B)
    tile = tl.load(a + r[:, None] * cols + c[None, :], mask=(r[:, None] < rows) & (c[None, :] < cols))
    tl.store(out + c[:, None] * rows + r[None, :], tl.trans(tile), mask=(c[:, None] < cols) & (r[None, :] < rows))

def solve(a, out):
    rows, cols = a.shape
    transpose_kernel[(triton.cdiv(rows, 64), triton.cdiv(cols, 64))](a, out, rows, cols, B=64, num_warps=8)
"""

_CUDA = """
// launch: solve(grid=(ceil_div(cols, 32), ceil_div(rows, 32)), block=(32, 8))
// Through a tile in shared memory, so that reads and writes are both along rows.
extern "C" __global__ void solve(const scalar* a, scalar* out, long long rows, long long cols) {
    __shared__ scalar tile[32][33];
    const long long r0 = blockIdx.y * 32LL, c0 = blockIdx.x * 32LL;
    for (int i = threadIdx.y; i < 32; i += 8)
        if (r0 + i < rows && c0 + threadIdx.x < cols)
            tile[i][threadIdx.x] = a[(r0 + i) * cols + c0 + threadIdx.x];
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8)
        if (c0 + i < cols && r0 + threadIdx.x < rows)
            out[(c0 + i) * rows + r0 + threadIdx.x] = tile[threadIdx.x][i];
}
"""

PROBLEM = GpuProblem(
    name="transpose",
    level=1,
    task="""
Write the transpose of `a` into `out`: `out[j, i] = a[i, j]`.
""",
    dtypes=ALL,
    sizes={"rows": "rows of `a`", "cols": "columns of `a`"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype("values are only moved", fp64=(0.0, 0.0), fp32=(0.0, 0.0), bf16=(0.0, 0.0), fp16=(0.0, 0.0)),
    flops=lambda shape, dtype: 0,
    correctness=({"rows": 31, "cols": 65}, {"rows": 200, "cols": 7}, {"rows": 257, "cols": 512}),
    timed=lambda s: {"rows": root(4096, s, 0.5), "cols": root(4096, s, 0.5)},
)
