"""Histogram of skewed values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import ACC, ALL, by_dtype, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    return (
        ArraySpec("x", (shape["n"],), ELEMENT_OF[dtype], "values from 0 to 1"),
        ScalarSpec("bins", "int", "number of bins, a power of two"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["bins"],), "int64", "how many values fall into each bin"),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    # Squared: low bins are hit far more often, which is what makes atomics slow.
    x = draw.unit(dtype, shape["n"])
    return [x * x, shape["bins"]]


def _cpu(x: Array, bins: int) -> tuple[Array, ...]:
    x = wide(x)
    bin_of = np.minimum((x * x.dtype.type(bins)).astype(np.int32), bins - 1)
    return (np.bincount(bin_of, minlength=bins),)


_TORCH = """
import torch

def solve(x, bins, out):
    out.zero_()
    # Counts come back in the values' own precision: 2^24 of them at a time are exact in float32.
    for part in x.split(1 << 24):
        out += torch.histc(part if part.dtype == torch.float64 else part.float(), bins=bins, min=0, max=1).long()
"""

_CUPY = """
import cupy as cp

def solve(x, bins, out):
    out[...] = 0
    for start in range(0, x.size, 1 << 26):
        part = x[start:start + (1 << 26)]
        wide = part.astype(cp.float32) if part.dtype == cp.float16 else part
        out += cp.bincount(cp.minimum((wide * bins).astype(cp.int32), bins - 1), minlength=bins)
"""

_CUDA = (
    """
// launch: clear(grid=(ceil_div(bins, 256)), block=(256))
// launch: solve(grid=(min(4096, ceil_div(n, 2048))), block=(256), shared=4 * bins)
"""
    + ACC
    + """
extern "C" __global__ void clear(const scalar* x, long long bins, unsigned long long* out) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < bins) out[i] = 0;
}

// Each block counts in shared memory and adds its counts up at the end.
extern "C" __global__ void solve(const scalar* x, long long bins, unsigned long long* out, long long n) {
    extern __shared__ unsigned int counts[];
    for (int b = threadIdx.x; b < bins; b += 256) counts[b] = 0;
    __syncthreads();
    const acc width = (acc)bins;
    const int last = (int)bins - 1;
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL)
        atomicAdd(&counts[min((int)((acc)x[i] * width), last)], 1u);
    __syncthreads();
    for (int b = threadIdx.x; b < bins; b += 256)
        if (counts[b]) atomicAdd(&out[b], (unsigned long long)counts[b]);
}
"""
)

PROBLEM = GpuProblem(
    name="histogram",
    level=1,
    task="""
Count how many values of `x` fall into each of `bins` equal bins over [0, 1]: value `v` belongs to bin
`min(floor(v * bins), bins - 1)`. Low bins are hit far more often than high ones.
""",
    dtypes=ALL,
    sizes={"n": "length of `x`", "bins": "number of bins, a power of two up to 4096"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype(
        "counts are exact, and so is a product with a power of two",
        fp64=(0.0, 0.0),
        fp32=(0.0, 0.0),
        bf16=(0.0, 0.0),
        fp16=(0.0, 0.0),
    ),
    flops=lambda shape, dtype: 2 * shape["n"],
    correctness=({"n": 1000, "bins": 16}, {"n": 70_001, "bins": 1024}, {"n": 300_000, "bins": 64}),
    timed=lambda s: {"n": min(round((1 << 24) * s), (1 << 31) - 1), "bins": 256},
)
