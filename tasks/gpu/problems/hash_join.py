"""Left join of two tables on a key."""

from __future__ import annotations

from typing import Any

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]

_MASK = (1 << 40) - 1


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("left_keys", (shape["left"],), "int64", "in no order, with repeats"),
        ArraySpec("amounts", (shape["left"],), element),
        ArraySpec("right_keys", (shape["right"],), "int64", "in no order, each once, from 0 to below 2^40"),
        ArraySpec("rates", (shape["right"],), element),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    return (
        ArraySpec("product", (shape["left"],), ELEMENT_OF[dtype], "amount times the matching rate, 0 without one"),
        ArraySpec("matched", (shape["left"],), "int32", "1 where the left row has a match, else 0"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    left, right = shape["left"], shape["right"]
    # Multiplying by an odd number modulo a power of two is one-to-one, so different ids get different keys spread
    # over the whole range. One left row in four has an id that the right table lacks.
    ids = draw.integers(left, low=0, high=right + right // 3)
    return [
        (ids * 2_654_435_761) & _MASK,
        draw.real(dtype, left),
        (draw.permutation(right) * 2_654_435_761) & _MASK,
        draw.unit(dtype, right, low=0.5, high=2.0),
    ]


def _cpu(left_keys: Array, amounts: Array, right_keys: Array, rates: Array) -> tuple[Array, ...]:
    import pandas as pd

    left = pd.DataFrame({"key": left_keys, "amount": amounts})
    right = pd.DataFrame({"key": right_keys, "rate": rates})
    joined = left.merge(right, on="key", how="left")
    rate = joined["rate"].to_numpy()
    matched = rate == rate  # noqa: PLR0124 - NaN, which stands for no match, is unlike itself.
    product = joined["amount"].to_numpy() * rate
    product[~matched] = 0
    return product, matched.astype("int32")


_TORCH = """
import torch

def solve(left_keys, amounts, right_keys, rates, out):
    product, matched = out
    keys, order = torch.sort(right_keys)
    place = torch.searchsorted(keys, left_keys).clamp_(max=keys.numel() - 1)
    found = keys[place] == left_keys
    matched.copy_(found)
    torch.mul(amounts, rates[order[place]], out=product)
    product.masked_fill_(~found, 0)
"""

_CUPY = """
import cupy as cp

def solve(left_keys, amounts, right_keys, rates, out):
    product, matched = out
    order = cp.argsort(right_keys)
    keys = right_keys[order]
    place = cp.minimum(cp.searchsorted(keys, left_keys), keys.size - 1)
    found = keys[place] == left_keys
    matched[...] = found
    product[...] = cp.where(found, amounts * rates[order[place]], 0)
"""

_CUDA = """
// launch: clear(grid=(ceil_div(2 * right, 256)), block=(256))
// launch: build(grid=(ceil_div(right, 256)), block=(256))
// launch: solve(grid=(ceil_div(left, 256)), block=(256))
// scratch: 32 * right
// A hash table with linear probing, half full: keys first, then the row of each. Keys are not negative.

__device__ unsigned long long slot_of(unsigned long long key, unsigned long long slots) {
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdULL;
    key ^= key >> 33;
    return key % slots;
}

extern "C" __global__ void clear(const long long* left_keys, const scalar* amounts, const long long* right_keys,
                                 const scalar* rates, scalar* product, int* matched, long long left,
                                 long long right, unsigned long long* table) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < 2 * right) table[i] = ~0ULL;
}

extern "C" __global__ void build(const long long* left_keys, const scalar* amounts, const long long* right_keys,
                                 const scalar* rates, scalar* product, int* matched, long long left,
                                 long long right, unsigned long long* table) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= right) return;
    const unsigned long long key = (unsigned long long)right_keys[i], slots = 2ULL * right;
    unsigned long long s = slot_of(key, slots);
    while (atomicCAS(&table[s], ~0ULL, key) != ~0ULL) s = s + 1 < slots ? s + 1 : 0;
    table[slots + s] = (unsigned long long)i;
}

extern "C" __global__ void solve(const long long* left_keys, const scalar* amounts, const long long* right_keys,
                                 const scalar* rates, scalar* product, int* matched, long long left,
                                 long long right, unsigned long long* table) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= left) return;
    const unsigned long long key = (unsigned long long)left_keys[i], slots = 2ULL * right;
    unsigned long long s = slot_of(key, slots);
    while (table[s] != ~0ULL && table[s] != key) s = s + 1 < slots ? s + 1 : 0;
    const bool found = table[s] == key;
    matched[i] = found;
    product[i] = found ? amounts[i] * rates[table[slots + s]] : (scalar)0;
}
"""

PROBLEM = GpuProblem(
    name="hash_join",
    level=3,
    task="""
Join a left table of keys and amounts with a right table of keys and rates (a left join; right keys occur once
each). For each left row write the product of its amount and the rate of the right row with the same key, and
whether there is one; rows without a match get 0.
""",
    dtypes=REAL,
    sizes={"left": "rows of the left table", "right": "rows of the right table"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype("one product, rounded once", fp64=(1e-15, 0.0), fp32=(2e-7, 0.0)),
    flops=lambda shape, dtype: shape["left"],
    correctness=({"left": 100, "right": 30}, {"left": 5000, "right": 7001}, {"left": 30_000, "right": 1000}),
    timed=lambda s: {"left": root(1 << 23, s, 1.0), "right": root(1 << 20, s, 1.0)},
)
