"""Particles that push each other apart where they overlap, found by a grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("position", (shape["n"], 2), element, "both coordinates from 0 to below `side`"),
        ArraySpec("velocity", (shape["n"], 2), element),
        ScalarSpec("side", "int", "side of the box; particles have diameter 1"),
        ScalarSpec("stiffness", "float"),
        ScalarSpec("dt", "float", "length of the step"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("new_position", (shape["n"], 2), element),
        ArraySpec("new_velocity", (shape["n"], 2), element),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    n, side = shape["n"], shape["side"]
    # About one particle a cell on average, a dozen in the fullest. Just under `side`, whatever the rounding.
    limit = side * (1 - 2.0**-20)
    if dtype == "fp64":
        position = draw.uniform64(n, 2) * limit
    else:
        # Of a million places with float32's digits two are now and then the same, and their force is not a number.
        # So the low digits of a place are a number of the particle's own; the steps are wider than a rounding.
        width = math.isqrt(n - 1) + 1
        levels = (1 << 22) // width
        own = draw.permutation(n)
        place = draw.integers(n, 2, low=0, high=levels) * width
        place[:, 0] += own % width
        place[:, 1] += own // width
        position = draw.to_float(place) * (limit / (levels * width))
    # The stiffness is not one over the step, where a program without both would be right.
    return [position, draw.real(dtype, n, 2), side, 12.0, 0.125]


def _cpu(position: Array, velocity: Array, side: int, stiffness: float, dt: float) -> tuple[Array, ...]:
    from scipy.spatial import cKDTree

    n, kind = len(position), position.dtype.type
    pairs = cKDTree(position).query_pairs(1.0, output_type="ndarray")
    first, second = pairs[:, 0], pairs[:, 1]
    d = position[first] - position[second]
    distance = np.sqrt(np.einsum("pk,pk->p", d, d))
    push = kind(stiffness) * (1 - distance) / distance
    force = np.empty_like(position)
    for axis in range(2):
        each = push * d[:, axis]
        force[:, axis] = np.bincount(first, each, n) - np.bincount(second, each, n)
    new_velocity = velocity + kind(dt) * force
    return np.clip(position + kind(dt) * new_velocity, 0, side), new_velocity


_TORCH = """
import torch

def solve(position, velocity, side, stiffness, dt, out):
    new_position, new_velocity = out
    n = position.shape[0]
    cell = position.long().clamp_(max=side - 1)
    key = cell[:, 1] * side + cell[:, 0]
    key, order = torch.sort(key)
    x, y = position[order].T.contiguous()
    count = torch.bincount(key, minlength=side * side)
    start = torch.cumsum(count, dim=0) - count
    fullest = int(count.max())
    fx, fy = torch.zeros_like(x), torch.zeros_like(y)
    cx, cy = key % side, key // side
    me = torch.arange(n, device=key.device)
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            col, row = cx + dc, cy + dr
            inside = (col >= 0) & (col < side) & (row >= 0) & (row < side)
            near = torch.where(inside, row * side + col, 0)
            first, many = start[near], torch.where(inside, count[near], 0)
            for slot in range(fullest):
                other = torch.where(slot < many, first + slot, me)
                dx, dy = x - x[other], y - y[other]
                square = dx * dx + dy * dy
                touch = (square < 1) & (other != me)
                # A pair that does not touch gets the distance 1, which pushes with 0.
                distance = torch.where(touch, square, 1).sqrt_()
                push = (1 - distance) / distance
                fx.addcmul_(push, dx)
                fy.addcmul_(push, dy)
    force = torch.empty_like(position)
    force[order] = torch.stack((fx, fy), dim=1)
    torch.add(velocity, force, alpha=dt * stiffness, out=new_velocity)
    torch.add(position, new_velocity, alpha=dt, out=new_position)
    new_position.clamp_(0, side)
"""

_CUDA = """
// launch: clear(grid=(ceil_div(side * side, 256)), block=(256))
// launch: insert(grid=(ceil_div(n, 256)), block=(256))
// launch: solve(grid=(ceil_div(n, 256)), block=(256))
// scratch: 4 * side * side + 4 * n
// Each cell of the grid heads a linked list of its particles.

__device__ int cell_of(scalar v, long long side) {
    const int c = (int)v;
    return c < side ? c : (int)side - 1;
}

extern "C" __global__ void clear(const scalar* position, const scalar* velocity, long long side, double stiffness,
                                 double dt, scalar* new_position, scalar* new_velocity, long long n, int* heads) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < side * side) heads[i] = -1;
}

extern "C" __global__ void insert(const scalar* position, const scalar* velocity, long long side, double stiffness,
                                  double dt, scalar* new_position, scalar* new_velocity, long long n, int* heads) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= n) return;
    int* next = heads + side * side;
    const long long cell = cell_of(position[i * 2 + 1], side) * side + cell_of(position[i * 2], side);
    next[i] = atomicExch(&heads[cell], (int)i);
}

extern "C" __global__ void solve(const scalar* position, const scalar* velocity, long long side, double stiffness,
                                 double dt, scalar* new_position, scalar* new_velocity, long long n, int* heads) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= n) return;
    const int* next = heads + side * side;
    const scalar x = position[i * 2], y = position[i * 2 + 1];
    const int cx = cell_of(x, side), cy = cell_of(y, side);
    scalar fx = 0, fy = 0;
    for (int row = max(cy - 1, 0); row <= min(cy + 1, (int)side - 1); row++)
        for (int col = max(cx - 1, 0); col <= min(cx + 1, (int)side - 1); col++)
            for (int j = heads[row * side + col]; j >= 0; j = next[j]) {
                if (j == i) continue;
                const scalar dx = x - position[j * 2LL], dy = y - position[j * 2LL + 1], square = dx * dx + dy * dy;
                if (square >= 1) continue;
                const scalar distance = sqrt(square), push = (1 - distance) / distance;
                fx += push * dx;
                fy += push * dy;
            }
    const scalar force[2] = {(scalar)stiffness * fx, (scalar)stiffness * fy};
    for (int axis = 0; axis < 2; axis++) {
        const scalar v = velocity[i * 2 + axis] + (scalar)dt * force[axis];
        const scalar p = position[i * 2 + axis] + (scalar)dt * v;
        new_velocity[i * 2 + axis] = v;
        new_position[i * 2 + axis] = p < 0 ? (scalar)0 : p > (scalar)side ? (scalar)side : p;
    }
}
"""

PROBLEM = GpuProblem(
    name="particle_collisions",
    level=3,
    task="""
One time step of particles of diameter 1 and mass 1 in a square box. Two particles at a distance `r < 1` push
each other apart: particle `i` gets the force `stiffness * (1 - r) * (position[i] - position[j]) / r` from each
such `j` (no two stand at the same place). Then `new_velocity = velocity + dt * force` and `new_position =
position + dt * new_velocity`, both coordinates clamped to 0 .. side. There are too many particles for all
pairs: sort them into a grid of cells of side 1, where only the 3 x 3 cells around a particle can hold others
that touch it.
""",
    dtypes=REAL,
    sizes={"n": "number of particles, about `side * side`", "side": "side of the box"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cuda": _CUDA},
    tolerance=by_dtype(
        "differences of coordinates are exact; a few roundings of forces of order 10, and the place's own rounding",
        fp64=(1e-12, 1e-12),
        fp32=(1e-5, 5e-5),
    ),
    flops=lambda shape, dtype: 100 * shape["n"],
    correctness=({"n": 40, "side": 6}, {"n": 1000, "side": 33}, {"n": 5000, "side": 65}),
    timed=lambda s: {"n": root(1024, s, 0.5) ** 2, "side": root(1024, s, 0.5)},
)
