"""One step of k-means."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("points", (shape["n"], shape["width"]), element),
        ArraySpec("centroids", (shape["k"], shape["width"]), element),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (
        ArraySpec("labels", (shape["n"],), "int64", "the nearest centroid of each point"),
        ArraySpec("moved", (shape["k"], shape["width"]), ELEMENT_OF[dtype], "the mean of each centroid's points"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    # Clusters lie some twenty standard deviations apart, so most points' nearest centroid is beyond doubt in any
    # precision. Most come in pairs of neighbours. The last centroid, twice as far out, has no points.
    n, k, width = shape["n"], shape["k"], shape["width"]
    centroids = draw.real(dtype, k, width)
    centroids[k - 1] *= 2.0
    paired = (k - 1) // 2 * 2
    centroids[1:paired:2] = centroids[:paired:2] + draw.real(dtype, paired // 2, width) * 0.5
    points = centroids[draw.integers(n, low=0, high=k - 1)] + draw.real(dtype, n, width) * 0.05
    # Every sixteenth point lies just on one side of the middle between two neighbours: a hundred roundings from it
    # in this precision, but less than one in the next lower (TF32 for float32), which so gets many of them wrong.
    near = draw.integers((n + 15) // 16, low=0, high=paired)
    far = near + 1 - near % 2 * 2
    share = 0.5 - (2.0**-34 if dtype == "fp64" else 2.0**-15)
    points[::16] = centroids[near] + (centroids[far] - centroids[near]) * share
    return [points, centroids]


def _cpu(points: Array, centroids: Array) -> tuple[Array, ...]:
    half_norms = (centroids * centroids).sum(axis=1) / 2
    labels = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), 1 << 16):
        part = points[start : start + (1 << 16)]
        labels[start : start + len(part)] = (half_norms - part @ centroids.T).argmin(axis=1)
    counts = np.bincount(labels, minlength=len(centroids))
    sums = np.stack([np.bincount(labels, weights=column, minlength=len(centroids)) for column in points.T], axis=1)
    means = sums / np.maximum(counts, 1)[:, None]
    return labels, np.where(counts[:, None] > 0, means, centroids)


_TORCH = """
import torch

def solve(points, centroids, out):
    labels, moved = out
    half_norms = centroids.square().sum(dim=1) / 2
    # argmin |p - c|^2 = argmin |c|^2 / 2 - p . c, in parts so that the scores fit.
    for start in range(0, points.shape[0], 1 << 18):
        part = points[start:start + (1 << 18)]
        scores = torch.addmm(half_norms, part, centroids.T, alpha=-1)
        torch.argmin(scores, dim=1, out=labels[start:start + (1 << 18)])
    counts = torch.bincount(labels, minlength=centroids.shape[0])
    sums = torch.zeros_like(centroids).index_add_(0, labels, points)
    moved.copy_(torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centroids))
"""

_CUPY = """
import cupy as cp
import cupyx

def solve(points, centroids, out):
    labels, moved = out
    half_norms = (centroids * centroids).sum(axis=1) / 2
    for start in range(0, points.shape[0], 1 << 18):
        part = points[start:start + (1 << 18)]
        labels[start:start + (1 << 18)] = (half_norms - part @ centroids.T).argmin(axis=1)
    counts = cp.bincount(labels, minlength=centroids.shape[0])
    sums = cp.zeros_like(centroids)
    cupyx.scatter_add(sums, labels, points)
    moved[...] = cp.where(counts[:, None] > 0, sums / cp.maximum(counts, 1)[:, None], centroids)
"""

_CUDA = """
// launch: clear(grid=(ceil_div(k * width, 256)), block=(256))
// launch: assign(grid=(ceil_div(n, 256)), block=(256))
// launch: solve(grid=(ceil_div(k * width, 256)), block=(256))
// scratch: 8 * k
extern "C" __global__ void clear(const scalar* points, const scalar* centroids, long long* labels, scalar* moved,
                                 long long n, long long width, long long k, unsigned long long* counts) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < k) counts[i] = 0;
    if (i < k * width) moved[i] = 0;
}

extern "C" __global__ void assign(const scalar* points, const scalar* centroids, long long* labels, scalar* moved,
                                  long long n, long long width, long long k, unsigned long long* counts) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= n) return;
    const scalar* p = points + i * width;
    long long best = 0;
    scalar nearest = (scalar)__int_as_float(0x7f800000);
    for (long long c = 0; c < k; c++) {
        scalar d = 0;
        for (long long j = 0; j < width; j++) {
            const scalar delta = p[j] - centroids[c * width + j];
            d += delta * delta;
        }
        if (d < nearest) { nearest = d; best = c; }
    }
    labels[i] = best;
    atomicAdd(&counts[best], 1ULL);
    for (long long j = 0; j < width; j++) atomicAdd(&moved[best * width + j], p[j]);
}

extern "C" __global__ void solve(const scalar* points, const scalar* centroids, long long* labels, scalar* moved,
                                 long long n, long long width, long long k, unsigned long long* counts) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= k * width) return;
    const unsigned long long count = counts[i / width];
    moved[i] = count ? moved[i] / (scalar)count : centroids[i];
}
"""

PROBLEM = GpuProblem(
    name="kmeans_step",
    level=2,
    task="""
One step of k-means: for each point find the nearest centroid (squared Euclidean distance), then compute the
mean of the points of each centroid. A centroid without points stays where it is. Some points lie almost in the
middle between two centroids, yet far enough from it for the rounding of this precision.
""",
    dtypes=REAL,
    sizes={"n": "number of points", "width": "their dimensions", "k": "number of centroids, at most 256"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype(
        "means of sums in any order, as atomics make them, of up to a million terms",
        fp64=(1e-10, 1e-10),
        fp32=(1e-4, 1e-4),
    ),
    flops=lambda shape, dtype: 2 * shape["n"] * shape["k"] * shape["width"],
    correctness=(
        {"n": 200, "width": 16, "k": 5},
        {"n": 3001, "width": 33, "k": 40},
        {"n": 1000, "width": 64, "k": 100},
    ),
    timed=lambda s: {"n": root(262_144, s, 1.0), "width": 64, "k": 64},
)
