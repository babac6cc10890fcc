"""One executor without a card for all tests of this folder: starting it means importing torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Problem
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from tasks.gpu import load

Judge = Callable[..., Execution]


@pytest.fixture(scope="session")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuExecutor]:
    """Over shared host memory, confined as well as this machine can."""
    made = GpuExecutor(
        GpuExecutorSettings(
            device="cpu",
            isolation="none",
            timing_budget_s=0.05,
            min_rounds=3,
            max_rounds=3,
            cpu_reference_limit_s=0.0,
            scratch_dir=str(tmp_path_factory.mktemp("scratch")),
        )
    )
    yield made
    made.close()


@pytest.fixture(scope="session")
def problem() -> Problem:
    """Softmax in float32: small, and every element of the output depends on a whole row."""
    found = next(p for p in load(dtype="fp32", dialect="torch").problems if p.id == "gpu/softmax")
    return replace(found, limits=replace(found.limits, wall_s=60.0))


@pytest.fixture(scope="session")
def prepared(executor: GpuExecutor, problem: Problem) -> Preparation:
    """The problem's preparation."""
    return executor.prepare(problem, 0)


@pytest.fixture(scope="session")
def judge(executor: GpuExecutor, problem: Problem, prepared: Preparation) -> Judge:
    """Judge a program: ``judge(source, tests="scoring", **limits)``."""

    def run(
        source: str, tests: str = "scoring", alone: bool = False, tell: bool = False, **limits: int | float
    ) -> Execution:
        allowed = replace(problem.limits, **limits)  # type: ignore[arg-type]
        job = Job(problem.id, source, tests, 0, allowed, alone, tell)  # type: ignore[arg-type]
        return executor.run(problem, prepared, job)

    return run
