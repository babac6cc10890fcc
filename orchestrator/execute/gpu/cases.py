"""The calls that a program is judged by: inputs from a secret seed, and what they must give."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.execute.gpu.judge import as_tensor
from orchestrator.execute.gpu.layout import Arrangement, arrange
from tasks.gpu.launch import parse_launch
from tasks.gpu.problem import ArraySpec, GpuProblem, ScalarSpec, Shape

if TYPE_CHECKING:
    import torch

__all__ = ["Case", "arrangement_of", "derive", "launches_for", "make_cases", "scalars_of"]


@dataclass(frozen=True, slots=True)
class Case:
    """One small call with its expected outputs."""

    shape: Shape
    arrangement: Arrangement
    inputs: tuple[Any, ...]
    """torch tensors on the host in their own element types, and Python numbers."""
    expected: tuple[torch.Tensor, ...]
    """On the host, in the precision that the CPU reference computed in."""


def derive(*parts: object) -> int:
    """A 63-bit seed that depends on every part, and that nobody can guess who lacks one of them."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def arrangement_of(problem: GpuProblem, shape: Shape, dtype: str) -> Arrangement:
    """Where this problem's arrays lie at this shape."""
    return arrange(problem.inputs(shape, dtype), problem.outputs(shape, dtype))


def scalars_of(problem: GpuProblem, shape: Shape, dtype: str, values: Sequence[Any]) -> list[int | float]:
    """The numbers among the inputs, in order."""
    specs = problem.inputs(shape, dtype)
    return [value for spec, value in zip(specs, values, strict=True) if isinstance(spec, ScalarSpec)]


def make_cases(
    problem: GpuProblem, dtype: str, memory_bytes: int, *, kind: str, seeds: Sequence[int], salt: int
) -> list[Case]:
    """All small calls of a set of tests: every seed on every small shape, a shape's visits far apart.

    Args:
        problem: whose tests they are.
        dtype: of the sweep.
        memory_bytes: of the card.
        kind: ``feedback`` or ``scoring``; the two never share inputs.
        seeds: of the tests; they are public, so ``salt`` is mixed in.
        salt: the suite seed, which no candidate learns.
    """
    shapes = [shape for shape in problem.shapes(memory_bytes) if not shape.timed]
    return [
        _make(problem, shape, dtype, derive("case", salt, problem.name, dtype, kind, seed, shape.name))
        for seed in seeds
        for shape in shapes
    ]


def _make(problem: GpuProblem, shape: Shape, dtype: str, seed: int) -> Case:
    host = problem.make_inputs(seed, shape, dtype)
    expected = problem.cpu_reference(*host)
    specs = problem.inputs(shape, dtype)
    inputs = tuple(
        as_tensor(value, spec.element, "cpu") if isinstance(spec, ArraySpec) else value
        for spec, value in zip(specs, host, strict=True)
    )
    wanted = tuple(as_tensor(value, str(value.dtype), "cpu") for value in expected)
    for tensor, spec in zip(wanted, problem.outputs(shape, dtype), strict=True):
        if tuple(tensor.shape) != spec.shape:
            raise ValueError(f"{problem.name}: the CPU reference gave {tuple(tensor.shape)}, not {spec.shape}")
    return Case(shape, arrangement_of(problem, shape, dtype), inputs, wanted)


def launches_for(problem: GpuProblem, shape: Shape, dtype: str, dialect: str, source: str) -> dict[str, Any] | None:
    """How a raw CUDA program is launched at this shape, as plain data; None for other dialects.

    Raises:
        tasks.gpu.launch.LaunchError: when its launch lines can't be followed.
    """
    if dialect != "cuda":
        return None
    plan = parse_launch(source, {name: shape[name] for name in problem.sizes})
    return {
        "launches": [[x.kernel, x.grid, x.block, x.shared_bytes] for x in plan.launches],
        "scratch": plan.scratch_bytes,
        "repeat": plan.repeat,
        "sizes": [shape[name] for name in problem.cuda_sizes(shape, dtype)],
    }
