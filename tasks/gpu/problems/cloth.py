"""A cloth of masses and springs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype, root

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    element = ELEMENT_OF[dtype]
    dims = (shape["rows"], shape["cols"], 3)
    return (
        ArraySpec("offset", dims, element, "each mass's offset from its place at rest"),
        ArraySpec("velocity", dims, element),
        ScalarSpec("stiffness", "float"),
        ScalarSpec("gravity", "float"),
        ScalarSpec("drag", "float", "share of the velocity that is kept in a step"),
        ScalarSpec("dt", "float", "length of a step"),
        ScalarSpec("steps", "int", "number of steps"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    dims = (shape["rows"], shape["cols"], 3)
    return ArraySpec("new_offset", dims, element), ArraySpec("new_velocity", dims, element)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    dims = (shape["rows"], shape["cols"], 3)
    # Scalars are sums of few powers of two, the same in every precision.
    return [
        draw.real(dtype, *dims) * 0.1,
        draw.real(dtype, *dims),
        96.0,
        9.75,
        0.96875,
        0.015625,
        shape["steps"],
    ]


def _cpu(  # noqa: PLR0917
    offset: Array, velocity: Array, stiffness: float, gravity: float, drag: float, dt: float, steps: int
) -> tuple[Array, ...]:
    u, v = offset.copy(), velocity.copy()
    kind = u.dtype.type
    rows, cols = u.shape[:2]
    force = np.empty_like(u)
    for _ in range(steps):
        force[...] = 0
        force[..., 2] = -kind(gravity)
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            near = (slice(0, rows - dr), slice(max(0, -dc), cols - max(0, dc)))
            far = (slice(dr, rows), slice(max(0, dc), cols + min(0, dc)))
            d = u[far] - u[near]
            d[..., 0] += kind(dc)
            d[..., 1] += kind(dr)
            length = np.sqrt(np.einsum("rck,rck->rc", d, d))
            pull = kind(stiffness) * (1 - kind((dr * dr + dc * dc) ** 0.5) / length)
            d *= pull[..., None]
            force[near] += d
            force[far] -= d
        v += kind(dt) * force
        v *= kind(drag)
        v[0] = 0
        u += kind(dt) * v
    return u, v


_TORCH = """
import torch

def solve(offset, velocity, stiffness, gravity, drag, dt, steps, out):
    u, v = out
    u.copy_(offset)
    v.copy_(velocity)
    rows, cols = u.shape[:2]
    force = torch.empty_like(u)
    springs = []
    for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
        near = (slice(0, rows - dr), slice(max(0, -dc), cols - max(0, dc)))
        far = (slice(dr, rows), slice(max(0, dc), cols + min(0, dc)))
        rest = torch.tensor([dc, dr, 0], dtype=u.dtype).to(u.device)
        springs.append((near, far, rest, (dr * dr + dc * dc) ** 0.5))
    for _ in range(steps):
        force.zero_()
        force[..., 2] = -gravity
        for near, far, rest, length in springs:
            d = u[far] - u[near] + rest
            pull = d.square().sum(dim=2, keepdim=True).rsqrt_().mul_(-length).add_(1).mul_(stiffness)
            d *= pull
            force[near] += d
            force[far] -= d
        v.add_(force, alpha=dt).mul_(drag)
        v[0] = 0
        u.add_(v, alpha=dt)
"""

_CUPY = """
import cupy as cp

def solve(offset, velocity, stiffness, gravity, drag, dt, steps, out):
    u, v = out
    u[...] = offset
    v[...] = velocity
    rows, cols = u.shape[:2]
    force = cp.empty_like(u)
    for _ in range(steps):
        force[...] = 0
        force[..., 2] = -gravity
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            near = (slice(0, rows - dr), slice(max(0, -dc), cols - max(0, dc)))
            far = (slice(dr, rows), slice(max(0, dc), cols + min(0, dc)))
            d = u[far] - u[near]
            d[..., 0] += dc
            d[..., 1] += dr
            length = cp.sqrt((d * d).sum(axis=2, keepdims=True))
            d *= stiffness * (1 - (dr * dr + dc * dc) ** 0.5 / length)
            force[near] += d
            force[far] -= d
        v += dt * force
        v *= drag
        v[0] = 0
        u += dt * v
"""

_CUDA = """
// launch: start(grid=(ceil_div(rows * cols * 3, 256)), block=(256))
// launch: speed(grid=(ceil_div(cols, 32), ceil_div(rows, 8)), block=(32, 8))
// launch: solve(grid=(ceil_div(rows * cols * 3, 256)), block=(256))
// repeat: steps
// A step: all velocities from the old offsets, then all offsets from the new velocities.

extern "C" __global__ void start(const scalar* offset, const scalar* velocity, double stiffness, double gravity,
                                 double drag, double dt, long long steps, scalar* u, scalar* v,
                                 long long rows, long long cols, void* scratch, int round) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (round != 0 || i >= rows * cols * 3) return;
    u[i] = offset[i];
    v[i] = velocity[i];
}

extern "C" __global__ void speed(const scalar* offset, const scalar* velocity, double stiffness, double gravity,
                                 double drag, double dt, long long steps, scalar* u, scalar* v,
                                 long long rows, long long cols) {
    const long long r = blockIdx.y * 8LL + threadIdx.y, c = blockIdx.x * 32LL + threadIdx.x;
    if (r >= rows || c >= cols) return;
    const long long i = (r * cols + c) * 3;
    if (r == 0) {
        v[i] = v[i + 1] = v[i + 2] = 0;
        return;
    }
    const scalar ux = u[i], uy = u[i + 1], uz = u[i + 2], k = (scalar)stiffness;
    scalar fx = 0, fy = 0, fz = -(scalar)gravity;
    for (int dr = -1; dr <= 1; dr++)
        for (int dc = -1; dc <= 1; dc++) {
            if ((dr == 0 && dc == 0) || r + dr < 0 || r + dr >= rows || c + dc < 0 || c + dc >= cols) continue;
            const long long j = ((r + dr) * cols + c + dc) * 3;
            const scalar dx = u[j] - ux + dc, dy = u[j + 1] - uy + dr, dz = u[j + 2] - uz;
            const scalar rest = dr != 0 && dc != 0 ? (scalar)1.41421356237309504880 : (scalar)1;
            const scalar pull = k * (1 - rest * rsqrt(dx * dx + dy * dy + dz * dz));
            fx += pull * dx;
            fy += pull * dy;
            fz += pull * dz;
        }
    v[i] = (v[i] + (scalar)dt * fx) * (scalar)drag;
    v[i + 1] = (v[i + 1] + (scalar)dt * fy) * (scalar)drag;
    v[i + 2] = (v[i + 2] + (scalar)dt * fz) * (scalar)drag;
}

extern "C" __global__ void solve(const scalar* offset, const scalar* velocity, double stiffness, double gravity,
                                 double drag, double dt, long long steps, scalar* u, scalar* v,
                                 long long rows, long long cols) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < rows * cols * 3) u[i] += (scalar)dt * v[i];
}
"""

PROBLEM = GpuProblem(
    name="cloth",
    level=3,
    task="""
Simulate a cloth: a grid of unit masses, each tied by springs to its eight neighbours (fewer at the edges). At
rest the mass in row `r` and column `c` stands at `(c, r, 0)`; `offset` is its distance from there, so it stands
at `(c, r, 0) + offset[r, c]`. A spring from mass A to mass B with vector `d` (B's place minus A's) pulls A with
the force `stiffness * (|d| - L) * d / |d|`, where `L` is its length at rest: 1 along rows and columns, sqrt(2)
across. Gravity adds `(0, 0, -gravity)`.

In each of `steps` steps: compute all forces from the current places, then `velocity = (velocity + dt * force) *
drag`, with the masses of row 0 held fast (their velocity is set to 0), then `offset = offset + dt * velocity`.
Output offsets and velocities after the last step.
""",
    dtypes=REAL,
    sizes={"rows": "rows of masses", "cols": "columns of masses", "steps": "number of steps"},
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY, "cuda": _CUDA},
    tolerance=by_dtype(
        "roundings of a few steps of a stable simulation whose offsets and velocities are of order 1",
        fp64=(1e-11, 1e-11),
        fp32=(1e-4, 3e-5),
    ),
    flops=lambda shape, dtype: 100 * shape["rows"] * shape["cols"] * shape["steps"],
    correctness=(
        {"rows": 5, "cols": 7, "steps": 3},
        {"rows": 33, "cols": 40, "steps": 10},
        {"rows": 65, "cols": 20, "steps": 7},
    ),
    timed=lambda s: {"rows": root(1024, s, 0.5), "cols": root(1024, s, 0.5), "steps": 8},
)
