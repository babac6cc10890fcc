"""The k largest values of each row, with their places."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]

_LEVELS = 4096


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    return (
        ArraySpec("x", (shape["rows"], shape["cols"]), ELEMENT_OF[dtype], "no value occurs twice in a row"),
        ScalarSpec("k", "int"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    place = (shape["rows"], shape["k"])
    return (
        ArraySpec("values", place, ELEMENT_OF[dtype], "each row's `k` largest values, largest first"),
        ArraySpec("indices", place, "int64", "the columns where they stand"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    rows, cols = shape["rows"], shape["cols"]
    # Random high digits over low digits that are a permutation of the columns: no two values of a row are
    # equal, so there is one right answer. 4096 levels x 4096 columns are 24 bits, which float32 holds. In float64
    # the low digits stand 16 bits lower: in float32 the values of a level would be equal.
    wide = cols << 16 if dtype == "fp64" else cols
    low = (draw.arange(cols) * 1013 + draw.integers(rows, 1, low=0, high=cols)) % cols
    level = draw.integers(rows, cols, low=0, high=_LEVELS)
    return [draw.to_float(level * wide + low, double=dtype == "fp64") / (_LEVELS * wide), shape["k"]]


def _cpu(x: Array, k: int) -> tuple[Array, ...]:
    part = np.argpartition(x, x.shape[1] - k, axis=1)[:, x.shape[1] - k :]
    values = np.take_along_axis(x, part, axis=1)
    order = np.argsort(-values, axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(part, order, axis=1)


_TORCH = """
import torch

def solve(x, k, out):
    torch.topk(x, k, dim=1, largest=True, sorted=True, out=out)
"""

_CUPY = """
import cupy as cp

def solve(x, k, out):
    values, indices = out
    order = cp.argsort(-x, axis=1)[:, :k]
    indices[...] = order
    values[...] = cp.take_along_axis(x, order, axis=1)
"""

_CUDA = """
// launch: solve(grid=(rows), block=(256), shared=12 * 4096)
// One block a row: bitonic sort of the row's values with their columns, padded to a power of two.
typedef unsigned long long word;

// Order of the words is the reverse of the order of the values: the largest value comes first.
__device__ word ordered(double v) {
    const word bits = (word)__double_as_longlong(v);
    return bits >> 63 ? bits : ~(bits | (1ULL << 63));
}

extern "C" __global__ void solve(const scalar* x, long long k, scalar* values, long long* indices,
                                 long long rows, long long cols) {
    extern __shared__ word keys[];
    int* columns = (int*)(keys + 4096);
    const scalar* in = x + blockIdx.x * cols;
    int n = 1;
    while (n < cols) n *= 2;
    for (int i = threadIdx.x; i < n; i += 256) {
        keys[i] = i < cols ? ordered((double)in[i]) : ~0ULL;
        columns[i] = i;
    }
    __syncthreads();
    for (int size = 2; size <= n; size *= 2)
        for (int step = size / 2; step > 0; step /= 2) {
            for (int i = threadIdx.x; i < n / 2; i += 256) {
                const int a = 2 * i - (i & (step - 1)), b = a + step;
                const bool up = (a & size) == 0;
                if ((keys[a] > keys[b]) == up && keys[a] != keys[b]) {
                    const word key = keys[a];
                    keys[a] = keys[b];
                    keys[b] = key;
                    const int column = columns[a];
                    columns[a] = columns[b];
                    columns[b] = column;
                }
            }
            __syncthreads();
        }
    for (int i = threadIdx.x; i < k; i += 256) {
        indices[blockIdx.x * k + i] = columns[i];
        values[blockIdx.x * k + i] = in[columns[i]];
    }
}
"""

PROBLEM = GpuProblem(
    name="top_k",
    level=1,
    task="""
For each row of `x` find its `k` largest values, largest first, and the columns where they stand. No value
occurs twice in a row; all are from 0 to 1.
""",
    dtypes=REAL,
    sizes={"rows": "rows of `x`", "cols": "columns of `x`, at most 4096", "k": "how many to find, at most 64"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype("values are only moved", fp64=(0.0, 0.0), fp32=(0.0, 0.0)),
    flops=lambda shape, dtype: shape["rows"] * shape["cols"],
    correctness=(
        {"rows": 3, "cols": 50, "k": 5},
        {"rows": 70, "cols": 1000, "k": 17},
        {"rows": 8, "cols": 4096, "k": 64},
    ),
    timed=lambda s: {"rows": root(4096, s, 1.0), "cols": 4096, "k": 32},
)
