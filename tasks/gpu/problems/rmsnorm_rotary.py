"""RMS normalisation of each head, then rotary position embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    element = ELEMENT_OF[dtype]
    half = (shape["tokens"], shape["width"] // 2)
    return (
        ArraySpec("x", (shape["tokens"], shape["heads"], shape["width"]), element),
        ArraySpec("weight", (shape["width"],), element),
        ArraySpec("cosine", half, "float32", "for each position and pair"),
        ArraySpec("sine", half, "float32"),
        ScalarSpec("eps", "float", "added to the mean square"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["tokens"], shape["heads"], shape["width"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    tokens, heads, width = shape["tokens"], shape["heads"], shape["width"]
    x = draw.real(dtype, tokens, heads, width)
    # Heads of very different size: the normalisation has to be each head's own.
    x *= draw.unit(dtype, tokens, heads, 1, low=0.1, high=10.0)
    # Any pair on the unit circle serves as a rotation; made of a rational parametrisation.
    t = draw.uniform(tokens, width // 2, low=-3.0, high=3.0)
    scale = 1 / (1 + t * t)
    # So large that a program without it is wrong where heads are small, in 16 bits too.
    eps = 0.015625
    return [x, draw.unit(dtype, width, low=0.5, high=1.5), (1 - t * t) * scale, 2 * t * scale, eps]


def _cpu(x: Array, weight: Array, cosine: Array, sine: Array, eps: float) -> tuple[Array, ...]:
    x = wide(x)
    mean = np.einsum("thd,thd->th", x, x)[..., None] / np.float32(x.shape[2])
    normed = x * (1 / np.sqrt(mean + np.float32(eps))) * wide(weight)
    half = x.shape[2] // 2
    first, second = normed[..., :half], normed[..., half:]
    c, s = cosine[:, None, :], sine[:, None, :]
    return (np.concatenate([first * c - second * s, first * s + second * c], axis=2),)


_TORCH = """
import torch

def solve(x, weight, cosine, sine, eps, out):
    wide = x.float()
    normed = wide * torch.rsqrt(wide.square().mean(dim=2, keepdim=True) + eps) * weight.float()
    first, second = normed.chunk(2, dim=2)
    c, s = cosine[:, None], sine[:, None]
    half = x.shape[2] // 2
    out[:, :, :half] = first * c - second * s
    out[:, :, half:] = first * s + second * c
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def rotary_kernel(x, weight, cosine, sine, out, heads, width, eps, HALF: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    token = row // heads
    half = width // 2
    at = tl.arange(0, HALF)
    mask = at < half
    first = tl.load(x + row * width + at, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(x + row * width + half + at, mask=mask, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt((tl.sum(first * first, axis=0) + tl.sum(second * second, axis=0)) / width + eps)
    first *= scale * tl.load(weight + at, mask=mask, other=0.0).to(tl.float32)
    second *= scale * tl.load(weight + half + at, mask=mask, other=0.0).to(tl.float32)
    c = tl.load(cosine + token * half + at, mask=mask, other=0.0)
    s = tl.load(sine + token * half + at, mask=mask, other=0.0)
    tl.store(out + row * width + at, (first * c - second * s).to(out.dtype.element_ty), mask=mask)
    tl.store(out + row * width + half + at, (first * s + second * c).to(out.dtype.element_ty), mask=mask)

def solve(x, weight, cosine, sine, eps, out):
    tokens, heads, width = x.shape
    half = triton.next_power_of_2(width // 2)
    rotary_kernel[(tokens * heads,)](x, weight, cosine, sine, out, heads, width, eps, HALF=half, num_warps=1)
"""

_CUDA = """
// launch: solve(grid=(ceil_div(tokens * heads, 8)), block=(32, 8))
// A warp a head.
extern "C" __global__ void solve(const scalar* x, const scalar* weight, const float* cosine, const float* sine,
                                 double eps, scalar* out, long long tokens, long long heads, long long width) {
    const long long row = blockIdx.x * 8LL + threadIdx.y;
    if (row >= tokens * heads) return;
    const long long token = row / heads;
    const int half = (int)width / 2, lane = threadIdx.x;
    const scalar* in = x + row * width;
    scalar* to = out + row * width;
    float sum = 0;
    for (int c = lane; c < width; c += 32) sum += (float)in[c] * (float)in[c];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    const float scale = 1.0f / sqrtf(sum / (float)width + (float)eps);
    for (int c = lane; c < half; c += 32) {
        const float first = (float)in[c] * scale * (float)weight[c];
        const float second = (float)in[half + c] * scale * (float)weight[half + c];
        const float k = cosine[token * half + c], s = sine[token * half + c];
        to[c] = (scalar)(first * k - second * s);
        to[half + c] = (scalar)(first * s + second * k);
    }
}
"""

PROBLEM = GpuProblem(
    name="rmsnorm_rotary",
    level=2,
    task="""
For each token and head: normalise by the root mean square and scale, `y[d] = x[d] / sqrt(mean of x^2 over the
head + eps) * weight[d]`, then rotate the pairs `(y[d], y[d + width/2])` for `d < width/2`: `out[d] = y[d] *
cosine[t, d] - y[d + width/2] * sine[t, d]` and `out[d + width/2] = y[d] * sine[t, d] + y[d + width/2] *
cosine[t, d]`, where `t` is the token. Compute in float32 whatever the inputs' type.
""",
    dtypes=("fp32", "bf16", "fp16"),
    sizes={"tokens": "number of tokens", "heads": "heads of each", "width": "width of a head, even, at most 512"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "a few float32 roundings of values of order 1, and one rounding of a 16-bit result",
        fp32=(1e-5, 1e-5),
        bf16=(8e-3, 8e-3),
        fp16=(1e-3, 1e-3),
    ),
    flops=lambda shape, dtype: 8 * shape["tokens"] * shape["heads"] * shape["width"],
    correctness=(
        {"tokens": 5, "heads": 3, "width": 10},
        {"tokens": 33, "heads": 8, "width": 64},
        {"tokens": 100, "heads": 5, "width": 128},
    ),
    timed=lambda s: {"tokens": root(4096, s, 1.0), "heads": 32, "width": 128},
)
