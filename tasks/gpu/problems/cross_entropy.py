"""Cross-entropy loss of each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import ACC, ALL, by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (
        ArraySpec("logits", (shape["rows"], shape["classes"]), ELEMENT_OF[dtype]),
        ArraySpec("target", (shape["rows"],), "int64", "the right class of each row"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = "float64" if dtype == "fp64" else "float32"
    return (ArraySpec("out", (shape["rows"],), element),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    logits = draw.real(dtype, shape["rows"], shape["classes"])
    logits *= 3.0
    # Every other row is far from zero, so that plain exponentials overflow.
    logits[1::2] += 200.0
    return [logits, draw.integers(shape["rows"], low=0, high=shape["classes"])]


def _cpu(logits: Array, target: Array) -> tuple[Array, ...]:
    logits = wide(logits)
    top = logits.max(axis=1)
    total = np.exp(logits - top[:, None]).sum(axis=1)
    return (np.log(total) + top - logits[np.arange(len(logits)), target],)


_TORCH = """
import torch
import torch.nn.functional as F

def solve(logits, target, out):
    out.copy_(F.cross_entropy(logits.to(out.dtype), target, reduction="none"))
"""

_CUPY = """
import cupy as cp

def solve(logits, target, out):
    wide = logits.astype(out.dtype, copy=False)
    top = wide.max(axis=1)
    total = cp.exp(wide - top[:, None]).sum(axis=1)
    out[...] = cp.log(total) + top - wide[cp.arange(wide.shape[0]), target]
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def loss_kernel(logits, target, out, classes, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    top = tl.full((BLOCK,), float("-inf"), dtype=WIDE)
    total = tl.zeros((BLOCK,), dtype=WIDE)
    for start in range(0, classes, BLOCK):
        mask = start + at < classes
        v = tl.load(logits + row * classes + start + at, mask=mask, other=float("-inf")).to(WIDE)
        new_top = tl.maximum(top, v)
        # A lane that has seen no element yet has the maximum -inf; it adds nothing.
        grown = tl.where(new_top == float("-inf"), 0.0, new_top)
        total = total * tl.exp(top - grown) + tl.exp(v - grown)
        top = new_top
    most = tl.max(top, axis=0)
    whole = tl.sum(total * tl.exp(top - most), axis=0)
    right = tl.load(logits + row * classes + tl.load(target + row)).to(WIDE)
    tl.store(out + row, tl.log(whole) + most - right)

def solve(logits, target, out):
    rows, classes = logits.shape
    wide = tl.float64 if logits.dtype == torch.float64 else tl.float32
    loss_kernel[(rows,)](logits, target, out, classes, BLOCK=2048, WIDE=wide, num_warps=8)
"""

_CUDA = (
    """
// launch: solve(grid=(rows), block=(256))
// One block a row, one pass: running maximum and rescaled sum.
"""
    + ACC
    + """
extern "C" __global__ void solve(const scalar* logits, const long long* target, acc* out,
                                 long long rows, long long classes) {
    __shared__ acc tops[256], sums[256];
    const scalar* in = logits + blockIdx.x * classes;
    const int t = threadIdx.x;
    acc top = -(acc)__int_as_float(0x7f800000), sum = 0;
    for (long long c = t; c < classes; c += 256) {
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
            const acc sa = sums[t] > 0 ? sums[t] * exp(a - m) : (acc)0;
            const acc sb = sums[t + half] > 0 ? sums[t + half] * exp(b - m) : (acc)0;
            tops[t] = m;
            sums[t] = sa + sb;
        }
        __syncthreads();
    }
    if (t == 0) out[blockIdx.x] = log(sums[0]) + tops[0] - (acc)in[target[blockIdx.x]];
}
"""
)

PROBLEM = GpuProblem(
    name="cross_entropy",
    level=2,
    task="""
Compute each row's cross-entropy loss: `out[i] = log(sum over j of exp(logits[i, j])) - logits[i, target[i]]`.
Logits can be far from zero, so that plain exponentials overflow. For 16-bit logits compute in float32; the
output is float32 then.
""",
    dtypes=ALL,
    sizes={"rows": "number of rows", "classes": "number of classes"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "float32 differences of logits near 200, whose spacing is 1.5e-5; 16-bit logits are exact in float32",
        fp64=(1e-12, 1e-12),
        fp32=(1e-5, 6e-5),
        bf16=(1e-5, 6e-5),
        fp16=(1e-5, 6e-5),
    ),
    flops=lambda shape, dtype: 4 * shape["rows"] * shape["classes"],
    correctness=({"rows": 9, "classes": 50}, {"rows": 64, "classes": 1003}, {"rows": 5, "classes": 9000}),
    timed=lambda s: {"rows": root(512, s, 1.0), "classes": 32_768},
)
