"""The parts that need a card: contexts, IPC, every dialect, the cap on memory, recovery, energy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.nvml import CardWatch
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from tasks.gpu import load

pytestmark = pytest.mark.gpu

CAP = 8 * 10**9


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuExecutor]:
    """One executor on the first card, of whose memory 8 GB may be used."""
    made = GpuExecutor(
        GpuExecutorSettings(
            memory_cap_bytes=CAP,
            timing_budget_s=0.2,
            min_rounds=7,
            max_rounds=15,
            energy_window_s=2.0,
            cpu_reference_limit_s=5.0,
            scratch_dir=str(tmp_path_factory.mktemp("card")),
        )
    )
    yield made
    made.close()


def problem_of(dialect: str, name: str = "softmax", dtype: str = "fp32") -> Problem:
    found = next(p for p in load(dtype=dtype, dialect=dialect).problems if p.id == f"gpu/{name}")
    return replace(found, limits=replace(found.limits, wall_s=60.0))


@pytest.fixture(scope="module")
def prepared(card: GpuExecutor) -> Preparation:
    """Softmax, sized for this card."""
    return card.prepare(problem_of("torch"), 0)


@pytest.fixture(scope="module")
def judge(card: GpuExecutor, prepared: Preparation) -> Callable[..., Execution]:
    """Judge a program on softmax: ``judge(dialect, source, tests="feedback", wall_s=60.0)``."""

    def run(dialect: str, source: str, tests: str = "feedback", wall_s: float = 60.0) -> Execution:
        problem = problem_of(dialect)
        limits = replace(problem.limits, wall_s=wall_s)
        return card.run(problem, prepared, Job(problem.id, source, tests, 0, limits))  # type: ignore[arg-type]

    return run


def test_the_cpu_reference_is_timed_and_the_size_respects_the_cap(prepared: Preparation) -> None:
    assert prepared.verdict is Verdict.PASSED, prepared.reason
    assert b'"cpu_reference_s": ' in prepared.recording
    assert b'"cpu_reference_s": null' not in prepared.recording


@pytest.mark.parametrize("dialect", ["torch", "cupy", "triton", "cuda"])
def test_every_dialect_passes_with_times(judge: Callable[..., Execution], dialect: str) -> None:
    done = judge(dialect, problem_of(dialect).reference)
    assert done.verdict is Verdict.PASSED, done.reason
    assert done.gpu is not None
    assert done.gpu.time_s is not None
    assert done.gpu.reference_time_s is not None
    assert done.gpu.roofline_share is not None
    assert 0 < done.gpu.roofline_share < 1.2
    assert done.gpu.sm_clock_mhz
    assert done.gpu.peak_memory_bytes is not None
    assert done.gpu.peak_memory_bytes <= CAP


def test_energy_is_measured_on_scoring_inputs_only(judge: Callable[..., Execution]) -> None:
    source = problem_of("torch").reference
    scored = judge("torch", source, "scoring")
    assert scored.gpu is not None
    assert scored.gpu.joules is not None
    assert scored.gpu.joules > 0
    assert scored.gpu.joules_per_call is not None
    shown = judge("torch", source, "feedback")
    assert shown.gpu is not None
    assert shown.gpu.joules is None


@pytest.mark.parametrize(
    ("dialect", "source", "verdict", "phase"),
    [
        (
            "cuda",
            "// launch: solve(grid=(1), block=(1))\nextern __global__ void solve(",
            Verdict.ERROR,
            "compile",
        ),
        (
            "cuda",
            "// launch: solve(grid=(1), block=(1))\n"
            'extern "C" __global__ void solve(const float* x, float* out) { ((volatile int*)0)[0] = 1; }\n',
            Verdict.ERROR,
            "run",
        ),
        (
            "cuda",
            "// launch: solve(grid=(1), block=(1))\n"
            'extern "C" __global__ void solve(const float* x, float* out) { while (clock64() != -1); }\n',
            Verdict.TIMEOUT,
            "run",
        ),
        (
            "torch",
            "import torch\ndef solve(x, out):\n    keep = torch.empty(1 << 34, dtype=torch.uint8, device='cuda')\n",
            Verdict.OUT_OF_MEMORY,
            "run",
        ),
        (
            "cupy",
            "import cupy\ndef solve(x, out):\n    cupy.cuda.runtime.malloc(40 << 30)\n    while True: pass\n",
            Verdict.OUT_OF_MEMORY,
            "run",
        ),
    ],
    ids=["compile", "illegal-access", "endless-kernel", "pool-over-cap", "raw-over-cap"],
)
def test_trouble_is_told_and_the_next_program_is_judged_as_ever(
    card: GpuExecutor, judge: Callable[..., Execution], *, dialect: str, source: str, verdict: Verdict, phase: str
) -> None:
    watch = CardWatch("")
    reference = problem_of("torch").reference
    assert judge("torch", reference).verdict is Verdict.PASSED
    card.session.settle()
    baseline = watch.used()
    done = judge(dialect, source, wall_s=5.0 if verdict is Verdict.TIMEOUT else 60.0)
    assert done.verdict is verdict, done.reason
    assert done.gpu_feedback is not None
    assert done.gpu_feedback.phase == phase
    assert done.gpu_feedback.lines
    assert judge("torch", reference).verdict is Verdict.PASSED
    card.session.settle()
    limit = time.monotonic() + 20
    while watch.used() > baseline + (192 << 20):
        assert time.monotonic() < limit, "the card's memory does not come back"
        time.sleep(0.05)
