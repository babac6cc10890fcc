"""compute-sanitizer and ncu on a card: a clean program, one that writes out of bounds, and counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from orchestrator.core.execution import Execution, Job
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu import tools
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from tasks.gpu import load

pytestmark = pytest.mark.gpu

Look = Callable[..., Execution]
BEYOND = """// launch: solve(grid=(rows), block=(32))
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {
    if (threadIdx.x == 0) out[rows * cols + blockIdx.x] = 1.0f;
}
"""


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """Judge a program on softmax with both tools: ``look(dialect, source)``."""
    lacking = tools.missing(list(tools.TOOLS))
    if lacking:
        pytest.skip(lacking)
    made = GpuExecutor(
        GpuExecutorSettings(
            isolation="none",
            tools=tuple(tools.TOOLS),
            timing_budget_s=0.1,
            min_rounds=5,
            max_rounds=5,
            energy_window_s=0.0,
            cpu_reference_limit_s=0.0,
            scratch_dir=str(tmp_path_factory.mktemp("tools")),
        )
    )

    def judge(dialect: str, source: str = "") -> Execution:
        problem = next(p for p in load(dtype="fp32", dialect=dialect).problems if p.id == "gpu/softmax")
        problem = replace(problem, limits=replace(problem.limits, wall_s=120.0))
        prepared = made.prepare(problem, 0)
        assert prepared.verdict is Verdict.PASSED, prepared.reason
        return made.run(
            problem, prepared, Job(problem.id, source or problem.reference, "feedback", 0, problem.limits)
        )

    yield judge
    made.close()


def lines_of(done: Execution) -> str:
    assert done.gpu_feedback is not None
    return "\n".join(done.gpu_feedback.lines)


def test_a_clean_program_is_said_to_be_clean_and_has_counters(look: Look) -> None:
    done = look("cuda")
    assert done.verdict is Verdict.PASSED, done.reason
    told = lines_of(done)
    assert "compute-sanitizer (memcheck): clean, 0 errors." in told, told
    assert "ncu, kernel" in told or "only administrators" in told, told


def test_a_write_beyond_the_output_is_found_with_its_place(look: Look) -> None:
    done = look("cuda", BEYOND)
    assert done.verdict is not Verdict.PASSED
    told = lines_of(done)
    assert "compute-sanitizer (memcheck) found" in told, told
    assert "Invalid __global__ write of size 4 bytes" in told, told
    assert "ncu" not in told
