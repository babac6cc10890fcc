"""The suite as the rest of the program sees it, and the prompts."""

from __future__ import annotations

import pytest

from orchestrator.core.problems import GpuTests
from tasks.gpu import get, load, names
from tasks.gpu.problem import DIALECTS, DTYPES, ArraySpec, ScalarSpec
from tasks.gpu.prompt import cuda_signature

ALL_SUITES = [(dialect, dtype) for dialect in DIALECTS for dtype in DTYPES]


def test_defaults() -> None:
    suite = load()
    assert (suite.name, suite.dtype, suite.dialect, suite.left_out) == ("gpu", "fp32", "torch", ())
    assert [p.id for p in suite.problems] == [f"gpu/{n}" for n in names()]
    assert {p.public.dialect for p in suite.problems} == {"torch"}
    assert suite.max_tokens == 4096


@pytest.mark.parametrize(("dialect", "dtype"), ALL_SUITES)
def test_every_problem_is_in_or_left_out_with_a_reason(dialect: str, dtype: str) -> None:
    suite = load(dialect=dialect, dtype=dtype)
    inside = {p.id.removeprefix("gpu/") for p in suite.problems}
    outside = {left.name: left.reason for left in suite.left_out}
    assert inside | set(outside) == set(names())
    assert not inside & set(outside)
    assert all(outside.values())
    for name in outside:
        assert not get(name).supports(dialect, dtype)


def test_a_dtype_and_dialect_that_leave_nothing_are_told_with_what_would_be_right() -> None:
    cupy = load(dialect="cupy", dtype="bf16")
    assert cupy.problems == ()
    assert cupy.why_empty == (
        "no problem comes in suite.dtype=bf16 with suite.dialect=cupy; cupy has fp64, fp32, fp16;"
        " bf16 comes with torch, triton, cuda"
    )
    assert {left.name: left.reason for left in cupy.left_out}["atb"] == (
        "comes in fp64, fp32, fp16 with cupy, not in bf16"
    )
    # Where no dialect has the dtype there is nothing to say of others.
    assert load(dialect="triton", dtype="bf16", level=3).why_empty.endswith("suite.dialect=triton; triton has fp32")
    assert load(dialect="triton", dtype="bf16").why_empty == ""


def test_levels() -> None:
    by_level = [load(level=level).problems for level in (1, 2, 3)]
    assert [len(problems) for problems in by_level] == [11, 8, 12]
    assert sum(by_level, ()) == load().problems


@pytest.mark.parametrize("bad", [{"dtype": "fp8"}, {"dialect": "opencl"}, {"level": 4}, {"level": 0}], ids=str)
def test_unknown_choices_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        load(**bad)


def test_feedback_is_drawn_afresh_and_kinds_are_kept_apart() -> None:
    for problem in load(dtype="fp64").problems:
        scoring, feedback = problem.scoring, problem.feedback
        assert isinstance(scoring, GpuTests)
        assert isinstance(feedback, GpuTests)
        assert (scoring.kind, feedback.kind) == ("scoring", "feedback")
        assert not set(scoring.seeds) & set(feedback.seeds)
        assert len(set(scoring.seeds)) >= 3
        assert scoring.dtype == feedback.dtype == "fp64"
        assert scoring.name == problem.id.removeprefix("gpu/")


def test_digests_tell_suites_apart_and_stay_the_same() -> None:
    digests = {load(dialect=dialect, dtype=dtype).digest for dialect, dtype in ALL_SUITES}
    assert len(digests) == len(ALL_SUITES)
    assert load().digest == load().digest
    one = load().problems[0]
    assert isinstance(one.scoring, GpuTests)
    assert len(one.scoring.version) == 64


@pytest.mark.parametrize(("dialect", "dtype"), ALL_SUITES)
def test_prompts_name_everything(dialect: str, dtype: str) -> None:
    for problem in load(dialect=dialect, dtype=dtype).problems:
        prompt = problem.public.prompt
        trusted = get(problem.id)
        shape = trusted.shapes(8 << 30)[0]
        assert trusted.task.strip() in prompt
        assert f"in {dtype}." in prompt
        tolerance = trusted.tolerance(dtype)
        assert f"{tolerance.atol:g} + {tolerance.rtol:g} * |want|" in prompt
        assert tolerance.reason in prompt
        for spec in (*trusted.inputs(shape, dtype), *trusted.outputs(shape, dtype)):
            assert f"`{spec.name}`" in prompt
            if isinstance(spec, ArraySpec):
                assert spec.element in prompt
        for size in trusted.sizes:
            assert f"`{size}` = " in prompt
        if dialect == "cuda":
            assert cuda_signature(trusted, dtype) in prompt
            assert "// launch: solve(grid=" in prompt
            assert "```cuda" in prompt
        else:
            names_ = ", ".join([*(s.name for s in trusted.inputs(shape, dtype)), "out"])
            assert f"`solve({names_})`" in prompt
            assert "```python" in prompt
        if any(isinstance(s, ArraySpec) and s.host for s in trusted.inputs(shape, dtype)):
            assert "host memory" in prompt


def test_prompts_hold_no_size_of_a_test_and_no_hardware() -> None:
    for problem in load().problems:
        prompt = problem.public.prompt
        for shape in get(problem.id).shapes(8 << 30):
            large = {str(v) for v in shape.dims.values() if v >= 1000 and v not in (4096, 1024)}
            assert not [v for v in large if v in prompt], problem.id
        for word in ("RTX", "H100", "GB/s", "TFLOP", "seed 1009", "1009", "40009"):
            assert word not in prompt


def test_cuda_signatures_match_the_references() -> None:
    """The first kernel of each reference takes a prefix of the parameters that the prompt promises."""
    import re

    for name in names():
        problem = get(name)
        if "cuda" not in problem.references:
            continue
        signature = cuda_signature(problem, "fp32")
        promised = [p.split() for p in signature.split(", ")]
        shape = problem.shapes(8 << 30)[0]
        scalars = [s.name for s in problem.inputs(shape, "fp32") if isinstance(s, ScalarSpec)]
        assert [p[-1] for p in promised if p[0] == "double"] == [
            s.name for s in problem.inputs(shape, "fp32") if isinstance(s, ScalarSpec) and s.kind == "float"
        ]
        assert len({p[-1] for p in promised}) == len(promised), (name, scalars)
        for parameters in re.findall(
            r'extern "C" __global__ void \w+\(([^)]*)\)', problem.reference("cuda", "fp32")
        ):
            taken = [p.split() for p in " ".join(parameters.split()).split(", ")]
            assert len(taken) <= len(promised), name
            for mine, theirs in zip(taken, promised, strict=False):
                assert ("*" in "".join(mine)) == ("*" in "".join(theirs)), (name, mine, theirs)
                if "*" not in "".join(mine):
                    assert mine[:-1] == theirs[:-1], (name, mine, theirs)


def test_only_programs_that_tune_may_keep_the_host_busy_for_minutes() -> None:
    limits = {dialect: {p.limits.cpu_s for p in load(dialect=dialect).problems} for dialect in DIALECTS}
    assert limits == {"torch": {60.0}, "cupy": {60.0}, "triton": {180.0}, "cuda": {60.0}}
