"""Mean and maximum over a rolling window."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    return (
        ArraySpec("x", (shape["series"], shape["n"]), ELEMENT_OF[dtype], "one series a row"),
        ScalarSpec("window", "int", "values in a window"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    dims = (shape["series"], shape["n"] - shape["window"] + 1)
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("mean", dims, element, "mean of `x[i, j : j + window]`"),
        ArraySpec("largest", dims, element, "largest of `x[i, j : j + window]`"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    # All of one sign: differences of running sums over a whole series lose float32's digits.
    return [draw.real(dtype, shape["series"], shape["n"]) + 10.0, shape["window"]]


def _cpu(x: Array, window: int) -> tuple[Array, ...]:
    import pandas as pd

    rolling = pd.DataFrame(np.ascontiguousarray(x.T)).rolling(window)
    mean, largest = rolling.mean().to_numpy(), rolling.max().to_numpy()
    return np.ascontiguousarray(mean[window - 1 :].T), np.ascontiguousarray(largest[window - 1 :].T)


_TORCH = """
import torch

def solve(x, window, out):
    mean, largest = out
    width = mean.shape[1]
    # Running sums in float64, whose differences keep float32's digits.
    sums = torch.cumsum(x, dim=1, dtype=torch.float64)
    mean.copy_(sums[:, window - 1:])
    mean[:, 1:] = sums[:, window:] - sums[:, :-window]
    mean /= window
    # Maxima over 1, 2, 4, ... values; two overlapping ones cover the window.
    span, part = 1, x
    while span * 2 <= window:
        part = torch.maximum(part[:, :-span], part[:, span:])
        span *= 2
    torch.maximum(part[:, :width], part[:, window - span:window - span + width], out=largest)
"""

_CUPY = """
import cupy as cp

def solve(x, window, out):
    mean, largest = out
    width = mean.shape[1]
    sums = cp.cumsum(x, axis=1, dtype=cp.float64)
    mean[:, 0] = sums[:, window - 1] / window
    mean[:, 1:] = (sums[:, window:] - sums[:, :-window]) / window
    span, part = 1, x
    while span * 2 <= window:
        part = cp.maximum(part[:, :-span], part[:, span:])
        span *= 2
    cp.maximum(part[:, :width], part[:, window - span:window - span + width], out=largest)
"""

_CUDA = """
// launch: solve(grid=(ceil_div(n, 1024), series), block=(256), shared=8 * (1024 + window))
// Each block makes 1024 outputs of one series from a stretch of it in shared memory.
extern "C" __global__ void solve(const scalar* x, long long window, scalar* mean, scalar* largest,
                                 long long series, long long n) {
    extern __shared__ double memory[];
    scalar* part = (scalar*)memory;
    const int w = (int)window;
    const long long width = n - window + 1, start = blockIdx.x * 1024LL;
    const scalar* in = x + blockIdx.y * n + start;
    for (int i = threadIdx.x; i < 1024 + w && start + i < n; i += 256) part[i] = in[i];
    __syncthreads();
    for (int i = threadIdx.x; i < 1024 && start + i < width; i += 256) {
        scalar sum = 0, most = part[i];
        for (int j = 0; j < w; j++) {
            sum += part[i + j];
            most = part[i + j] > most ? part[i + j] : most;
        }
        mean[blockIdx.y * width + start + i] = sum / (scalar)w;
        largest[blockIdx.y * width + start + i] = most;
    }
}
"""

PROBLEM = GpuProblem(
    name="rolling_window",
    level=3,
    task="""
For each series (a row of `x`) and each full window of `window` consecutive values compute their mean and the
largest of them. Values are around 10, so running sums over a whole series get large against one window's.
""",
    dtypes=REAL,
    sizes={
        "series": "number of series, at most 65535",
        "n": "values of each",
        "window": "values in a window, at most 512 and at most `n`",
    },
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype(
        "sums of one window in any order, or differences of running sums in float64",
        fp64=(1e-10, 1e-10),
        fp32=(1e-5, 1e-5),
    ),
    flops=lambda shape, dtype: 4 * shape["series"] * shape["n"],
    correctness=(
        {"series": 2, "n": 50, "window": 7},
        {"series": 9, "n": 2100, "window": 64},
        {"series": 5, "n": 1500, "window": 301},
    ),
    timed=lambda s: {"series": min(root(256, s, 1.0), 65_535), "n": 65_536, "window": 64},
)
