"""Causal attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import by_dtype, root, wide

__all__ = ["PROBLEM"]


def _array(name: str, shape: Shape, dtype: str) -> ArraySpec:
    return ArraySpec(name, (shape["batch"], shape["heads"], shape["length"], shape["width"]), ELEMENT_OF[dtype])


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return tuple(_array(name, shape, dtype) for name in ("q", "k", "v"))


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (_array("out", shape, dtype),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    dims = (shape["batch"], shape["heads"], shape["length"], shape["width"])
    # Scores with a standard deviation of 2: some keys matter much more than others.
    return [draw.real(dtype, *dims) * 2, draw.real(dtype, *dims), draw.real(dtype, *dims)]


def _cpu(q: Array, k: Array, v: Array) -> tuple[Array, ...]:
    q, k, v = wide(q), wide(k), wide(v)
    length, width = q.shape[2:]
    future = np.triu(np.ones((length, length), dtype=bool), 1)
    out = np.empty_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            scores = (q[b, h] @ k[b, h].T) * q.dtype.type(width**-0.5)
            scores[future] = -np.inf
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=1, keepdims=True)
            out[b, h] = scores @ v[b, h]
    return (out,)


_TORCH = """
import torch
import torch.nn.functional as F

def solve(q, k, v, out):
    out.copy_(F.scaled_dot_product_attention(q, k, v, is_causal=True))
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def attention_kernel(q, k, v, out, length, scale, BM: tl.constexpr, BN: tl.constexpr, D: tl.constexpr):
    first = tl.program_id(0) * BM
    base = tl.program_id(1).to(tl.int64) * length * D
    rows = first + tl.arange(0, BM)
    d = tl.arange(0, D)
    mine = rows[:, None] < length
    query = tl.load(q + base + rows[:, None] * D + d[None, :], mask=mine, other=0.0)
    top = tl.full((BM,), float("-inf"), dtype=tl.float32)
    norm = tl.zeros((BM,), dtype=tl.float32)
    acc = tl.zeros((BM, D), dtype=tl.float32)
    for start in range(0, tl.minimum(first + BM, length), BN):
        cols = start + tl.arange(0, BN)
        there = cols[:, None] < length
        key = tl.load(k + base + cols[:, None] * D + d[None, :], mask=there, other=0.0)
        value = tl.load(v + base + cols[:, None] * D + d[None, :], mask=there, other=0.0)
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
        scores = tl.where((cols[None, :] <= rows[:, None]) & (cols[None, :] < length), scores, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        p = tl.exp(scores - new_top[:, None])
        shrink = tl.exp(top - new_top)
        norm = norm * shrink + tl.sum(p, axis=1)
        acc = acc * shrink[:, None] + tl.dot(p.to(value.dtype), value, input_precision="ieee")
        top = new_top
    tl.store(out + base + rows[:, None] * D + d[None, :], (acc / norm[:, None]).to(out.dtype.element_ty), mask=mine)

def solve(q, k, v, out):
    batch, heads, length, width = q.shape
    # Float32 tiles take twice the shared memory, so they are smaller.
    bm, bn = (32, 32) if q.dtype == torch.float32 else (64, 64)
    grid = (triton.cdiv(length, bm), batch * heads)
    attention_kernel[grid](q, k, v, out, length, width**-0.5, BM=bm, BN=bn, D=width, num_warps=4, num_stages=2)
"""

PROBLEM = GpuProblem(
    name="causal_attention",
    level=2,
    task="""
Compute causal attention for each batch and head: `out[i] = sum over j <= i of p[i, j] * v[j]`, where `p[i, :]`
is the softmax over `j <= i` of `(q[i] . k[j]) / sqrt(width)`.
""",
    dtypes=("fp32", "bf16", "fp16"),
    sizes={
        "batch": "batch",
        "heads": "heads",
        "length": "positions of a sequence",
        "width": "width of a head: 16, 32, 64 or 128",
    },
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "triton": _TRITON},
    tolerance=by_dtype(
        "scores and sums in float32 whatever the inputs; probabilities may be rounded to 16 bits before the second "
        "product; TF32 is outside for float32",
        fp32=(1e-4, 3e-5),
        bf16=(2e-2, 3e-2),
        fp16=(4e-3, 4e-3),
    ),
    flops=lambda shape, dtype: (
        2 * shape["batch"] * shape["heads"] * shape["length"] * (shape["length"] + 1) * shape["width"]
    ),
    correctness=(
        {"batch": 1, "heads": 2, "length": 33, "width": 16},
        {"batch": 2, "heads": 3, "length": 100, "width": 64},
        {"batch": 1, "heads": 1, "length": 257, "width": 32},
    ),
    timed=lambda s: {
        "batch": root(2, s, 1.0),
        "heads": 16,
        "length": root(2048, min(2 * s, 1.0), 0.5),
        "width": 64,
    },
)
