"""The article's matrix product: a matrix times its own transpose."""

from __future__ import annotations

from typing import Any

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import ALL, by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("a", (shape["m"], shape["k"]), ELEMENT_OF[dtype]),)


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["m"], shape["m"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    # Signed and scaled, so that sums cancel and entries off the diagonal are of order 1: with the article's
    # uniform [0, 1) numbers a product in TF32 could not be told from one in float32.
    return [draw.real(dtype, shape["m"], shape["k"]) * shape["k"] ** -0.25]


def _cpu(a: Array) -> tuple[Array, ...]:
    a = wide(a)
    return (a @ a.T,)


_TORCH = """
import torch

def solve(a, out):
    torch.mm(a, a.T, out=out)
"""

_CUPY = """
import cupy as cp

def solve(a, out):
    cp.matmul(a, a.T, out=out)
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def gram_kernel(a, out, m, k, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    cols = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, k, BK):
        ks = start + tl.arange(0, BK)
        left = tl.load(a + rows[:, None].to(tl.int64) * k + ks[None, :],
                       mask=(rows[:, None] < m) & (ks[None, :] < k), other=0.0)
        right = tl.load(a + cols[None, :].to(tl.int64) * k + ks[:, None],
                        mask=(cols[None, :] < m) & (ks[:, None] < k), other=0.0)
        acc = tl.dot(left, right, acc, input_precision="ieee")
    tl.store(out + rows[:, None].to(tl.int64) * m + cols[None, :], acc.to(out.dtype.element_ty),
             mask=(rows[:, None] < m) & (cols[None, :] < m))

def solve(a, out):
    m, k = a.shape
    grid = (triton.cdiv(m, 64), triton.cdiv(m, 64))
    gram_kernel[grid](a, out, m, k, BM=64, BN=64, BK=32, num_warps=4)
"""

_CUDA = """
// launch: solve(grid=(ceil_div(m, 64), ceil_div(m, 64)), block=(16, 16))
// Each block makes a 64 x 64 tile, each thread 4 x 4 of it; tiles below the diagonal are mirrored.
extern "C" __global__ void solve(const scalar* a, scalar* out, long long m, long long k) {
    if (blockIdx.x < blockIdx.y) return;
    __shared__ scalar left[16][65], right[16][65];
    const int tx = threadIdx.x, ty = threadIdx.y, t = ty * 16 + tx;
    const long long row0 = blockIdx.y * 64LL, col0 = blockIdx.x * 64LL;
    scalar acc[4][4] = {};
    for (long long start = 0; start < k; start += 16) {
        for (int i = t; i < 1024; i += 256) {
            const int r = i / 16, c = i % 16;
            const bool inside = start + c < k;
            left[c][r] = inside && row0 + r < m ? a[(row0 + r) * k + start + c] : (scalar)0;
            right[c][r] = inside && col0 + r < m ? a[(col0 + r) * k + start + c] : (scalar)0;
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
            if (r < m && c < m) {
                out[r * m + c] = acc[i][j];
                if (blockIdx.x > blockIdx.y) out[c * m + r] = acc[i][j];
            }
        }
}
"""

PROBLEM = GpuProblem(
    name="gram",
    level=1,
    task="""
Compute the Gram matrix of the rows of `a`: `out = a @ a.T`, that is `out[i, j] = sum over l of a[i, l] * a[j,
l]`. Entries of `a` are signed, so the sums cancel.
""",
    dtypes=ALL,
    sizes={"m": "rows of `a`", "k": "columns of `a`"},
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
    flops=lambda shape, dtype: shape["m"] ** 2 * shape["k"],
    correctness=({"m": 65, "k": 130}, {"m": 200, "k": 33}, {"m": 256, "k": 512}),
    timed=lambda s: {"m": root(5000, s, 1 / 3), "k": root(5000, s, 1 / 3)},
    dialect_dtypes={"triton": ("fp32", "bf16", "fp16"), "cuda": ("fp64", "fp32")},
)
