"""One step of gravitating bodies."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("position", (shape["n"], 3), element),
        ArraySpec("velocity", (shape["n"], 3), element),
        ArraySpec("mass", (shape["n"],), element),
        ScalarSpec("dt", "float", "length of the step"),
        ScalarSpec("softening", "float"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("new_position", (shape["n"], 3), element),
        ArraySpec("new_velocity", (shape["n"], 3), element),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    n = shape["n"]
    # Masses add up to about one, so that accelerations are of order one at every size. Powers of two as scalars
    # are the same in every precision.
    return [
        draw.real(dtype, n, 3),
        draw.real(dtype, n, 3) * 0.1,
        draw.unit(dtype, n, low=0.5, high=1.5) / n,
        0.25,
        0.125,
    ]


def _cpu(position: Array, velocity: Array, mass: Array, dt: float, softening: float) -> tuple[Array, ...]:
    kind = position.dtype.type
    acceleration = np.empty_like(position)
    columns = [np.ascontiguousarray(c) for c in position.T]
    for start in range(0, len(position), 256):
        part = slice(start, start + 256)
        d = [c[None, :] - c[part, None] for c in columns]
        square = d[0] * d[0]
        square += d[1] * d[1]
        square += d[2] * d[2]
        square += kind(softening * softening)
        weight = mass / (square * np.sqrt(square))
        for axis in range(3):
            acceleration[part, axis] = np.einsum("ij,ij->i", weight, d[axis])
    new_velocity = velocity + kind(dt) * acceleration
    return position + kind(dt) * new_velocity, new_velocity


_TORCH = """
import torch

def solve(position, velocity, mass, dt, softening, out):
    new_position, new_velocity = out
    n = position.shape[0]
    x, y, z = position.T.contiguous()
    part = max(1, (1 << 25) // n)
    for start in range(0, n, part):
        at = slice(start, start + part)
        dx, dy, dz = x - x[at, None], y - y[at, None], z - z[at, None]
        weight = torch.addcmul(dx * dx, dy, dy).addcmul_(dz, dz).add_(softening**2).rsqrt_()
        weight = weight.pow(3).mul_(mass)
        for axis, d in enumerate((dx, dy, dz)):
            new_velocity[at, axis] = d.mul_(weight).sum(dim=1)
    new_velocity.mul_(dt).add_(velocity)
    torch.add(position, new_velocity, alpha=dt, out=new_position)
"""

_CUPY = """
import cupy as cp

def solve(position, velocity, mass, dt, softening, out):
    new_position, new_velocity = out
    n = position.shape[0]
    x, y, z = (cp.ascontiguousarray(position[:, axis]) for axis in range(3))
    part = max(1, (1 << 25) // n)
    for start in range(0, n, part):
        at = slice(start, start + part)
        dx, dy, dz = x - x[at, None], y - y[at, None], z - z[at, None]
        square = dx * dx + dy * dy + dz * dz + softening**2
        weight = mass / (square * cp.sqrt(square))
        for axis, d in enumerate((dx, dy, dz)):
            new_velocity[at, axis] = (d * weight).sum(axis=1)
    new_velocity *= dt
    new_velocity += velocity
    new_position[...] = position + dt * new_velocity
"""

_TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def nbody_kernel(position, velocity, mass, new_position, new_velocity, n, dt, soft2,
                 BI: tl.constexpr, BJ: tl.constexpr):
    i = tl.program_id(0) * BI + tl.arange(0, BI)
    mine = i < n
    x = tl.load(position + i * 3, mask=mine, other=0.0)
    y = tl.load(position + i * 3 + 1, mask=mine, other=0.0)
    z = tl.load(position + i * 3 + 2, mask=mine, other=0.0)
    ax = tl.zeros((BI, BJ), dtype=tl.float32)
    ay = tl.zeros((BI, BJ), dtype=tl.float32)
    az = tl.zeros((BI, BJ), dtype=tl.float32)
    for start in range(0, n, BJ):
        j = start + tl.arange(0, BJ)
        there = j < n
        dx = tl.load(position + j * 3, mask=there, other=0.0)[None, :] - x[:, None]
        dy = tl.load(position + j * 3 + 1, mask=there, other=0.0)[None, :] - y[:, None]
        dz = tl.load(position + j * 3 + 2, mask=there, other=0.0)[None, :] - z[:, None]
        inverse = tl.rsqrt(dx * dx + dy * dy + dz * dz + soft2)
        weight = tl.load(mass + j, mask=there, other=0.0)[None, :] * inverse * inverse * inverse
        ax += weight * dx
        ay += weight * dy
        az += weight * dz
    vx = tl.load(velocity + i * 3, mask=mine, other=0.0) + dt * tl.sum(ax, axis=1)
    vy = tl.load(velocity + i * 3 + 1, mask=mine, other=0.0) + dt * tl.sum(ay, axis=1)
    vz = tl.load(velocity + i * 3 + 2, mask=mine, other=0.0) + dt * tl.sum(az, axis=1)
    tl.store(new_velocity + i * 3, vx, mask=mine)
    tl.store(new_velocity + i * 3 + 1, vy, mask=mine)
    tl.store(new_velocity + i * 3 + 2, vz, mask=mine)
    tl.store(new_position + i * 3, x + dt * vx, mask=mine)
    tl.store(new_position + i * 3 + 1, y + dt * vy, mask=mine)
    tl.store(new_position + i * 3 + 2, z + dt * vz, mask=mine)

def solve(position, velocity, mass, dt, softening, out):
    n = position.shape[0]
    nbody_kernel[(triton.cdiv(n, 32),)](
        position, velocity, mass, *out, n, dt, softening**2, BI=32, BJ=128, num_warps=4
    )
"""

_CUDA = """
// launch: solve(grid=(ceil_div(n, 128)), block=(128))
// A thread a body; the others come by in tiles of 128 through shared memory.
extern "C" __global__ void solve(const scalar* position, const scalar* velocity, const scalar* mass, double dt,
                                 double softening, scalar* new_position, scalar* new_velocity, long long n) {
    __shared__ scalar tile[128][4];
    const int t = threadIdx.x;
    const long long i = blockIdx.x * 128LL + t;
    const scalar x = i < n ? position[i * 3] : (scalar)0, y = i < n ? position[i * 3 + 1] : (scalar)0,
                 z = i < n ? position[i * 3 + 2] : (scalar)0, soft2 = (scalar)(softening * softening);
    scalar ax = 0, ay = 0, az = 0;
    for (long long start = 0; start < n; start += 128) {
        const long long j = start + t;
        for (int axis = 0; axis < 3; axis++) tile[t][axis] = j < n ? position[j * 3 + axis] : (scalar)0;
        tile[t][3] = j < n ? mass[j] : (scalar)0;
        __syncthreads();
        for (int k = 0; k < 128; k++) {
            const scalar dx = tile[k][0] - x, dy = tile[k][1] - y, dz = tile[k][2] - z;
            const scalar inverse = rsqrt(dx * dx + dy * dy + dz * dz + soft2);
            const scalar weight = tile[k][3] * inverse * inverse * inverse;
            ax += weight * dx;
            ay += weight * dy;
            az += weight * dz;
        }
        __syncthreads();
    }
    if (i >= n) return;
    const scalar a[3] = {ax, ay, az};
    for (int axis = 0; axis < 3; axis++) {
        const scalar v = velocity[i * 3 + axis] + (scalar)dt * a[axis];
        new_velocity[i * 3 + axis] = v;
        new_position[i * 3 + axis] = position[i * 3 + axis] + (scalar)dt * v;
    }
}
"""

PROBLEM = GpuProblem(
    name="nbody_step",
    level=3,
    task="""
One time step of gravitating bodies (the gravitational constant is 1). The acceleration of body `i` is the sum
over all `j` of `mass[j] * (position[j] - position[i]) / (|position[j] - position[i]|^2 + softening^2)^(3/2)`.
Then `new_velocity = velocity + dt * acceleration` and `new_position = position + dt * new_velocity`. All pairs
count; do not approximate.
""",
    dtypes=REAL,
    sizes={"n": "number of bodies"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "triton": _TRITON, "cuda": _CUDA},
    tolerance=by_dtype(
        "sums over all bodies in any order, with accelerations of order 1 and approximate reciprocal square roots",
        fp64=(1e-12, 1e-12),
        fp32=(1e-5, 1e-5),
    ),
    flops=lambda shape, dtype: 20 * shape["n"] ** 2,
    correctness=({"n": 33}, {"n": 200}, {"n": 1025}),
    timed=lambda s: {"n": root(8192, s, 0.5)},
    dialect_dtypes={"triton": ("fp32",)},
)
