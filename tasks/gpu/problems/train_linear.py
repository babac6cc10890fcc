"""The article's training loop: one linear layer, batches from the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, InputSpec, ScalarSpec, Shape
from tasks.gpu.problems._common import REAL, by_dtype

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[InputSpec, ...]:
    element = ELEMENT_OF[dtype]
    batches = (shape["batches"], shape["batch"])
    return (
        ArraySpec("x", (*batches, shape["inputs"]), element, "the batches", host=True),
        ArraySpec("y", (*batches, shape["outputs"]), element, "what should come out for them", host=True),
        ArraySpec("weight", (shape["outputs"], shape["inputs"]), element, "the weights at the start"),
        ArraySpec("bias", (shape["outputs"],), element, "the biases at the start"),
        ScalarSpec("rate", "float", "the learning rate"),
        ScalarSpec("steps", "int", "number of steps"),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec(
            "trained_weight", (shape["outputs"], shape["inputs"]), element, "the weights after the last step"
        ),
        ArraySpec("trained_bias", (shape["outputs"],), element, "the biases after the last step"),
        ArraySpec("loss", (shape["steps"],), element, "the loss of each step, before its update"),
    )


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    batches, batch, inputs, outputs = (shape[d] for d in ("batches", "batch", "inputs", "outputs"))
    x = draw.real(dtype, batches, batch, inputs)
    # Noise keeps the weights moving to the last step, so that leaving some out shows.
    true = draw.real(dtype, inputs, outputs) * inputs**-0.5
    y = x @ true
    y += draw.real(dtype, batches, batch, outputs) * 0.3
    start = draw.real(dtype, outputs, inputs) * inputs**-0.5
    return [x, y, start, draw.real(dtype, outputs) * 0.1, 0.02, shape["steps"]]


def _cpu(x: Array, y: Array, weight: Array, bias: Array, rate: float, steps: int) -> tuple[Array, ...]:  # noqa: PLR0917
    weight, bias = weight.copy(), bias.copy()
    batches, batch = x.shape[:2]
    loss = np.empty(steps, dtype=x.dtype)
    factor = x.dtype.type(rate / batch)
    for step in range(steps):
        data = x[step % batches]
        error = data @ weight.T
        error += bias
        error -= y[step % batches]
        loss[step] = np.einsum("bo,bo->", error, error) / (2 * batch)
        error *= factor
        bias -= error.sum(axis=0)
        weight -= error.T @ data
    return weight, bias, loss


_TORCH = """
import torch

def solve(x, y, weight, bias, rate, steps, out):
    w, b, loss = out
    w.copy_(weight)
    b.copy_(bias)
    xs, ys = x.to(w.device, non_blocking=True), y.to(w.device, non_blocking=True)
    batches, batch = xs.shape[:2]
    errors = torch.empty(steps, dtype=w.dtype, device=w.device)
    for step in range(steps):
        data = xs[step % batches]
        error = torch.addmm(b, data, w.T).sub_(ys[step % batches])
        torch.sum(error.square(), dim=(0, 1), out=errors[step])
        b.sub_(error.sum(dim=0), alpha=rate / batch)
        w.addmm_(error.T, data, alpha=-rate / batch)
    torch.div(errors, 2 * batch, out=loss)
"""

_CUPY = """
import cupy as cp

def solve(x, y, weight, bias, rate, steps, out):
    w, b, loss = out
    w[...] = weight
    b[...] = bias
    xs, ys = cp.asarray(x), cp.asarray(y)
    batches, batch = xs.shape[:2]
    for step in range(steps):
        data = xs[step % batches]
        error = data @ w.T
        error += b
        error -= ys[step % batches]
        loss[step] = (error * error).sum() / (2 * batch)
        error *= rate / batch
        b -= error.sum(axis=0)
        w -= error.T @ data
"""

PROBLEM: GpuProblem = GpuProblem(
    name="train_linear",
    level=3,
    task="""
Train one linear layer by plain gradient descent. In step `s` (from 0 to `steps - 1`) take batch `x[s mod
batches]`, which lies in host memory, with its targets `y[s mod batches]`; compute `prediction = x @ weight.T +
bias`, the loss `sum of (prediction - y)^2 / (2 * batch)` over all elements, its gradients by `weight` and
`bias`, and subtract `rate` times these. Each step uses the weights that the step before left. Leave the
starting weights as they are.
""",
    dtypes=REAL,
    sizes={
        "batches": "number of distinct batches",
        "batch": "samples in a batch",
        "inputs": "input features",
        "outputs": "output features",
        "steps": "number of steps",
    },
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cupy": _CUPY},
    tolerance=by_dtype(
        "the descent is a contraction, so each step's roundings fade; weights are a few hundredths in size, and "
        "TF32 is outside",
        fp64=(1e-10, 1e-12),
        fp32=(1e-4, 2e-6),
    ),
    flops=lambda shape, dtype: 4 * shape["steps"] * shape["batch"] * shape["inputs"] * shape["outputs"],
    # Weights can stay in the cache from step to step, so they cross the bus once; so does each batch that is used.
    least_bytes=lambda shape, dtype: PROBLEM.footprint(
        Shape(shape.name, {**shape.dims, "batches": min(shape["batches"], shape["steps"])}), dtype
    ),
    correctness=(
        {"batches": 3, "batch": 8, "inputs": 20, "outputs": 7, "steps": 10},
        {"batches": 7, "batch": 33, "inputs": 65, "outputs": 40, "steps": 40},
        {"batches": 5, "batch": 16, "inputs": 128, "outputs": 100, "steps": 25},
    ),
    # The article's size. It takes far more than 2 ms on any card, so a scale above 1 adds nothing.
    timed=lambda s: {
        "batches": 100,
        "batch": 64,
        "inputs": 1000,
        "outputs": 1000,
        "steps": max(10, round(1000 * min(s, 1.0))),
    },
)
