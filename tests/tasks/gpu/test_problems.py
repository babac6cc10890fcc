"""Inputs, sizes and costs of every problem."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tasks.gpu
from tasks.gpu import get, names
from tasks.gpu.draw import NumpyDraw, TorchDraw, round_bfloat16
from tasks.gpu.problem import ELEMENT_BYTES, ELEMENT_OF, MEMORY_SHARE, ArraySpec, ScalarSpec, host_dtype

GIB = 1 << 30


@pytest.mark.parametrize("name", names())
def test_inputs_are_what_the_specs_say(name: str) -> None:
    problem = get(name)
    for dtype in problem.dtypes:
        for shape in problem.shapes(8 * GIB)[:-1]:
            assert tuple(shape.dims) == tuple(problem.sizes)
            values = problem.make_inputs(1, shape, dtype)
            for spec, value in zip(problem.inputs(shape, dtype), values, strict=True):
                if isinstance(spec, ScalarSpec):
                    assert type(value) is (int if spec.kind == "int" else float)
                else:
                    assert isinstance(value, np.ndarray)
                    assert value.shape == spec.shape, spec.name
                    assert value.dtype == host_dtype(spec.element)
                    assert value.flags.c_contiguous
                    if value.dtype.kind == "f":
                        assert np.isfinite(value).all()
                    if spec.element == "bfloat16":
                        assert np.array_equal(value, round_bfloat16(value))
            outputs = problem.outputs(shape, dtype)
            for spec, want in zip(outputs, problem.cpu_reference(*values), strict=True):
                assert want.shape == spec.shape, spec.name
                assert not spec.host
                if spec.element in ("float64", "float32"):
                    assert want.dtype in (np.dtype(spec.element), np.dtype("float64")), spec.name
                if spec.element in ("int64", "int32"):
                    assert want.dtype.kind == "i"


@pytest.mark.parametrize("name", names())
def test_inputs_depend_on_the_seed_alone(name: str) -> None:
    problem = get(name)
    dtype = problem.dtypes[0]
    shape = problem.shapes(8 * GIB)[1]
    first, again, other = (problem.make_inputs(seed, shape, dtype) for seed in (7, 7, 8))
    arrays = [i for i, v in enumerate(first) if isinstance(v, np.ndarray)]
    assert all(np.array_equal(first[i], again[i]) for i in arrays)
    assert any(not np.array_equal(first[i], other[i]) for i in arrays)
    assert [v for v in first if not isinstance(v, np.ndarray)] == [
        v for v in other if not isinstance(v, np.ndarray)
    ]


def test_a_few_nodes_of_the_graph_have_many_edges_and_some_none() -> None:
    """As its prompt says."""
    problem = get("gather_scatter")
    for scale in (1.0, 4.0):
        for shape in problem.shapes(8 * GIB, scale):
            target = problem.make_inputs(1, shape, "fp32")[3]
            counts = np.bincount(np.asarray(target), minlength=shape["nodes"])
            assert counts.size == shape["nodes"]
            assert counts.min() == 0
            assert 3 * counts.mean() < counts.max() < 5000
            if shape.timed:
                assert counts.max() > 100 * counts.mean()


def test_no_two_particles_stand_at_the_same_place() -> None:
    """Where they do, the force between them is not a number, and every program is wrong."""
    problem = get("particle_collisions")
    shape = problem.shapes(8 * GIB)[-1]
    # Drawn without care, this seed has two of a million at the same place.
    position = np.asarray(problem.make_inputs(521, shape, "fp32")[0])
    assert 0 <= position.min() < 0.01
    assert shape["side"] - 0.01 < position.max() < shape["side"]
    assert np.unique(position.view(np.uint64)).size == shape["n"]
    # About as many in each quarter of the box, as everywhere.
    quarter = (position // (shape["side"] / 2)).astype(int)
    counts = np.bincount(2 * quarter[:, 0] + quarter[:, 1], minlength=4)
    assert abs(counts / shape["n"] - 0.25).max() < 0.005


@pytest.mark.parametrize("name", names())
def test_device_inputs_are_of_the_same_kind(name: str) -> None:
    import torch

    problem = get(name)
    for dtype in problem.dtypes:
        shape = problem.shapes(8 * GIB)[1]
        made = problem.make_inputs_device(3, shape, dtype, "cpu")
        again = problem.make_inputs_device(3, shape, dtype, "cpu")
        host = problem.make_inputs(3, shape, dtype)
        specs = problem.inputs(shape, dtype)
        for spec, tensor, same, value in zip(specs, made, again, host, strict=True):
            if isinstance(spec, ScalarSpec):
                assert tensor == value
                continue
            assert tuple(tensor.shape) == spec.shape
            assert tensor.dtype is getattr(torch, spec.element)
            assert tensor.is_contiguous()
            assert torch.equal(tensor, same)
            # Of the same distribution, as far as the mean size of its values tells.
            drawn, host_size = tensor.double().abs().mean().item(), float(np.abs(value.astype(np.float64)).mean())
            assert 0.5 * host_size <= drawn <= 2 * host_size, spec.name


@pytest.mark.parametrize("name", names())
def test_the_references_hold_for_inputs_drawn_on_a_device(name: str) -> None:
    from tests.tasks.gpu.running import call_torch, wrong_outputs

    problem = get(name)
    shape = problem.shapes(8 * GIB)[0]
    values = [v.numpy() if hasattr(v, "numpy") else v for v in problem.make_inputs_device(4, shape, "fp32", "cpu")]
    namespace: dict = {}
    exec(problem.reference("torch", "fp32"), namespace)
    got = call_torch(namespace["solve"], problem, shape, "fp32", values)
    assert wrong_outputs(problem, "fp32", got, problem.cpu_reference(*values)) == []


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("memory", [6 * GIB, 8 * GIB, 141 * GIB])
def test_sizes_fit_the_card(name: str, memory: int) -> None:
    problem = get(name)
    for scale in (0.1, 1.0, 20.0, 10_000.0):
        *small, timed = problem.shapes(memory, scale)
        assert timed.timed
        assert len(small) >= 3
        for dtype in problem.dtypes:
            inputs = sum(s.nbytes for s in problem.inputs(timed, dtype) if isinstance(s, ArraySpec))
            assert inputs <= MEMORY_SHARE * memory
            assert problem.footprint(timed, dtype) <= MEMORY_SHARE * memory
        for shape in small:
            assert not shape.timed
            assert problem.footprint(shape, problem.dtypes[0]) <= 32 << 20
            assert dict(shape.dims) != dict(timed.dims)
        for spec in (*problem.inputs(timed, problem.dtypes[0]), *problem.outputs(timed, problem.dtypes[0])):
            if isinstance(spec, ArraySpec):
                assert min(spec.shape) >= 1


@pytest.mark.parametrize("name", [n for n in names() if not n.startswith("train_")])
def test_the_timed_work_grows_with_the_scale(name: str) -> None:
    problem = get(name)
    dtype = problem.dtypes[0]

    def work(scale: float) -> float:
        shape = problem.shapes(141 * GIB, scale)[-1]
        return max(problem.flops(shape, dtype), problem.bytes_moved(shape, dtype))

    assert work(0.25) < work(1.0) < work(4.0)
    assert 2 <= work(4.0) / work(1.0) <= 8
    assert problem.bytes_moved(problem.shapes(8 * GIB)[-1], dtype) > 0


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_no_byte_has_to_cross_the_bus_twice(name: str, scale: float) -> None:
    """What a step leaves for the next can stay on the chip: a program that keeps it there is not over the roof."""
    problem = get(name)
    timed = problem.shapes(8 * GIB, scale)[-1]
    for dtype in problem.dtypes:
        assert 0 < problem.bytes_moved(timed, dtype) <= problem.footprint(timed, dtype)


@pytest.mark.parametrize("name", ["train_linear", "train_mlp"])
def test_batches_that_no_step_takes_need_not_be_read(name: str) -> None:
    problem = get(name)
    timed = problem.shapes(8 * GIB, 0.01)[-1]
    assert timed["steps"] < timed["batches"]
    unused = (timed["batches"] - timed["steps"]) * timed["batch"] * (timed["inputs"] + timed["outputs"]) * 4
    assert problem.bytes_moved(timed, "fp32") == problem.footprint(timed, "fp32") - unused


@pytest.mark.parametrize("name", names())
def test_dtypes_are_listed_widest_first(name: str) -> None:
    sizes = [ELEMENT_BYTES[ELEMENT_OF[d]] for d in get(name).dtypes]
    assert sizes == sorted(sizes, reverse=True)
    assert "fp32" in get(name).dtypes


def test_scale_must_be_positive() -> None:
    with pytest.raises(ValueError, match="scale"):
        get("gram").shapes(8 * GIB, 0)
    with pytest.raises(ValueError, match="fits"):
        get("train_linear").shapes(1 << 20)


def test_the_suite_imports_without_torch() -> None:
    """The supervisor, which must stay free of CUDA, loads it."""
    code = (
        "import sys, tasks.gpu as g; [g.load(dialect=d) for d in ('torch', 'cupy', 'triton', 'cuda')]; "
        "heavy = {'torch', 'cupy', 'triton', 'pandas', 'pyarrow', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    root = Path(tasks.gpu.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.parametrize("name", names())
def test_python_references_compile(name: str) -> None:
    for dialect in ("torch", "cupy", "triton"):
        if dialect in get(name).references:
            tree = ast.parse(get(name).references[dialect])
            solve = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "solve"]
            assert len(solve) == 1
            shape = get(name).shapes(8 * GIB)[0]
            arguments = [a.arg for a in solve[0].args.args]
            assert arguments == [*(s.name for s in get(name).inputs(shape, "fp32")), "out"]


def test_names_of_problems_and_unknown_ones() -> None:
    assert get("gpu/softmax") is get("softmax")
    assert [get(n).level for n in names()] == sorted(get(n).level for n in names())
    with pytest.raises(KeyError, match="softmax"):
        get("no_such_problem")


def test_unsupported_references_are_refused() -> None:
    with pytest.raises(KeyError, match="bf16"):
        get("softmax").reference("cupy", "bf16")
    assert get("softmax").reference("cuda", "fp16").startswith("#include <cuda_fp16.h>\ntypedef __half scalar;")


def test_bfloat16_rounding_is_torchs() -> None:
    import torch

    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    x[:4] = [1.00390625, -1.00390625, 1.01171875, 3.3e38]
    assert np.array_equal(round_bfloat16(x), torch.from_numpy(x).bfloat16().float().numpy())


def test_both_draws_offer_the_same() -> None:
    import torch

    for draw in (NumpyDraw(1), TorchDraw(1, "cpu")):
        u = draw.uniform(1000, low=2.0, high=3.0)
        assert u.shape == (1000,)
        assert 2.0 <= float(u.min()) <= float(u.max()) <= 3.0
        assert "float32" in str(u.dtype)
        assert "float64" in str(draw.normal64(3).dtype)
        assert sorted(int(i) for i in draw.permutation(9)) == list(range(9))
        whole = draw.integers(500, low=-3, high=4)
        assert {int(i) for i in whole} == set(range(-3, 4))
        assert [int(i) for i in draw.floor(draw.to_float(draw.arange(3)) + 0.5)] == [0, 1, 2]
        assert [float(i) for i in draw.cumsum(draw.arange(4))] == [0, 1, 3, 6]
        assert "float32" in str(draw.to_float(draw.arange(2), double=False).dtype)
        assert abs(float(draw.normal(20_000).std()) - 1) < 0.05
        ordered = [float(v) for v in draw.sort(draw.normal(50))]
        assert ordered == sorted(ordered)
    assert torch.equal(TorchDraw(5, "cpu").normal(4), TorchDraw(5, "cpu").normal(4))
