"""Layer normalisation of each row, with means that dwarf the standard deviation."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import ACC, ALL, by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("x", (shape["rows"], shape["cols"]), element),
        ArraySpec("weight", (shape["cols"],), element),
        ArraySpec("bias", (shape["cols"],), element),
        ScalarSpec("eps", "float", "added to the variance"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["rows"], shape["cols"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    rows, cols = shape["rows"], shape["cols"]
    x = draw.real(dtype, rows, cols)
    # Means of up to 100 standard deviations: mean of squares minus square of mean loses float32's digits.
    x += draw.unit(dtype, rows, 1, low=-100.0, high=100.0)
    # So large that a program without it is wrong, in 16 bits too.
    eps = 0.0625
    return [x, draw.unit(dtype, cols, low=0.5, high=1.5), draw.real(dtype, cols), eps]


def _cpu(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, ...]:
    x = wide(x)
    centred = x - x.mean(axis=1, keepdims=True, dtype=np.float64).astype(x.dtype)
    variance = np.einsum("ij,ij->i", centred, centred)[:, None] / x.dtype.type(x.shape[1])
    centred *= 1 / np.sqrt(variance + x.dtype.type(eps))
    centred *= wide(weight)
    centred += wide(bias)
    return (centred,)


_TORCH = """
import torch
import torch.nn.functional as F

def solve(x, weight, bias, eps, out):
    out.copy_(F.layer_norm(x, (x.shape[1],), weight, bias, eps))
"""

_CUPY = """
import cupy as cp

def solve(x, weight, bias, eps, out):
    kind = cp.dtype("float32") if x.dtype == cp.float16 else x.dtype
    wide = x.astype(kind)
    centred = wide - wide.mean(axis=1, keepdims=True, dtype=cp.float64).astype(kind)
    variance = (centred * centred).mean(axis=1, keepdims=True)
    centred /= cp.sqrt(variance + eps)
    centred *= weight.astype(kind)
    centred += bias.astype(kind)
    out[...] = centred
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def norm_kernel(x, weight, bias, out, cols, eps, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    mask = at < cols
    v = tl.load(x + row * cols + at, mask=mask, other=0.0).to(WIDE)
    centred = tl.where(mask, v - tl.sum(v, axis=0) / cols, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / cols + eps)
    w = tl.load(weight + at, mask=mask, other=0.0).to(WIDE)
    b = tl.load(bias + at, mask=mask, other=0.0).to(WIDE)
    tl.store(out + row * cols + at, (centred * scale * w + b).to(out.dtype.element_ty), mask=mask)

def solve(x, weight, bias, eps, out):
    rows, cols = x.shape
    block = triton.next_power_of_2(cols)
    wide = tl.float64 if x.dtype == torch.float64 else tl.float32
    warps = 8 if block >= 2048 else 4
    norm_kernel[(rows,)](x, weight, bias, out, cols, eps, BLOCK=block, WIDE=wide, num_warps=warps)
"""

_CUDA = (
    """
// launch: solve(grid=(rows), block=(256))
// One block a row: mean, then variance about it, then the result; the row stays in cache.
"""
    + ACC
    + """
__device__ acc block_sum(acc v, acc* shared) {
    shared[threadIdx.x] = v;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    v = shared[0];
    __syncthreads();
    return v;
}

extern "C" __global__ void solve(const scalar* x, const scalar* weight, const scalar* bias, double eps, scalar* out,
                                 long long rows, long long cols) {
    __shared__ acc shared[256];
    const scalar* in = x + blockIdx.x * cols;
    acc sum = 0;
    for (long long c = threadIdx.x; c < cols; c += 256) sum += (acc)in[c];
    const acc mean = block_sum(sum, shared) / (acc)cols;
    acc squares = 0;
    for (long long c = threadIdx.x; c < cols; c += 256) {
        const acc d = (acc)in[c] - mean;
        squares += d * d;
    }
    const acc scale = 1 / sqrt(block_sum(squares, shared) / (acc)cols + (acc)eps);
    for (long long c = threadIdx.x; c < cols; c += 256)
        out[blockIdx.x * cols + c] = (scalar)(((acc)in[c] - mean) * scale * (acc)weight[c] + (acc)bias[c]);
}
"""
)

PROBLEM = GpuProblem(
    name="layer_norm",
    level=1,
    task="""
Normalise each row of `x`, then scale and shift its columns: `out[i, j] = (x[i, j] - mean_i) / sqrt(var_i + eps)
* weight[j] + bias[j]`, where `mean_i` and `var_i` are the mean and the (population) variance of row `i`. A
row's mean can be a hundred times its standard deviation, so compute the variance about the mean.
""",
    dtypes=ALL,
    sizes={"rows": "rows of `x`", "cols": "columns of `x`, at most 16384"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "means of up to 100 leave that much less of the relative precision; rounding of 16-bit results added",
        fp64=(1e-11, 1e-11),
        fp32=(1e-4, 1e-4),
        bf16=(1.6e-2, 1.6e-2),
        fp16=(4e-3, 4e-3),
    ),
    flops=lambda shape, dtype: 8 * shape["rows"] * shape["cols"],
    correctness=({"rows": 9, "cols": 65}, {"rows": 64, "cols": 1000}, {"rows": 5, "cols": 4099}),
    timed=lambda s: {"rows": root(4096, s, 1.0), "cols": 4096},
)
