"""Messages along the edges of a graph: gather rows, weigh them, scatter-add them."""

from __future__ import annotations

from typing import Any

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("x", (shape["nodes"], shape["width"]), element, "a row of features for each node"),
        ArraySpec("weight", (shape["edges"],), element),
        ArraySpec("source", (shape["edges"],), "int64", "a node for each edge, in no order"),
        ArraySpec("target", (shape["edges"],), "int64", "a node for each edge, in no order"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (ArraySpec("out", (shape["nodes"], shape["width"]), ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    nodes, edges = shape["nodes"], shape["edges"]
    # One edge in sixteen ends at one of a few nodes, which get up to some thousands each, whatever the size. The
    # last tenth of the nodes gets none.
    target = draw.integers(edges, low=0, high=nodes - nodes // 10)
    crowded = draw.integers(edges, low=0, high=16) == 0
    target[crowded] %= nodes // 4096 + 1
    return [
        draw.real(dtype, nodes, shape["width"]),
        draw.real(dtype, edges),
        draw.integers(edges, low=0, high=nodes),
        target,
    ]


def _cpu(x: Array, weight: Array, source: Array, target: Array) -> tuple[Array, ...]:
    from scipy.sparse import csr_matrix

    return (csr_matrix((weight, (target, source)), shape=(len(x), len(x))) @ x,)


_TORCH = """
import torch

def solve(x, weight, source, target, out):
    out.zero_()
    # In parts, so that the gathered rows need not all be held at once.
    part = max(1, (1 << 26) // x.shape[1])
    for start in range(0, source.numel(), part):
        at = slice(start, start + part)
        rows = x.index_select(0, source[at])
        rows *= weight[at, None]
        out.index_add_(0, target[at], rows)
"""

_CUPY = """
import cupy as cp
import cupyx

def solve(x, weight, source, target, out):
    out[...] = 0
    part = max(1, (1 << 26) // x.shape[1])
    for start in range(0, source.size, part):
        at = slice(start, start + part)
        cupyx.scatter_add(out, target[at], x[source[at]] * weight[at, None])
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def message_kernel(x, weight, source, target, out, edges, width, EDGES: tl.constexpr, WIDTH: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * EDGES + tl.arange(0, EDGES)
    c = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    real = e < edges
    src = tl.load(source + e, mask=real, other=0)
    dst = tl.load(target + e, mask=real, other=0)
    w = tl.load(weight + e, mask=real, other=0.0)
    mask = real[:, None] & (c[None, :] < width)
    v = tl.load(x + src[:, None] * width + c[None, :], mask=mask, other=0.0)
    tl.atomic_add(out + dst[:, None] * width + c[None, :], v * w[:, None], mask=mask, sem="relaxed")

def solve(x, weight, source, target, out):
    edges, width = source.numel(), x.shape[1]
    out.zero_()
    grid = (triton.cdiv(edges, 32), triton.cdiv(width, 32))
    message_kernel[grid](x, weight, source, target, out, edges, width, EDGES=32, WIDTH=32, num_warps=4)
"""

_CUDA = """
// launch: clear(grid=(min(65535, ceil_div(nodes * width, 256))), block=(256))
// launch: solve(grid=(ceil_div(edges, 8)), block=(32, 8))
extern "C" __global__ void clear(const scalar* x, const scalar* weight, const long long* source,
                                 const long long* target, scalar* out,
                                 long long nodes, long long edges, long long width) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < nodes * width; i += gridDim.x * 256LL) out[i] = 0;
}

// A warp an edge: 32 neighbouring features are read and added together.
extern "C" __global__ void solve(const scalar* x, const scalar* weight, const long long* source,
                                 const long long* target, scalar* out,
                                 long long nodes, long long edges, long long width) {
    const long long e = blockIdx.x * 8LL + threadIdx.y;
    if (e >= edges) return;
    const scalar w = weight[e];
    const scalar* from = x + source[e] * width;
    scalar* to = out + target[e] * width;
    for (long long c = threadIdx.x; c < width; c += 32) atomicAdd(&to[c], from[c] * w);
}
"""


PROBLEM = GpuProblem(
    name="gather_scatter",
    level=1,
    task="""
A graph has edges from `source[e]` to `target[e]`. Each node sums what comes in along its edges: `out[v] = sum
over all edges e with target[e] == v of weight[e] * x[source[e]]`. Nodes without incoming edges get zeros; a few
nodes have many.
""",
    dtypes=REAL,
    sizes={"nodes": "number of nodes", "edges": "number of edges", "width": "features of a node"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "sums in any order, as atomics make them, of up to some thousands of signed terms",
        fp64=(1e-12, 1e-12),
        fp32=(1e-4, 2e-4),
    ),
    flops=lambda shape, dtype: 2 * shape["edges"] * shape["width"],
    correctness=(
        {"nodes": 50, "edges": 300, "width": 5},
        {"nodes": 1000, "edges": 9000, "width": 33},
        {"nodes": 301, "edges": 20_000, "width": 64},
    ),
    timed=lambda s: {"nodes": root(65_536, s, 1.0), "edges": root(524_288, s, 1.0), "width": 64},
)
