"""What torch does during a call, seen as it is done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from orchestrator.core.execution import Execution, Job
from orchestrator.core.problems import Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.rules import violation
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from orchestrator.execute.gpu.watcher import LibraryCall, watched

X = torch.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda: torch.softmax(X, 1), "_softmax"),
        (lambda: X @ X.T, "mm"),
        (lambda: X.__matmul__(X.T), "mm"),
        (lambda: getattr(torch, "mat" + "mul")(X, X.T), "mm"),
        (lambda: torch.ops.aten.mm(X, X.T), "mm"),
        (lambda: torch._C._VariableFunctions.mm(X, X.T), "mm"),
        (lambda: 2 * X + 1, "mul"),
        (lambda: sum([X, X], X), "add"),
        (X.sum, "sum"),
        (lambda: torch.empty(4, 3).copy_(X.T), "copy_"),
        (X.T.contiguous, "clone"),
        (X.double, "_to_copy"),
        (lambda: X[torch.tensor([1, 0])], "index"),
        (lambda: torch.nn.functional.gelu(X), "gelu"),
    ],
)
def test_computing_is_seen_by_whatever_name(work: Callable[[], object], name: str) -> None:
    with pytest.raises(LibraryCall, match=f"torch computed {name} on the card"):
        watched(lambda: (work(), None)[1], "cpu")()


def test_allocating_clearing_viewing_and_plain_copies_are_not() -> None:
    def work() -> None:
        made = torch.empty_like(X)
        made.copy_(X)
        made.zero_()
        made[...] = 0
        torch.zeros(3)
        torch.full((2,), 1.5)
        X.clone().view(-1).reshape(2, 6)
        assert X.contiguous() is X
        assert X.T.stride() == (1, 4)
        assert float(X[1, 2].item()) == 6.0
        X.to("cpu", torch.float32)
        X[1:].unsqueeze(0)
        # One column lies as one row does.
        torch.empty(1, 4).copy_(torch.empty(4, 1).T)

    watched(work, "cpu")()


def test_small_tables_may_be_made_on_the_host() -> None:
    def work() -> None:
        sizes = torch.tensor([3, 4, 5])
        assert (sizes.cumsum(0) * 2).tolist() == [6, 14, 24]
        large = torch.zeros(5000)
        large.copy_(torch.ones(5000))
        large.view(50, 100)[3].clone()

    watched(work, "cuda")()


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda: 2.7 ** torch.ones(2000), "pow"),
        (lambda: torch.ones(2000).sum(), "sum"),
        (torch.ones(40, 50).T.contiguous, "clone"),
        (lambda: torch.ones(2000).double(), "_to_copy"),
    ],
)
def test_data_may_not_be_computed_on_the_host_instead(work: Callable[[], object], name: str) -> None:
    with pytest.raises(LibraryCall, match=f"torch computed {name} on the host outside"):
        watched(lambda: (work(), None)[1], "cuda")()


def test_watching_does_not_bring_in_torchs_compiler() -> None:
    program = (
        "import sys, torch\nfrom orchestrator.execute.gpu.watcher import watched\nbefore = set(sys.modules)\n"
        "watched(lambda: (torch.zeros(3).view(-1), None)[1], 'cpu')()\n"
        "print([name for name in set(sys.modules) - before if 'dynamo' in name or 'inductor' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_an_exception_of_the_program_is_its_own() -> None:
    def work() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        watched(work, "cpu")()


STAND_IN = '''"""Enough of Triton to load a program: a kernel is a function that is called as it stands."""


class jit:
    def __init__(self, function):
        self._function = function

    def __getitem__(self, grid):
        return self._function
'''
KERNEL = """import torch
import triton

CALLS = []

@triton.jit
def kernel(x, out):
    out.copy_(x)
"""


@pytest.fixture(scope="module")
def judge_triton(
    tmp_path_factory: pytest.TempPathFactory, problem: Problem
) -> Iterator[Callable[[str], Execution]]:
    """Judge a program as one in Triton, over host memory, with a stand-in for Triton."""
    package = tmp_path_factory.mktemp("packages")
    (package / "triton.py").write_text(STAND_IN)
    for folder in (package, *list(package.parents)[:2]):
        folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(package))
        made = GpuExecutor(
            GpuExecutorSettings(
                device="cpu",
                isolation="none",
                timing_budget_s=0.02,
                min_rounds=4,
                max_rounds=4,
                cpu_reference_limit_s=0.0,
                scratch_dir=str(tmp_path_factory.mktemp("watched")),
            )
        )
    prepared = made.prepare(problem, 0)
    assert prepared.verdict is Verdict.PASSED, prepared.reason
    as_triton = replace(problem, public=replace(problem.public, dialect="triton"))

    def judge(source: str) -> Execution:
        return made.run(as_triton, prepared, Job(problem.id, source, "feedback", 0, problem.limits))

    yield judge
    made.close()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("out.copy_((x.T + 0).T)", "add"),
        ("out.copy_(2.718281828459045 ** x)", "pow"),
        ("out.copy_(sum([x, x]))", "add"),
    ],
)
def test_a_program_whose_text_is_clean_is_rejected_when_it_runs(
    judge_triton: Callable[[str], Execution], line: str, name: str
) -> None:
    program = f"{KERNEL}\ndef solve(x, out):\n    kernel[(1,)](x, out)\n    {line}\n"
    assert violation(program, "triton", "solve") is None
    done = judge_triton(program)
    assert done.verdict is Verdict.REJECTED, done.reason
    assert f"torch computed {name} on the card" in done.reason
    assert done.gpu_feedback is not None
    assert done.gpu_feedback.lines[0].startswith("Not allowed: torch computed")


def test_what_torch_computes_while_the_program_is_loaded_is_seen(judge_triton: Callable[[str], Execution]) -> None:
    done = judge_triton(f"{KERNEL}\nTABLE = torch.arange(9) * 2\ndef solve(x, out): kernel[(1,)](x, out)\n")
    assert done.verdict is Verdict.REJECTED, done.reason


def test_a_program_that_is_only_wrong_is_only_wrong(judge_triton: Callable[[str], Execution]) -> None:
    # Its "kernel" is a plain copy here, which is let through, and the result is no softmax.
    done = judge_triton(f"{KERNEL}\ndef solve(x, out): kernel[(1,)](x, torch.empty_like(out)); out.zero_()\n")
    assert done.verdict is Verdict.WRONG_ANSWER, done.reason
