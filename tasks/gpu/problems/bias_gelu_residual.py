"""Bias, GELU and residual in one pass."""

from __future__ import annotations

from typing import Any

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import ACC, ALL, by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("x", (shape["rows"], shape["cols"]), element),
        ArraySpec("bias", (shape["cols"],), element),
        ArraySpec("residual", (shape["rows"], shape["cols"]), element),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["rows"], shape["cols"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    rows, cols = shape["rows"], shape["cols"]
    return [draw.real(dtype, rows, cols) * 2, draw.real(dtype, cols), draw.real(dtype, rows, cols)]


def _cpu(x: Array, bias: Array, residual: Array) -> tuple[Array, ...]:
    from scipy.special import erf

    v = wide(x) + wide(bias)
    gelu = erf(v * v.dtype.type(0.5**0.5))
    gelu += 1
    gelu *= v
    gelu *= v.dtype.type(0.5)
    gelu += wide(residual)
    return (gelu,)


_TORCH = """
import torch
import torch.nn.functional as F

def solve(x, bias, residual, out):
    torch.add(F.gelu(x + bias), residual, out=out)
"""

_CUPY = """
import cupy as cp
from cupyx.scipy.special import erf

def solve(x, bias, residual, out):
    kind = cp.dtype("float32") if x.dtype == cp.float16 else x.dtype
    v = x.astype(kind) + bias.astype(kind)
    out[...] = 0.5 * v * (1 + erf(v * 0.5**0.5)) + residual
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def fused_kernel(x, bias, residual, out, cols, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = at < cols
    v = tl.load(x + row * cols + at, mask=mask, other=0.0).to(WIDE)
    v += tl.load(bias + at, mask=mask, other=0.0).to(WIDE)
    r = tl.load(residual + row * cols + at, mask=mask, other=0.0).to(WIDE)
    # sqrt(1/2) as two floats: one alone would be float32 in a float64 product.
    half_root = tl.full((BLOCK,), 0.5, dtype=WIDE)
    gelu = 0.5 * v * (1.0 + tl.erf(v * tl.sqrt(half_root)))
    tl.store(out + row * cols + at, (gelu + r).to(out.dtype.element_ty), mask=mask)

def solve(x, bias, residual, out):
    rows, cols = x.shape
    wide = tl.float64 if x.dtype == torch.float64 else tl.float32
    grid = (rows, triton.cdiv(cols, 1024))
    fused_kernel[grid](x, bias, residual, out, cols, BLOCK=1024, WIDE=wide, num_warps=4)
"""

_CUDA = (
    """
// launch: solve(grid=(rows, ceil_div(cols, 256)), block=(256))
"""
    + ACC
    + """
extern "C" __global__ void solve(const scalar* x, const scalar* bias, const scalar* residual, scalar* out,
                                 long long rows, long long cols) {
    const long long c = blockIdx.y * 256LL + threadIdx.x;
    if (c >= cols) return;
    const long long i = blockIdx.x * cols + c;
    const acc v = (acc)x[i] + (acc)bias[c];
    out[i] = (scalar)((acc)0.5 * v * (1 + erf(v * (acc)0.70710678118654752440)) + (acc)residual[i]);
}
"""
)

PROBLEM = GpuProblem(
    name="bias_gelu_residual",
    level=2,
    task="""
Compute `out[i, j] = gelu(x[i, j] + bias[j]) + residual[i, j]` with the exact GELU, `gelu(v) = v * (1 + erf(v /
sqrt(2))) / 2` (not its tanh approximation).
""",
    dtypes=ALL,
    sizes={"rows": "rows of `x`", "cols": "columns of `x`"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "a few roundings of values of order 1; the tanh approximation is outside in float32 and float64",
        fp64=(1e-13, 1e-13),
        fp32=(1e-5, 1e-5),
        bf16=(2e-2, 4e-2),
        fp16=(2e-3, 4e-3),
    ),
    flops=lambda shape, dtype: 10 * shape["rows"] * shape["cols"],
    correctness=({"rows": 5, "cols": 33}, {"rows": 64, "cols": 1000}, {"rows": 3, "cols": 4097}),
    timed=lambda s: {"rows": root(4096, s, 1.0), "cols": 4096},
)
