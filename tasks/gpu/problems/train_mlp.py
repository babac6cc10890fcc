"""The training loop with two layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype

__all__ = ["PROBLEM"]


def _parameters(shape: Shape, element: str, prefix: str, what: str) -> tuple[ArraySpec, ...]:
    inputs, hidden, outputs = shape["inputs"], shape["hidden"], shape["outputs"]
    return (
        ArraySpec(f"{prefix}w1", (hidden, inputs), element, f"first layer's weights {what}"),
        ArraySpec(f"{prefix}b1", (hidden,), element, f"first layer's biases {what}"),
        ArraySpec(f"{prefix}w2", (outputs, hidden), element, f"second layer's weights {what}"),
        ArraySpec(f"{prefix}b2", (outputs,), element, f"second layer's biases {what}"),
    )


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    element = ELEMENT_OF[dtype]
    batches = (shape["batches"], shape["batch"])
    return (
        ArraySpec("x", (*batches, shape["inputs"]), element, "the batches", host=True),
        ArraySpec("y", (*batches, shape["outputs"]), element, "what should come out for them", host=True),
        *_parameters(shape, element, "", "at the start"),
        ScalarSpec("rate", "float", "the learning rate"),
        ScalarSpec("steps", "int", "number of steps"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        *_parameters(shape, element, "trained_", "after the last step"),
        ArraySpec("loss", (shape["steps"],), element, "the loss of each step, before its update"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    batches, batch, inputs, hidden, outputs = (
        shape[d] for d in ("batches", "batch", "inputs", "hidden", "outputs")
    )
    x = draw.real(dtype, batches, batch, inputs)
    y = x @ (draw.real(dtype, inputs, outputs) * inputs**-0.5)
    y += draw.real(dtype, batches, batch, outputs) * 0.3
    return [
        x,
        y,
        draw.real(dtype, hidden, inputs) * inputs**-0.5,
        draw.real(dtype, hidden) * 0.1,
        draw.real(dtype, outputs, hidden) * hidden**-0.5,
        draw.real(dtype, outputs) * 0.1,
        0.01,
        shape["steps"],
    ]


def _cpu(  # noqa: PLR0917
    x: Array, y: Array, w1: Array, b1: Array, w2: Array, b2: Array, rate: float, steps: int
) -> tuple[Array, ...]:
    w1, b1, w2, b2 = w1.copy(), b1.copy(), w2.copy(), b2.copy()
    batches, batch = x.shape[:2]
    loss = np.empty(steps, dtype=x.dtype)
    factor = x.dtype.type(rate / batch)
    for step in range(steps):
        data = x[step % batches]
        hidden = np.tanh(data @ w1.T + b1)
        error = hidden @ w2.T
        error += b2
        error -= y[step % batches]
        loss[step] = np.einsum("bo,bo->", error, error) / (2 * batch)
        error *= factor
        back = error @ w2
        back *= 1 - hidden * hidden
        b2 -= error.sum(axis=0)
        w2 -= error.T @ hidden
        b1 -= back.sum(axis=0)
        w1 -= back.T @ data
    return w1, b1, w2, b2, loss


_TORCH = """
import torch

def solve(x, y, w1, b1, w2, b2, rate, steps, out):
    for to, start in zip(out, (w1, b1, w2, b2)):
        to.copy_(start)
    w1, b1, w2, b2, loss = out
    xs, ys = x.to(w1.device, non_blocking=True), y.to(w1.device, non_blocking=True)
    batches, batch = xs.shape[:2]
    errors = torch.empty(steps, dtype=w1.dtype, device=w1.device)
    for step in range(steps):
        data = xs[step % batches]
        hidden = torch.addmm(b1, data, w1.T).tanh_()
        error = torch.addmm(b2, hidden, w2.T).sub_(ys[step % batches])
        torch.sum(error.square(), dim=(0, 1), out=errors[step])
        error *= rate / batch
        back = error @ w2
        back.addcmul_(back, hidden * hidden, value=-1)
        b2 -= error.sum(dim=0)
        w2.addmm_(error.T, hidden, alpha=-1)
        b1 -= back.sum(dim=0)
        w1.addmm_(back.T, data, alpha=-1)
    torch.div(errors, 2 * batch, out=loss)
"""

_CUPY = """
import cupy as cp

def solve(x, y, w1, b1, w2, b2, rate, steps, out):
    for to, start in zip(out, (w1, b1, w2, b2)):
        to[...] = start
    w1, b1, w2, b2, loss = out
    xs, ys = cp.asarray(x), cp.asarray(y)
    batches, batch = xs.shape[:2]
    for step in range(steps):
        data = xs[step % batches]
        hidden = cp.tanh(data @ w1.T + b1)
        error = hidden @ w2.T
        error += b2
        error -= ys[step % batches]
        loss[step] = (error * error).sum() / (2 * batch)
        error *= rate / batch
        back = error @ w2
        back *= 1 - hidden * hidden
        b2 -= error.sum(axis=0)
        w2 -= error.T @ hidden
        b1 -= back.sum(axis=0)
        w1 -= back.T @ data
"""

PROBLEM: GpuProblem = GpuProblem(
    name="train_mlp",
    level=3,
    task="""
Train two linear layers with tanh between them by plain gradient descent. In step `s` (from 0 to `steps - 1`)
take batch `x[s mod batches]`, which lies in host memory, with its targets `y[s mod batches]`; compute
`prediction = tanh(x @ w1.T + b1) @ w2.T + b2`, the loss `sum of (prediction - y)^2 / (2 * batch)` over all
elements, its gradients by `w1`, `b1`, `w2` and `b2`, all at the weights that the step before left, and subtract
`rate` times these. Leave the starting weights as they are.
""",
    dtypes=REAL,
    sizes={
        "batches": "number of distinct batches",
        "batch": "samples in a batch",
        "inputs": "input features",
        "hidden": "hidden units",
        "outputs": "output features",
        "steps": "number of steps",
    },
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY},
    tolerance=by_dtype(
        "roundings of a smooth descent with a small rate; weights are a few hundredths in size, and TF32 is "
        "outside",
        fp64=(1e-9, 1e-11),
        fp32=(1e-4, 4e-6),
    ),
    flops=lambda shape, dtype: (
        shape["steps"] * shape["batch"] * shape["hidden"] * (4 * shape["inputs"] + 6 * shape["outputs"])
    ),
    # Weights can stay in the cache from step to step, so they cross the bus once; so does each batch that is used.
    least_bytes=lambda shape, dtype: PROBLEM.footprint(
        Shape(shape.name, {**shape.dims, "batches": min(shape["batches"], shape["steps"])}), dtype
    ),
    correctness=(
        {"batches": 3, "batch": 8, "inputs": 20, "hidden": 15, "outputs": 7, "steps": 10},
        {"batches": 7, "batch": 33, "inputs": 65, "hidden": 50, "outputs": 20, "steps": 40},
        {"batches": 5, "batch": 16, "inputs": 128, "hidden": 64, "outputs": 33, "steps": 25},
    ),
    # Takes far more than 2 ms on any card, so a scale above 1 adds nothing.
    timed=lambda s: {
        "batches": 100,
        "batch": 64,
        "inputs": 1000,
        "hidden": 512,
        "outputs": 1000,
        "steps": max(10, round(1000 * min(s, 1.0))),
    },
)
