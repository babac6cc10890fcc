"""Inclusive prefix sum of a long vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import REAL, by_dtype

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("x", (shape["n"],), ELEMENT_OF[dtype]),)


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["n"],), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    # A random walk that ends at a distance of order 1 whatever its length, so that one tolerance fits all sizes.
    return [draw.real(dtype, shape["n"]) * shape["n"] ** -0.5]


def _cpu(x: Array) -> tuple[Array, ...]:
    return (np.cumsum(x, dtype=np.float64),)


_TORCH = """
import torch

def solve(x, out):
    torch.cumsum(x, dim=0, out=out)
"""

_CUPY = """
import cupy as cp

def solve(x, out):
    cp.cumsum(x, out=out)
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def sums_kernel(x, sums, n, BLOCK: tl.constexpr):
    block = tl.program_id(0).to(tl.int64)
    at = block * BLOCK + tl.arange(0, BLOCK)
    tl.store(sums + block, tl.sum(tl.load(x + at, mask=at < n, other=0.0), axis=0))

@triton.jit
def scan_kernel(sums, blocks, BLOCK: tl.constexpr):
    carry = tl.sum(tl.zeros((BLOCK,), dtype=sums.dtype.element_ty), axis=0)
    for start in range(0, blocks, BLOCK):
        at = start + tl.arange(0, BLOCK)
        v = tl.load(sums + at, mask=at < blocks, other=0.0)
        tl.store(sums + at, tl.cumsum(v, axis=0) - v + carry, mask=at < blocks)
        carry += tl.sum(v, axis=0)

@triton.jit
def finish_kernel(x, sums, out, n, BLOCK: tl.constexpr):
    block = tl.program_id(0).to(tl.int64)
    at = block * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < n, other=0.0)
    tl.store(out + at, tl.cumsum(v, axis=0) + tl.load(sums + block), mask=at < n)

def solve(x, out):
    n = x.numel()
    blocks = triton.cdiv(n, 4096)
    sums = torch.empty(blocks, dtype=x.dtype, device=x.device)
    sums_kernel[(blocks,)](x, sums, n, BLOCK=4096, num_warps=8)
    scan_kernel[(1,)](sums, blocks, BLOCK=4096, num_warps=8)
    finish_kernel[(blocks,)](x, sums, out, n, BLOCK=4096, num_warps=8)
"""

_CUDA = """
// launch: sums(grid=(ceil_div(n, 2048)), block=(256))
// launch: offsets(grid=(1), block=(1024))
// launch: solve(grid=(ceil_div(n, 2048)), block=(256))
// scratch: 8 * ceil_div(n, 2048)
// Sum of each block of 2048, exclusive scan of those sums, then each block's own scan from its offset.

extern "C" __global__ void sums(const scalar* x, scalar* out, long long n, scalar* scratch) {
    __shared__ scalar shared[256];
    const int t = threadIdx.x;
    const long long start = blockIdx.x * 2048LL;
    scalar sum = 0;
    for (long long i = start + t; i < min(n, start + 2048); i += 256) sum += x[i];
    shared[t] = sum;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) shared[t] += shared[t + half];
        __syncthreads();
    }
    if (t == 0) scratch[blockIdx.x] = shared[0];
}

// Inclusive scan over the block's threads; `shared` holds one value a thread.
__device__ scalar block_scan(scalar v, scalar* shared) {
    const int t = threadIdx.x;
    shared[t] = v;
    __syncthreads();
    for (int step = 1; step < blockDim.x; step *= 2) {
        const scalar before = t >= step ? shared[t - step] : (scalar)0;
        __syncthreads();
        shared[t] += before;
        __syncthreads();
    }
    v = shared[t];
    __syncthreads();
    return v;
}

extern "C" __global__ void offsets(const scalar* x, scalar* out, long long n, scalar* scratch) {
    __shared__ scalar shared[1024];
    __shared__ scalar last;
    const long long blocks = (n + 2047) / 2048;
    scalar carry = 0;
    for (long long start = 0; start < blocks; start += 1024) {
        const long long i = start + threadIdx.x;
        const scalar v = i < blocks ? scratch[i] : (scalar)0;
        const scalar scanned = block_scan(v, shared);
        if (i < blocks) scratch[i] = carry + scanned - v;
        if (threadIdx.x == 1023) last = scanned;
        __syncthreads();
        carry += last;
        __syncthreads();
    }
}

extern "C" __global__ void solve(const scalar* x, scalar* out, long long n, scalar* scratch) {
    __shared__ scalar tile[2048 + 64];
    __shared__ scalar shared[256];
    const int t = threadIdx.x;
    const long long start = blockIdx.x * 2048LL;
    // One pad element after each 32 keeps a thread's eight neighbours out of the same bank.
    for (int i = t; i < 2048; i += 256) tile[i + i / 32] = start + i < n ? x[start + i] : (scalar)0;
    __syncthreads();
    scalar sum = 0;
    for (int j = 0; j < 8; j++) {
        const int i = t * 8 + j;
        sum += tile[i + i / 32];
        tile[i + i / 32] = sum;
    }
    const scalar before = block_scan(sum, shared) - sum + scratch[blockIdx.x];
    for (int j = 0; j < 8; j++) {
        const int i = t * 8 + j;
        tile[i + i / 32] += before;
    }
    __syncthreads();
    for (int i = t; i < 2048; i += 256)
        if (start + i < n) out[start + i] = tile[i + i / 32];
}
"""

PROBLEM = GpuProblem(
    name="prefix_sum",
    level=1,
    task="""
Compute the inclusive prefix sum of `x`: `out[i] = x[0] + x[1] + ... + x[i]`. Values are signed.
""",
    dtypes=REAL,
    sizes={"n": "length of `x`"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "partial sums of order 1, rounded in any order of a parallel scan of up to two thousand million terms",
        fp64=(1e-12, 1e-12),
        fp32=(1e-4, 1e-4),
    ),
    flops=lambda shape, dtype: shape["n"],
    correctness=({"n": 1000}, {"n": 4097}, {"n": 300_001}),
    timed=lambda s: {"n": min(round((1 << 24) * s), (1 << 31) - 1)},
)
