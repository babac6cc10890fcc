"""Monte Carlo price of an Asian option, with the random numbers given."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    return (
        ArraySpec("z", (shape["steps"], shape["paths"]), ELEMENT_OF[dtype], "standard normal numbers"),
        ScalarSpec("spot", "float", "price at the start"),
        ScalarSpec("strike", "float"),
        ScalarSpec("rate", "float", "the riskless rate"),
        ScalarSpec("volatility", "float"),
        ScalarSpec("dt", "float", "years of one step"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("payoff", (shape["paths"],), element, "each path's discounted payoff"),
        ArraySpec("price", (1,), element, "their mean"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    # Scalars are powers of two or sums of two, the same in every precision. The rate is not half the volatility
    # squared, where the drift would vanish and a program without it be right.
    return [draw.real(dtype, shape["steps"], shape["paths"]), 1.0, 0.9375, 0.0625, 0.25, 0.015625]


def _cpu(z: Array, spot: float, strike: float, rate: float, volatility: float, dt: float) -> tuple[Array, ...]:  # noqa: PLR0917
    kind = z.dtype.type
    drift, spread = kind((rate - volatility**2 / 2) * dt), kind(volatility * dt**0.5)
    level = np.zeros(z.shape[1], dtype=z.dtype)
    total = np.zeros_like(level)
    for row in z:
        level += drift + spread * row
        total += np.exp(level)
    mean = total * kind(spot / len(z))
    payoff = np.maximum(mean - kind(strike), 0) * kind(np.exp(-rate * dt * len(z)))
    return payoff, payoff.mean(keepdims=True, dtype=np.float64)


_TORCH = """
import math
import torch

def solve(z, spot, strike, rate, volatility, dt, out):
    payoff, price = out
    steps, paths = z.shape
    drift, spread = (rate - volatility**2 / 2) * dt, volatility * math.sqrt(dt)
    # In parts of the paths, so that the workspace stays small.
    part = max(1, (1 << 27) // steps)
    for start in range(0, paths, part):
        levels = torch.cumsum(z[:, start:start + part], dim=0).mul_(spread)
        levels += drift * torch.arange(1, steps + 1, dtype=z.dtype, device=z.device)[:, None]
        torch.mean(levels.exp_(), dim=0, out=payoff[start:start + part])
    payoff.mul_(spot).sub_(strike).clamp_(min=0).mul_(math.exp(-rate * dt * steps))
    torch.mean(payoff, dim=0, keepdim=True, out=price)
"""

_CUPY = """
import math
import cupy as cp

def solve(z, spot, strike, rate, volatility, dt, out):
    payoff, price = out
    steps, paths = z.shape
    drift, spread = (rate - volatility**2 / 2) * dt, volatility * math.sqrt(dt)
    level = cp.zeros(paths, dtype=z.dtype)
    total = cp.zeros(paths, dtype=z.dtype)
    for step in range(steps):
        level += z[step] * spread
        level += drift
        total += cp.exp(level)
    payoff[...] = cp.maximum(total * (spot / steps) - strike, 0) * math.exp(-rate * dt * steps)
    price[...] = payoff.mean()
"""

_TRITON = """
import math
import torch
import triton
import triton.language as tl

@triton.jit
def path_kernel(z, payoff, sums, steps, paths, drift, spread, scale, strike, discount, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    at = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < paths
    place = at
    level = tl.zeros((BLOCK,), dtype=tl.float32)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for step in range(0, steps):
        level += drift + spread * tl.load(z + place, mask=mask, other=0.0)
        total += tl.exp(level)
        place += paths
    paid = tl.where(mask, tl.maximum(total * scale - strike, 0.0) * discount, 0.0)
    tl.store(payoff + at, paid, mask=mask)
    tl.store(sums + block, tl.sum(paid, axis=0))

@triton.jit
def mean_kernel(sums, price, blocks, paths, BLOCK: tl.constexpr):
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, blocks, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(sums + at, mask=at < blocks, other=0.0)
    tl.store(price, tl.sum(total, axis=0) / paths)

def solve(z, spot, strike, rate, volatility, dt, out):
    payoff, price = out
    steps, paths = z.shape
    drift, spread = (rate - volatility**2 / 2) * dt, volatility * math.sqrt(dt)
    blocks = triton.cdiv(paths, 256)
    sums = torch.empty(blocks, dtype=z.dtype, device=z.device)
    path_kernel[(blocks,)](z, payoff, sums, steps, paths, drift, spread, spot / steps, strike,
                           math.exp(-rate * dt * steps), BLOCK=256, num_warps=4)
    mean_kernel[(1,)](sums, price, blocks, paths, BLOCK=1024, num_warps=4)
"""

_CUDA = """
// launch: walk(grid=(ceil_div(paths, 256)), block=(256))
// launch: solve(grid=(1), block=(1024))
// scratch: 8 * ceil_div(paths, 256)
// A thread a path, then one block adds up what each block of paths has paid.

extern "C" __global__ void walk(const scalar* z, double spot, double strike, double rate, double volatility,
                                double dt, scalar* payoff, scalar* price, long long paths, long long steps,
                                double* sums) {
    __shared__ double shared[256];
    const int t = threadIdx.x;
    const long long p = blockIdx.x * 256LL + t;
    double paid = 0;
    if (p < paths) {
        const scalar drift = (scalar)((rate - volatility * volatility / 2) * dt);
        const scalar spread = (scalar)(volatility * sqrt(dt));
        scalar level = 0, total = 0;
        for (long long s = 0; s < steps; s++) {
            level += drift + spread * z[s * paths + p];
            total += exp(level);
        }
        const scalar over = total * (scalar)(spot / steps) - (scalar)strike;
        payoff[p] = over > 0 ? over * (scalar)exp(-rate * dt * steps) : (scalar)0;
        paid = payoff[p];
    }
    shared[t] = paid;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) shared[t] += shared[t + half];
        __syncthreads();
    }
    if (t == 0) sums[blockIdx.x] = shared[0];
}

extern "C" __global__ void solve(const scalar* z, double spot, double strike, double rate, double volatility,
                                 double dt, scalar* payoff, scalar* price, long long paths, long long steps,
                                 const double* sums) {
    __shared__ double shared[1024];
    const int t = threadIdx.x;
    double sum = 0;
    for (long long b = t; b < (paths + 255) / 256; b += 1024) sum += sums[b];
    shared[t] = sum;
    __syncthreads();
    for (int half = 512; half > 0; half /= 2) {
        if (t < half) shared[t] += shared[t + half];
        __syncthreads();
    }
    if (t == 0) price[0] = (scalar)(shared[0] / (double)paths);
}
"""

PROBLEM = GpuProblem(
    name="asian_option",
    level=3,
    task="""
Price an Asian call option by Monte Carlo with the given random numbers. Along each path the underlying is `S_0
= spot`, `S_k = S_(k-1) * exp((rate - volatility^2 / 2) * dt + volatility * sqrt(dt) * z[k - 1, path])` for `k`
from 1 to `steps`. The path's payoff is `max(mean of S_1 .. S_steps - strike, 0) * exp(-rate * dt * steps)`.
Write every path's payoff, and their mean.
""",
    dtypes=REAL,
    sizes={"paths": "number of paths", "steps": "steps of each"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "roundings of a path's logarithm and of the exponential; payoffs are of order 0.1",
        fp64=(1e-11, 1e-12),
        fp32=(2e-5, 1e-5),
    ),
    flops=lambda shape, dtype: 20 * shape["paths"] * shape["steps"],
    correctness=({"paths": 65, "steps": 10}, {"paths": 1000, "steps": 33}, {"paths": 5001, "steps": 64}),
    timed=lambda s: {"paths": root(262_144, s, 1.0), "steps": 64},
    dialect_dtypes={"triton": ("fp32",)},
)
