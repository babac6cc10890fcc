"""Reference programs through the executor: the whole suite on a card, the torch dialect without one."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.core.execution import Job
from orchestrator.core.problems import Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from tasks.gpu import load
from tasks.gpu.problem import DIALECTS, DTYPES

RTX_4060_BYTES = 8 << 30


def problems(dialects: tuple[str, ...], dtypes: tuple[str, ...]) -> list[Problem]:
    """One problem after the other, its dtypes and dialects together, so that each is opened once."""
    found = [p for dtype in dtypes for dialect in dialects for p in load(dtype=dtype, dialect=dialect).problems]
    return sorted(found, key=lambda p: (p.id, p.scoring.dtype))  # type: ignore[union-attr]


def named(found: list[Problem]) -> dict:
    return {
        "argvalues": found,
        "ids": [f"{p.id.removeprefix('gpu/')}-{p.public.dialect}-{p.scoring.dtype}" for p in found],  # type: ignore[union-attr]
    }


def check(executor: GpuExecutor, problem: Problem) -> None:
    """Preparation judges the reference on both kinds of tests, all seeds; then once more with timed rounds."""
    prepared = executor.prepare(problem, 0)
    assert prepared.verdict is Verdict.PASSED, prepared.reason
    done = executor.run(problem, prepared, Job(problem.id, problem.reference, "scoring", 0, problem.limits))
    assert done.verdict is Verdict.PASSED, done.reason


@pytest.fixture(scope="module")
def host() -> Iterator[GpuExecutor]:
    made = GpuExecutor(
        GpuExecutorSettings(
            device="cpu",
            isolation="none",
            timing_budget_s=0.02,
            min_rounds=2,
            max_rounds=2,
            cpu_reference_limit_s=0.0,
        )
    )
    yield made
    made.close()


_FEW = ("row_reduce", "top_k", "spmv", "train_linear", "deduplicate")
"""What differs most in what goes in and out: several outputs, integers, scalars, host memory."""


@pytest.mark.parametrize(
    "problem", **named([p for p in problems(("torch",), ("fp32",)) if p.id.removeprefix("gpu/") in _FEW])
)
def test_without_a_card(host: GpuExecutor, problem: Problem) -> None:
    check(host, problem)


@pytest.mark.slow
@pytest.mark.parametrize("problem", **named(problems(("torch",), DTYPES)))
def test_all_without_a_card(host: GpuExecutor, problem: Problem) -> None:
    check(host, problem)


@pytest.fixture(scope="module", params=[None, RTX_4060_BYTES], ids=["whole", "8GB"])
def card(request: pytest.FixtureRequest) -> Iterator[GpuExecutor]:
    if not glob.glob("/dev/nvidia[0-9]*"):
        pytest.skip("no NVIDIA card here")
    made = GpuExecutor(
        GpuExecutorSettings(
            device="gpu",
            isolation="none",
            memory_cap_bytes=request.param,
            timing_budget_s=0.05,
            min_rounds=3,
            max_rounds=5,
            energy_window_s=0.0,
            cpu_reference_limit_s=0.0,
        )
    )
    yield made
    made.close()


_ON_CARD = ("row_reduce", "train_linear")
"""Those of the short run, in every dialect: several outputs and integers; scalars and inputs in host memory."""


@pytest.mark.gpu
@pytest.mark.parametrize(
    "problem", **named([p for p in problems(DIALECTS, ("fp32",)) if p.id.removeprefix("gpu/") in _ON_CARD])
)
def test_some_on_a_card(card: GpuExecutor, problem: Problem) -> None:
    check(card, replace(problem, limits=replace(problem.limits, wall_s=60.0)))


@pytest.mark.slow
@pytest.mark.parametrize("problem", **named(problems(DIALECTS, DTYPES)))
def test_all_on_a_card(card: GpuExecutor, problem: Problem) -> None:
    """Half an hour of a card: ``-m slow``, where one is; it is skipped elsewhere."""
    check(card, replace(problem, limits=replace(problem.limits, wall_s=120.0)))
