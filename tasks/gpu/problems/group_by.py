"""Group-by with three aggregates."""

from __future__ import annotations

from typing import Any

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    return (
        ArraySpec("keys", (shape["n"],), "int64", "the group of each row, from 0 to `groups - 1`"),
        ArraySpec("values", (shape["n"],), ELEMENT_OF[dtype]),
        ScalarSpec("groups", "int", "number of groups"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("count", (shape["groups"],), "int64", "rows of each group"),
        ArraySpec("mean", (shape["groups"],), element, "mean of each group's values; 0 for an empty group"),
        ArraySpec("largest", (shape["groups"],), element, "largest of each group's values; 0 for an empty group"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    n, groups = shape["n"], shape["groups"]
    # The first groups hold some six times as many rows as the last, and the last tenth of the groups holds none.
    u = draw.uniform64(n)
    keys = draw.floor(u * (0.3 + 0.7 * u) * (0.9 * groups))
    return [keys, draw.real(dtype, n), groups]


def _cpu(keys: Array, values: Array, groups: int) -> tuple[Array, ...]:
    import pandas as pd

    by = pd.DataFrame({"key": keys, "value": values}).groupby("key")["value"]
    table = by.agg(["size", "mean", "max"]).reindex(range(groups), fill_value=0)
    return (
        table["size"].to_numpy(dtype="int64"),
        table["mean"].to_numpy(),
        table["max"].to_numpy(),
    )


_TORCH = """
import torch

def solve(keys, values, groups, out):
    count, mean, largest = out
    count.copy_(torch.bincount(keys, minlength=groups))
    mean.zero_().index_add_(0, keys, values)
    mean /= count.clamp(min=1)
    largest.zero_().scatter_reduce_(0, keys, values, reduce="amax", include_self=False)
"""

_CUPY = """
import cupy as cp

def solve(keys, values, groups, out):
    count, mean, largest = out
    count[...] = cp.bincount(keys, minlength=groups)
    mean[...] = cp.bincount(keys, weights=values, minlength=groups) / cp.maximum(count, 1)
    # By value, then by key: each group's largest value is its last, since CuPy sorts stably. (Its atomic maximum
    # of doubles goes through float32.)
    order = cp.argsort(values)
    order = order[cp.argsort(keys[order])]
    last = cp.maximum(cp.cumsum(count) - 1, 0)
    largest[...] = cp.where(count > 0, values[order[last]], 0)
"""

_CUDA = """
// launch: clear(grid=(ceil_div(groups, 256)), block=(256))
// launch: add(grid=(ceil_div(n, 256)), block=(256))
// launch: solve(grid=(ceil_div(groups, 256)), block=(256))

__device__ void atomic_largest(double* p, double v) {
    unsigned long long* word = (unsigned long long*)p;
    unsigned long long old = *word;
    while (v > __longlong_as_double((long long)old)) {
        const unsigned long long seen = atomicCAS(word, old, (unsigned long long)__double_as_longlong(v));
        if (seen == old) break;
        old = seen;
    }
}

__device__ void atomic_largest(float* p, float v) {
    int* word = (int*)p;
    int old = *word;
    while (v > __int_as_float(old)) {
        const int seen = atomicCAS(word, old, __float_as_int(v));
        if (seen == old) break;
        old = seen;
    }
}

extern "C" __global__ void clear(const long long* keys, const scalar* values, long long groups,
                                 unsigned long long* count, scalar* mean, scalar* largest, long long n) {
    const long long g = blockIdx.x * 256LL + threadIdx.x;
    if (g >= groups) return;
    count[g] = 0;
    mean[g] = 0;
    largest[g] = -(scalar)__int_as_float(0x7f800000);
}

extern "C" __global__ void add(const long long* keys, const scalar* values, long long groups,
                               unsigned long long* count, scalar* mean, scalar* largest, long long n) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= n) return;
    const long long g = keys[i];
    atomicAdd(&count[g], 1ULL);
    atomicAdd(&mean[g], values[i]);
    atomic_largest(&largest[g], values[i]);
}

extern "C" __global__ void solve(const long long* keys, const scalar* values, long long groups,
                                 unsigned long long* count, scalar* mean, scalar* largest, long long n) {
    const long long g = blockIdx.x * 256LL + threadIdx.x;
    if (g >= groups) return;
    if (count[g]) mean[g] /= (scalar)count[g];
    else mean[g] = largest[g] = 0;
}
"""

PROBLEM = GpuProblem(
    name="group_by",
    level=3,
    task="""
Group a table's rows by `keys` and compute for each group how many rows it has, the mean of their `values` and
the largest of them (a group-by with three aggregates). Groups differ much in size and some are empty: these get
zeros. Values are signed.
""",
    dtypes=REAL,
    sizes={"n": "rows of the table", "groups": "number of groups"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype(
        "means of sums in any order, as atomics make them; counts and largest values are exact",
        fp64=(1e-10, 1e-11),
        fp32=(1e-4, 1e-5),
    ),
    flops=lambda shape, dtype: 3 * shape["n"],
    correctness=({"n": 500, "groups": 20}, {"n": 30_000, "groups": 301}, {"n": 9000, "groups": 5000}),
    timed=lambda s: {"n": min(round((1 << 23) * s), (1 << 31) - 1), "groups": 10_000},
)
