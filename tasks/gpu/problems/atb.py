"""The article's debugging example: a transposed matrix times another."""

from __future__ import annotations

from typing import Any

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import ALL, by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("a", (shape["k"], shape["m"]), element),
        ArraySpec("b", (shape["k"], shape["n"]), element),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["m"], shape["n"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    # Scaled so that the entries of the product are of order 1 at every size.
    factor = shape["k"] ** -0.25
    return [
        draw.real(dtype, shape["k"], shape["m"]) * factor,
        draw.real(dtype, shape["k"], shape["n"]) * factor,
    ]


def _cpu(a: Array, b: Array) -> tuple[Array, ...]:
    return (wide(a).T @ wide(b),)


_TORCH = """
import torch

def solve(a, b, out):
    torch.mm(a.T, b, out=out)
"""

_CUPY = """
import cupy as cp

def solve(a, b, out):
    cp.matmul(a.T, b, out=out)
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def atb_kernel(a, b, out, m, n, k, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    cols = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, k, BK):
        ks = start + tl.arange(0, BK)
        left = tl.load(a + ks[:, None].to(tl.int64) * m + rows[None, :],
                       mask=(ks[:, None] < k) & (rows[None, :] < m), other=0.0)
        right = tl.load(b + ks[:, None].to(tl.int64) * n + cols[None, :],
                        mask=(ks[:, None] < k) & (cols[None, :] < n), other=0.0)
        acc = tl.dot(tl.trans(left), right, acc, input_precision="ieee")
    tl.store(out + rows[:, None].to(tl.int64) * n + cols[None, :], acc.to(out.dtype.element_ty),
             mask=(rows[:, None] < m) & (cols[None, :] < n))

def solve(a, b, out):
    k, m = a.shape
    n = b.shape[1]
    grid = (triton.cdiv(m, 64), triton.cdiv(n, 64))
    atb_kernel[grid](a, b, out, m, n, k, BM=64, BN=64, BK=32, num_warps=4)
"""

_CUDA = """
// launch: solve(grid=(ceil_div(n, 64), ceil_div(m, 64)), block=(16, 16))
// Each block makes a 64 x 64 tile, each thread 4 x 4 of it.
extern "C" __global__ void solve(const scalar* a, const scalar* b, scalar* out,
                                 long long m, long long n, long long k) {
    __shared__ scalar left[16][64], right[16][64];
    const int tx = threadIdx.x, ty = threadIdx.y, t = ty * 16 + tx;
    const long long row0 = blockIdx.y * 64LL, col0 = blockIdx.x * 64LL;
    scalar acc[4][4] = {};
    for (long long start = 0; start < k; start += 16) {
        for (int i = t; i < 1024; i += 256) {
            const int c = i / 64, r = i % 64;
            const bool inside = start + c < k;
            left[c][r] = inside && row0 + r < m ? a[(start + c) * m + row0 + r] : (scalar)0;
            right[c][r] = inside && col0 + r < n ? b[(start + c) * n + col0 + r] : (scalar)0;
        }
        __syncthreads();
        for (int c = 0; c < 16; c++) {
            scalar x[4], y[4];
            for (int i = 0; i < 4; i++) { x[i] = left[c][ty + 16 * i]; y[i] = right[c][tx + 16 * i]; }
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) acc[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const long long r = row0 + ty + 16 * i, c = col0 + tx + 16 * j;
            if (r < m && c < n) out[r * n + c] = acc[i][j];
        }
}
"""

PROBLEM = GpuProblem(
    name="atb",
    level=1,
    task="""
Compute `out = a.T @ b`, that is `out[i, j] = sum over l of a[l, i] * b[l, j]`. Entries are signed, so the sums
cancel.
""",
    dtypes=ALL,
    sizes={"m": "columns of `a`", "n": "columns of `b`", "k": "rows of both"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "sums of products accumulated in this precision, float32 for 16-bit inputs; TF32 is outside",
        fp64=(1e-11, 1e-12),
        fp32=(2e-5, 3e-5),
        bf16=(1.6e-2, 1.6e-2),
        fp16=(2e-3, 2e-3),
    ),
    flops=lambda shape, dtype: 2 * shape["m"] * shape["n"] * shape["k"],
    correctness=({"m": 65, "n": 40, "k": 130}, {"m": 33, "n": 200, "k": 77}, {"m": 256, "n": 128, "k": 512}),
    timed=lambda s: {"m": root(4096, s, 1 / 3), "n": root(4096, s, 1 / 3), "k": root(4096, s, 1 / 3)},
    dialect_dtypes={"triton": ("fp32", "bf16", "fp16"), "cuda": ("fp64", "fp32")},
)
