"""Backtest of moving-average crossovers over a grid of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    return (
        ArraySpec("price", (shape["n"],), "int32", "whole ticks, from 1 to 4096"),
        ArraySpec("returns", (shape["n"],), ELEMENT_OF[dtype], "the return from `t` to `t + 1`; the last is 0"),
        ArraySpec("fast", (shape["pairs"],), "int64", "the short window of each pair"),
        ArraySpec("slow", (shape["pairs"],), "int64", "the long window of each pair"),
        ScalarSpec("longest", "int", "no window is longer"),
        ScalarSpec("cost", "float", "cost of one change of side"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (
        ArraySpec("profit", (shape["pairs"],), ELEMENT_OF[dtype]),
        ArraySpec("changes", (shape["pairs"],), "int64", "how often the side changes"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    n, pairs, longest = shape["n"], shape["pairs"], shape["longest"]
    # A random walk folded into 1000 .. 3000 ticks. Prices are whole, so comparing averages is exact.
    walk = draw.cumsum(draw.integers(n, low=-12, high=13))
    price = abs(walk % 4000 - 2000) + 1000
    returns = draw.to_float(price) * 0
    returns[:-1] = draw.to_float(price[1:] - price[:-1]) / draw.to_float(price[:-1])
    half = longest // 2
    return [
        price,
        returns,
        draw.integers(pairs, low=1, high=half),
        draw.integers(pairs, low=half, high=longest + 1),
        longest,
        0.001,
    ]


def _cpu(  # noqa: PLR0917
    price: Array, returns: Array, fast: Array, slow: Array, longest: int, cost: float
) -> tuple[Array, ...]:
    sums = np.concatenate([[0], np.cumsum(price, dtype=np.int64)])
    n = len(price)
    first = longest - 1
    now = sums[first + 1 : n]
    profit = np.empty(len(fast), dtype=returns.dtype)
    changes = np.empty(len(fast), dtype=np.int64)
    gains = returns[first : n - 1]
    for p in range(len(fast)):
        f, s = int(fast[p]), int(slow[p])
        up = (now - sums[first + 1 - f : n - f]) * s > (now - sums[first + 1 - s : n - s]) * f
        changes[p] = np.count_nonzero(up[1:] != up[:-1])
        profit[p] = np.where(up, gains, -gains).sum(dtype=np.float64) - cost * changes[p]
    return profit, changes


_TORCH = """
import torch

def solve(price, returns, fast, slow, longest, cost, out):
    profit, changes = out
    n = price.numel()
    sums = torch.zeros(n + 1, dtype=torch.int64, device=price.device)
    torch.cumsum(price, dim=0, out=sums[1:])
    end = torch.arange(longest, n, device=price.device)
    now = sums[end]
    gains = returns[longest - 1:n - 1]
    part = max(1, (1 << 25) // end.numel())
    for start in range(0, fast.numel(), part):
        at = slice(start, start + part)
        f, s = fast[at, None], slow[at, None]
        up = (now - sums[end - f]) * s > (now - sums[end - s]) * f
        changes[at] = (up[:, 1:] != up[:, :-1]).sum(dim=1)
        profit[at] = torch.where(up, gains, -gains).sum(dim=1)
    profit.sub_(changes.to(profit.dtype), alpha=cost)
"""

_CUPY = """
import cupy as cp

def solve(price, returns, fast, slow, longest, cost, out):
    profit, changes = out
    n = price.size
    sums = cp.zeros(n + 1, dtype=cp.int64)
    sums[1:] = cp.cumsum(price, dtype=cp.int64)
    end = cp.arange(longest, n)
    now = sums[end]
    gains = returns[longest - 1:n - 1]
    part = max(1, (1 << 25) // end.size)
    for start in range(0, fast.size, part):
        at = slice(start, start + part)
        f, s = fast[at, None], slow[at, None]
        up = (now - sums[end - f]) * s > (now - sums[end - s]) * f
        changes[at] = (up[:, 1:] != up[:, :-1]).sum(axis=1)
        profit[at] = cp.where(up, gains, -gains).sum(axis=1)
    profit -= cost * changes.astype(profit.dtype)
"""

_CUDA = """
// launch: scan(grid=(1), block=(1024))
// launch: solve(grid=(pairs), block=(256))
// scratch: 8 * (n + 1)

// Running sums of the prices by one block: sums[t] is the sum of the first t prices.
extern "C" __global__ void scan(const int* price, const scalar* returns, const long long* fast,
                                const long long* slow, long long longest, double cost, scalar* profit,
                                long long* changes, long long n, long long pairs, long long* sums) {
    __shared__ long long shared[1024];
    const int t = threadIdx.x;
    const long long each = (n + 1023) / 1024, from = t * each, to = min(n, from + each);
    long long sum = 0;
    for (long long i = from; i < to; i++) sum += price[i];
    shared[t] = sum;
    __syncthreads();
    for (int step = 1; step < 1024; step *= 2) {
        const long long before = t >= step ? shared[t - step] : 0;
        __syncthreads();
        shared[t] += before;
        __syncthreads();
    }
    sum = shared[t] - sum;
    if (t == 0) sums[0] = 0;
    for (long long i = from; i < to; i++) {
        sum += price[i];
        sums[i + 1] = sum;
    }
}

// A block a pair of windows.
extern "C" __global__ void solve(const int* price, const scalar* returns, const long long* fast,
                                 const long long* slow, long long longest, double cost, scalar* profit,
                                 long long* changes, long long n, long long pairs, const long long* sums) {
    __shared__ scalar gains[256];
    __shared__ int counts[256];
    const long long f = fast[blockIdx.x], s = slow[blockIdx.x];
    const int t = threadIdx.x;
    scalar gain = 0;
    int count = 0;
    for (long long end = longest + t; end < n; end += 256) {
        const bool up = (sums[end] - sums[end - f]) * s > (sums[end] - sums[end - s]) * f;
        gain += up ? returns[end - 1] : -returns[end - 1];
        if (end > longest) {
            const long long e = end - 1;
            count += up != ((sums[e] - sums[e - f]) * s > (sums[e] - sums[e - s]) * f);
        }
    }
    gains[t] = gain;
    counts[t] = count;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) {
            gains[t] += gains[t + half];
            counts[t] += counts[t + half];
        }
        __syncthreads();
    }
    if (t == 0) {
        changes[blockIdx.x] = counts[0];
        profit[blockIdx.x] = gains[0] - (scalar)cost * (scalar)counts[0];
    }
}
"""

PROBLEM = GpuProblem(
    name="crossover_backtest",
    level=3,
    task="""
Backtest a moving-average crossover for many pairs of windows at once. At each time `t` from `longest - 1` to `n
- 2` the strategy is long if the mean of the last `fast` prices (those at `t - fast + 1 .. t`) is greater than
the mean of the last `slow` prices, else short; prices are whole numbers, so compare exactly, in integers: `slow
* (sum of the last fast) > fast * (sum of the last slow)`. A long position earns `returns[t]`, a short one
`-returns[t]`. `changes` counts the times `t > longest - 1` at which the side differs from the side at `t - 1`;
`profit` is the sum of what was earned minus `cost` times `changes`.
""",
    dtypes=REAL,
    sizes={
        "n": "number of prices",
        "pairs": "number of pairs of windows",
        "longest": "no window is longer; at most 512",
    },
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype(
        "sums of some ten thousand small returns in any order; sides and changes are exact",
        fp64=(1e-10, 1e-11),
        fp32=(1e-4, 2e-5),
    ),
    flops=lambda shape, dtype: 8 * shape["pairs"] * shape["n"],
    correctness=(
        {"n": 100, "pairs": 7, "longest": 20},
        {"n": 3000, "pairs": 65, "longest": 200},
        {"n": 5001, "pairs": 30, "longest": 64},
    ),
    timed=lambda s: {"n": 16_384, "pairs": root(1024, s, 1.0), "longest": 256},
)
