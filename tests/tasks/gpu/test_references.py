"""Reference programs agree with the CPU reference, in every dialect that can be run without a card."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.gpu import get, names
from tests.tasks.gpu.running import EmulatedCuda, run_cupy, run_torch, run_triton, wrong_outputs

MEMORY = 8 << 30
SEEDS = (11, 12, 13)


def small_shapes(name: str):
    return [shape for shape in get(name).shapes(MEMORY) if not shape.timed]


def cases(dialect: str) -> list[tuple[str, str]]:
    return [(n, d) for n in names() for d in get(n).dtypes if get(n).supports(dialect, d)]


@pytest.mark.parametrize(("name", "dtype"), cases("torch"))
def test_torch_reference(name: str, dtype: str) -> None:
    problem = get(name)
    source = problem.reference("torch", dtype)
    for shape in small_shapes(name):
        for seed in SEEDS:
            values = problem.make_inputs(seed, shape, dtype)
            got = run_torch(source, problem, shape, dtype, values)
            assert wrong_outputs(problem, dtype, got, problem.cpu_reference(*values)) == [], (shape, seed)


@pytest.mark.parametrize(("name", "dtype"), cases("cupy"))
@pytest.mark.usefixtures("numpy_as_cupy")
def test_cupy_reference_over_numpy(name: str, dtype: str) -> None:
    problem = get(name)
    source = problem.reference("cupy", dtype)
    for shape in small_shapes(name):
        values = problem.make_inputs(SEEDS[0], shape, dtype)
        got = run_cupy(source, problem, shape, dtype, values)
        assert wrong_outputs(problem, dtype, got, problem.cpu_reference(*values)) == [], shape


def _emulate(name: str, dtype: str, folder: Path) -> None:
    problem = get(name)
    program = EmulatedCuda(problem.reference("cuda", dtype), folder)
    for shape in small_shapes(name)[:2]:
        values = problem.make_inputs(SEEDS[0], shape, dtype)
        got = program.run(problem, shape, dtype, values)
        assert wrong_outputs(problem, dtype, got, problem.cpu_reference(*values)) == [], shape


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulation needs g++")


# Each compiles for a second or two: a few that use different features by default, the rest when asked for.
_FEW = ("prefix_sum", "spmv", "histogram", "cloth", "hash_join")


@needs_compiler
@pytest.mark.parametrize("name", _FEW)
def test_cuda_reference_emulated(name: str, tmp_path: Path) -> None:
    _emulate(name, "fp32", tmp_path)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), [(n, d) for n, d in cases("cuda") if d in ("fp64", "fp32")])
def test_every_cuda_reference_emulated(name: str, dtype: str, tmp_path: Path) -> None:
    _emulate(name, dtype, tmp_path)


# The interpreter keeps bfloat16 as raw bits and multiplies those in tl.dot.
_NO_BF16_DOT = {"gram", "atb", "causal_attention"}


@pytest.mark.slow
@pytest.mark.usefixtures("interpreted_triton")
@pytest.mark.parametrize(
    ("name", "dtype"), [(n, d) for n, d in cases("triton") if not (d == "bf16" and n in _NO_BF16_DOT)]
)
def test_triton_reference_interpreted(name: str, dtype: str, tmp_path: Path) -> None:
    problem = get(name)
    source = problem.reference("triton", dtype)
    for shape in small_shapes(name)[:2]:
        values = problem.make_inputs(SEEDS[0], shape, dtype)
        got = run_triton(source, tmp_path, problem, shape, dtype, values)
        assert wrong_outputs(problem, dtype, got, problem.cpu_reference(*values)) == [], shape


def test_enough_references_of_each_dialect() -> None:
    assert len(names()) >= 30
    assert all("torch" in get(n).references for n in names())
    for dialect in ("cupy", "triton", "cuda"):
        assert sum(get(n).supports(dialect, "fp32") for n in names()) >= 10, dialect


@pytest.mark.parametrize("name", names())
def test_references_leave_their_inputs_alone(name: str) -> None:
    import numpy as np
    import torch

    problem = get(name)
    shape = small_shapes(name)[0]
    values = problem.make_inputs(5, shape, "fp32")
    tensors = [torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for v in values]
    outs = [torch.empty(s.shape, dtype=getattr(torch, s.element)) for s in problem.outputs(shape, "fp32")]
    namespace: dict = {}
    exec(problem.reference("torch", "fp32"), namespace)
    namespace["solve"](*tensors, outs[0] if len(outs) == 1 else tuple(outs))
    before = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
    problem.cpu_reference(*values)
    for value, copy, tensor in zip(values, before, tensors, strict=True):
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, copy)
            assert np.array_equal(tensor.numpy(), copy)
