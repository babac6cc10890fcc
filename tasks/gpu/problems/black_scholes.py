"""European call options: price and Greeks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    element, dims = ELEMENT_OF[dtype], (shape["n"],)
    return (
        ArraySpec("spot", dims, element, "price of the underlying"),
        ArraySpec("strike", dims, element),
        ArraySpec("years", dims, element, "time to expiry"),
        ArraySpec("volatility", dims, element),
        ScalarSpec("rate", "float", "the riskless rate"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element, dims = ELEMENT_OF[dtype], (shape["n"],)
    return tuple(ArraySpec(name, dims, element) for name in ("price", "delta", "gamma", "vega", "theta"))


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    n = shape["n"]
    # The rate is a power of two, the same in every precision.
    return [
        draw.unit(dtype, n, low=0.5, high=1.5),
        draw.unit(dtype, n, low=0.5, high=1.5),
        draw.unit(dtype, n, low=0.25, high=2.0),
        draw.unit(dtype, n, low=0.125, high=0.75),
        0.03125,
    ]


def _cpu(spot: Array, strike: Array, years: Array, volatility: Array, rate: float) -> tuple[Array, ...]:
    from scipy.special import ndtr

    kind = spot.dtype.type
    root = np.sqrt(years)
    spread = volatility * root
    d1 = (np.log(spot / strike) + (kind(rate) + volatility * volatility * kind(0.5)) * years) / spread
    d2 = d1 - spread
    density = np.exp(d1 * d1 * kind(-0.5)) * kind((2 * np.pi) ** -0.5)
    delta = ndtr(d1)
    paid = strike * np.exp(kind(-rate) * years) * ndtr(d2)
    gamma = density / (spot * spread)
    vega = spot * density * root
    theta = -spot * density * volatility / (2 * root) - kind(rate) * paid
    return spot * delta - paid, delta, gamma, vega, theta


_TORCH = """
import math
import torch

def solve(spot, strike, years, volatility, rate, out):
    price, delta, gamma, vega, theta = out
    root = years.sqrt()
    spread = volatility * root
    d1 = ((spot / strike).log() + (rate + 0.5 * volatility * volatility) * years) / spread
    density = torch.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi)
    torch.special.ndtr(d1, out=delta)
    paid = strike * torch.exp(-rate * years) * torch.special.ndtr(d1 - spread)
    torch.sub(spot * delta, paid, out=price)
    torch.div(density, spot * spread, out=gamma)
    torch.mul(spot * density, root, out=vega)
    torch.sub(-spot * density * volatility / (2 * root), paid, alpha=rate, out=theta)
"""

_CUPY = """
import math
import cupy as cp
from cupyx.scipy.special import ndtr

def solve(spot, strike, years, volatility, rate, out):
    price, delta, gamma, vega, theta = out
    root = cp.sqrt(years)
    spread = volatility * root
    d1 = (cp.log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
    density = cp.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi)
    delta[...] = ndtr(d1)
    paid = strike * cp.exp(-rate * years) * ndtr(d1 - spread)
    price[...] = spot * delta - paid
    gamma[...] = density / (spot * spread)
    vega[...] = spot * density * root
    theta[...] = -spot * density * volatility / (2 * root) - rate * paid
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def option_kernel(spot, strike, years, volatility, rate, price, delta, gamma, vega, theta, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    s = tl.load(spot + at, mask=mask, other=1.0)
    k = tl.load(strike + at, mask=mask, other=1.0)
    t = tl.load(years + at, mask=mask, other=1.0)
    v = tl.load(volatility + at, mask=mask, other=1.0)
    root = tl.sqrt(t)
    spread = v * root
    d1 = (tl.log(s / k) + (rate + 0.5 * v * v) * t) / spread
    d2 = d1 - spread
    density = tl.exp(-0.5 * d1 * d1) * 0.3989422804014327
    n1 = 0.5 * (1.0 + tl.erf(d1 * 0.7071067811865476))
    n2 = 0.5 * (1.0 + tl.erf(d2 * 0.7071067811865476))
    paid = k * tl.exp(-rate * t) * n2
    tl.store(price + at, s * n1 - paid, mask=mask)
    tl.store(delta + at, n1, mask=mask)
    tl.store(gamma + at, density / (s * spread), mask=mask)
    tl.store(vega + at, s * density * root, mask=mask)
    tl.store(theta + at, -s * density * v / (2.0 * root) - rate * paid, mask=mask)

def solve(spot, strike, years, volatility, rate, out):
    n = spot.numel()
    option_kernel[(triton.cdiv(n, 1024),)](
        spot, strike, years, volatility, rate, *out, n, BLOCK=1024, num_warps=4
    )
"""

_CUDA = """
// launch: solve(grid=(ceil_div(n, 256)), block=(256))
__device__ scalar normal(scalar x) { return (scalar)0.5 * erfc(x * (scalar)-0.70710678118654752440); }

extern "C" __global__ void solve(const scalar* spot, const scalar* strike, const scalar* years,
                                 const scalar* volatility, double rate, scalar* price, scalar* delta, scalar* gamma,
                                 scalar* vega, scalar* theta, long long n) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= n) return;
    const scalar s = spot[i], k = strike[i], t = years[i], v = volatility[i], r = (scalar)rate, half = (scalar)0.5;
    const scalar root = sqrt(t), spread = v * root;
    const scalar d1 = (log(s / k) + (r + half * v * v) * t) / spread;
    const scalar density = exp(-half * d1 * d1) * (scalar)0.39894228040143267794;
    const scalar n1 = normal(d1), paid = k * exp(-r * t) * normal(d1 - spread);
    price[i] = s * n1 - paid;
    delta[i] = n1;
    gamma[i] = density / (s * spread);
    vega[i] = s * density * root;
    theta[i] = -s * density * v / (2 * root) - r * paid;
}
"""

PROBLEM = GpuProblem(
    name="black_scholes",
    level=3,
    task="""
For each European call option compute the Black-Scholes price and its Greeks. With `d1 = (ln(spot / strike) +
(rate + volatility^2 / 2) * years) / (volatility * sqrt(years))`, `d2 = d1 - volatility * sqrt(years)`, `N` the
standard normal distribution and `phi` its density: `price = spot * N(d1) - strike * exp(-rate * years) *
N(d2)`, `delta = N(d1)`, `gamma = phi(d1) / (spot * volatility * sqrt(years))`, `vega = spot * phi(d1) *
sqrt(years)` and `theta = -spot * phi(d1) * volatility / (2 * sqrt(years)) - rate * strike * exp(-rate * years)
* N(d2)`.
""",
    dtypes=REAL,
    sizes={"n": "number of options"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "a dozen roundings, and the fast exponential and logarithm of a card; prices are of order 1",
        fp64=(1e-11, 1e-12),
        fp32=(1e-4, 2e-5),
    ),
    flops=lambda shape, dtype: 80 * shape["n"],
    correctness=({"n": 100}, {"n": 1025}, {"n": 50_000}),
    timed=lambda s: {"n": min(round((1 << 22) * s), (1 << 31) - 1)},
    dialect_dtypes={"triton": ("fp32",)},
)
