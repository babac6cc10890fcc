"""First row of each key, in order of appearance."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]

_MASK = (1 << 40) - 1


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (
        ArraySpec("keys", (shape["n"],), "int64", "not negative, in no order, with repeats"),
        ArraySpec("values", (shape["n"],), ELEMENT_OF[dtype]),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (
        ArraySpec("unique", (shape["n"],), "int64", "the different keys in order of appearance, then -1"),
        ArraySpec("first", (shape["n"],), ELEMENT_OF[dtype], "the value of each one's first row, then 0"),
        ArraySpec("count", (1,), "int64", "number of different keys"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    n = shape["n"]
    # A third as many ids as rows: some keys come once, most a few times.
    ids = draw.integers(n, low=0, high=n // 3 + 1)
    return [(ids * 2_654_435_761) & _MASK, draw.real(dtype, n)]


def _cpu(keys: Array, values: Array) -> tuple[Array, ...]:
    import pandas as pd

    kept = pd.DataFrame({"key": keys, "value": values}).drop_duplicates("key", keep="first")
    unique = np.full(len(keys), -1, dtype=np.int64)
    first = np.zeros_like(values)
    unique[: len(kept)] = kept["key"].to_numpy()
    first[: len(kept)] = kept["value"].to_numpy()
    return unique, first, np.array([len(kept)], dtype=np.int64)


_TORCH = """
import torch

def solve(keys, values, out):
    unique, first, count = out
    ordered, order = torch.sort(keys, stable=True)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    torch.ne(ordered[1:], ordered[:-1], out=starts[1:])
    keep = torch.zeros_like(starts)
    keep[order] = starts
    rows = keep.nonzero().flatten()
    many = rows.numel()
    unique[:many] = keys[rows]
    unique[many:] = -1
    first[:many] = values[rows]
    first[many:] = 0
    count.fill_(many)
"""

_CUPY = """
import cupy as cp

def solve(keys, values, out):
    unique, first, count = out
    # CuPy's sort is stable, so the first of equal keys is the first row.
    order = cp.argsort(keys)
    ordered = keys[order]
    starts = cp.ones(keys.size, dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    keep = cp.zeros(keys.size, dtype=bool)
    keep[order] = starts
    rows = cp.flatnonzero(keep)
    many = rows.size
    unique[:many] = keys[rows]
    unique[many:] = -1
    first[:many] = values[rows]
    first[many:] = 0
    count[...] = many
"""

PROBLEM = GpuProblem(
    name="deduplicate",
    level=3,
    task="""
Keep the first row of each key. Write the different keys in the order in which they first appear, and the value
that stands in that first row; fill what remains of the outputs with -1 (keys) and 0 (values). Also write how
many different keys there are.
""",
    dtypes=REAL,
    sizes={"n": "rows of the table"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY},
    tolerance=by_dtype("values are only moved", fp64=(0.0, 0.0), fp32=(0.0, 0.0)),
    flops=lambda shape, dtype: shape["n"],
    correctness=({"n": 50}, {"n": 4097}, {"n": 60_000}),
    timed=lambda s: {"n": min(root(1 << 22, s, 1.0), (1 << 31) - 32)},
)
