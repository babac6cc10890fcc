"""Sparse matrix times vector, rows of very different lengths."""

from __future__ import annotations

from typing import Any

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("values", (shape["nnz"],), element, "the entries, row after row"),
        ArraySpec("columns", (shape["nnz"],), "int32", "the column of each entry, in no order within a row"),
        ArraySpec("starts", (shape["rows"] + 1,), "int32", "where each row's entries start; last: `nnz`"),
        ArraySpec("x", (shape["cols"],), element),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["rows"],), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    rows, cols, nnz = shape["rows"], shape["cols"], shape["nnz"]
    # Sorted uniform cuts make row lengths that are about exponential: many short and empty rows, a few long.
    starts = draw.integers(rows + 1, low=0, high=nnz + 1)
    starts[0] = 0
    starts[-1] = nnz
    return [
        draw.real(dtype, nnz),
        draw.integers(nnz, low=0, high=cols),
        draw.sort(starts),
        draw.real(dtype, cols),
    ]


def _cpu(values: Array, columns: Array, starts: Array, x: Array) -> tuple[Array, ...]:
    from scipy.sparse import csr_matrix

    return (csr_matrix((values, columns, starts), shape=(len(starts) - 1, len(x))) @ x,)


_TORCH = """
import torch

def solve(values, columns, starts, x, out):
    size = (out.numel(), x.numel())
    out.copy_(torch.sparse_csr_tensor(starts, columns, values, size, check_invariants=False) @ x)
"""

_CUPY = """
import cupy as cp
from cupyx.scipy.sparse import csr_matrix

def solve(values, columns, starts, x, out):
    out[...] = csr_matrix((values, columns, starts), shape=(out.size, x.size)) @ x
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def spmv_kernel(values, columns, starts, x, out, rows, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    begin = tl.load(starts + row, mask=row < rows, other=0)
    end = tl.load(starts + row + 1, mask=row < rows, other=0)
    longest = tl.max(end - begin, axis=0)
    sums = tl.zeros((ROWS, BLOCK), dtype=out.dtype.element_ty)
    for step in range(0, longest, BLOCK):
        at = begin[:, None] + step + tl.arange(0, BLOCK)[None, :]
        mask = at < end[:, None]
        v = tl.load(values + at, mask=mask, other=0.0)
        c = tl.load(columns + at, mask=mask, other=0)
        sums += v * tl.load(x + c, mask=mask, other=0.0)
    tl.store(out + row, tl.sum(sums, axis=1), mask=row < rows)

def solve(values, columns, starts, x, out):
    rows = out.numel()
    spmv_kernel[(triton.cdiv(rows, 16),)](values, columns, starts, x, out, rows, ROWS=16, BLOCK=16, num_warps=4)
"""

_CUDA = """
// launch: solve(grid=(ceil_div(rows, 8)), block=(32, 8))
// A warp a row.
extern "C" __global__ void solve(const scalar* values, const int* columns, const int* starts, const scalar* x,
                                 scalar* out, long long rows, long long cols, long long nnz) {
    const long long row = blockIdx.x * 8LL + threadIdx.y;
    if (row >= rows) return;
    scalar sum = 0;
    for (int i = starts[row] + threadIdx.x; i < starts[row + 1]; i += 32) sum += values[i] * x[columns[i]];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
    if (threadIdx.x == 0) out[row] = sum;
}
"""

PROBLEM = GpuProblem(
    name="spmv",
    level=1,
    task="""
Multiply a sparse matrix in compressed-row form by a vector: `out[i] = sum of values[p] * x[columns[p]] for p
from starts[i] to starts[i + 1] - 1`. Rows differ much in length and some are empty; a column may occur more
than once in a row.
""",
    dtypes=REAL,
    sizes={"rows": "rows of the matrix", "cols": "its columns", "nnz": "its stored entries"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "sums in any order of up to a thousand signed terms", fp64=(1e-12, 1e-12), fp32=(2e-5, 1e-4)
    ),
    flops=lambda shape, dtype: 2 * shape["nnz"],
    correctness=(
        {"rows": 100, "cols": 70, "nnz": 900},
        {"rows": 1001, "cols": 2000, "nnz": 15_000},
        {"rows": 500, "cols": 500, "nnz": 60_000},
    ),
    # Entries are counted in int32 by the format itself.
    timed=lambda s: {
        "rows": root(262_144, min(s, 256.0), 1.0),
        "cols": root(262_144, min(s, 256.0), 1.0),
        "nnz": root(4_194_304, min(s, 256.0), 1.0),
    },
)
