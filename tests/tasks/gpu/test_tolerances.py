"""Wrong programs fall outside the tolerance of every problem."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.gpu import get, names
from tasks.gpu.check import compare
from tasks.gpu.problem import Tolerance
from tests.tasks.gpu.running import run_torch, wrong_outputs

MEMORY = 8 << 30
LOWER = {"fp64": "fp32", "fp32": "bf16"}
"""What a program that cheats on precision would compute in."""


def inputs_at(name: str, index: int, dtype: str = "fp32", seed: int = 21):
    problem = get(name)
    shape = problem.shapes(MEMORY)[index]
    return problem, shape, problem.make_inputs(seed, shape, dtype)


def rounded(values: list, to: str) -> list:
    """Host inputs as they would be after a detour through a smaller type."""
    from tasks.gpu.draw import round_bfloat16

    def narrow(v):
        if not isinstance(v, np.ndarray) or v.dtype.kind != "f":
            return v
        return round_bfloat16(v).astype(v.dtype) if to == "bf16" else v.astype(np.float32).astype(v.dtype)

    return [narrow(v) for v in values]


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("index", [0, 1, 2])
def test_zeros_are_wrong(name: str, index: int) -> None:
    problem, _, values = inputs_at(name, index)
    want = problem.cpu_reference(*values)
    got = [np.zeros_like(w) for w in want]
    assert wrong_outputs(problem, "fp32", got, want) != []


@pytest.mark.parametrize("name", names())
def test_another_draw_is_wrong(name: str) -> None:
    """What a program that remembers its first call would answer."""
    problem, _, values = inputs_at(name, 1)
    _, _, others = inputs_at(name, 1, seed=22)
    stale = [np.asarray(o) for o in problem.cpu_reference(*others)]
    assert wrong_outputs(problem, "fp32", stale, problem.cpu_reference(*values)) != []


@pytest.mark.parametrize("name", names())
def test_half_an_output_is_wrong(name: str) -> None:
    """Each output on its own: its last half poisoned, the others right."""
    problem, _, values = inputs_at(name, 1)
    want = problem.cpu_reference(*values)
    for i, w in enumerate(want):
        got = [np.array(x) for x in want]
        flat = got[i].reshape(-1)
        flat[flat.size // 2 :] = np.nan if w.dtype.kind == "f" else -987_654_321
        assert wrong_outputs(problem, "fp32", got, want) != [], i


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("dtype", ["fp64", "fp32"])
def test_lower_precision_is_wrong(name: str, dtype: str) -> None:
    problem = get(name)
    if dtype not in problem.dtypes:
        pytest.skip("not a dtype of this problem")
    found = []
    for index in range(3):
        _, shape, values = inputs_at(name, index, dtype)
        got = run_torch(problem.reference("torch", dtype), problem, shape, dtype, rounded(values, LOWER[dtype]))
        found += wrong_outputs(problem, dtype, got, problem.cpu_reference(*values))
    assert found != []


# With this seed a row of hundreds of entries sums to little, and its partial sums are large.
@pytest.mark.parametrize(("name", "seed"), [*((name, 21) for name in names()), ("spmv", 5_019_631)])
def test_an_exact_program_is_far_inside_the_tolerance(name: str, seed: int) -> None:
    """The CPU reference's own roundings leave at least half of the tolerance to the program."""
    for index in range(3):
        problem, _, values = inputs_at(name, index, seed=seed)
        doubles = [v.astype(np.float64) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for v in values]
        level = problem.tolerance("fp32")
        half = Tolerance(level.rtol / 2, level.atol / 2, level.reason)
        pairs = zip(problem.cpu_reference(*doubles), problem.cpu_reference(*values), strict=True)
        found = [compare(exact, want, half) for exact, want in pairs]
        assert not any(found), (index, found)


@pytest.mark.parametrize("name", ["gram", "atb", "causal_attention", "conv_relu_pool", "train_linear", "train_mlp"])
def test_tf32_products_are_wrong_in_fp32(name: str) -> None:
    """Inputs cut to TF32's ten bits of fraction, as tensor cores take them."""
    problem, shape, values = inputs_at(name, 2)

    def cut(v):
        if not isinstance(v, np.ndarray) or v.dtype != np.float32:
            return v
        return (v.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)

    got = run_torch(problem.reference("torch", "fp32"), problem, shape, "fp32", [cut(v) for v in values])
    assert wrong_outputs(problem, "fp32", got, problem.cpu_reference(*values)) != []


@pytest.mark.parametrize("name", names())
def test_tolerances_have_reasons_and_shrink_with_precision(name: str) -> None:
    problem = get(name)
    levels = [problem.tolerance(d) for d in problem.dtypes]
    assert all(level.reason and level.rtol >= 0 and level.atol >= 0 for level in levels)
    if {"fp64", "fp32"} <= set(problem.dtypes):
        assert problem.tolerance("fp64").atol <= problem.tolerance("fp32").atol
        assert problem.tolerance("fp64").rtol <= problem.tolerance("fp32").rtol


def test_compare() -> None:
    loose = Tolerance(0.1, 0.01, "for the test")
    want = np.array([[1.0, 2.0], [0.0, np.inf]])
    assert compare(np.array([[1.1, 1.9], [0.01, np.inf]]), want, loose) is None
    wrong = compare(np.array([[1.2, 1.9], [0.5, np.inf]]), want, loose)
    assert wrong is not None
    assert (wrong.index, wrong.got, wrong.want, wrong.wrong, wrong.size) == ((1, 0), 0.5, 0.0, 2, 4)
    assert wrong.relative == np.inf
    assert "2 of 4" in str(wrong)
    for bad in (np.nan, np.inf, -np.inf):
        got = want.copy()
        got[0, 0] = bad
        found = compare(got, want, loose)
        assert found is not None
        assert found.index == (0, 0)
    assert compare(np.array([[1.0, 2.0], [0.0, 7.0]]), want, loose) is not None
    whole = np.array([1, 2, 3])
    assert compare(whole, whole, loose) is None
    off = compare(np.array([1, 2, 4]), whole, loose)
    assert off is not None
    assert off.index == (2,)
    with pytest.raises(ValueError, match="shape"):
        compare(whole, whole[:2], loose)


def test_compare_spans_blocks() -> None:
    want = np.zeros((1 << 22) + 10, dtype=np.float32)
    got = want.copy()
    got[3], got[-1] = 1.0, 2.0
    found = compare(got, want, Tolerance(0.0, 0.5, "for the test"))
    assert found is not None
    assert (found.index, found.wrong) == (((1 << 22) + 9,), 2)
