"""Programs judged end to end over shared host memory: everything but CUDA itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator.core.execution import Job, Preparation
from orchestrator.core.problems import GpuTests, Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from tasks.gpu import load
from tests.execute.gpu.conftest import Judge

RIGHT = "import torch\n\ndef solve(x, out):\n    torch.softmax(x, -1, out=out)\n"


def body(*lines: str) -> str:
    """A program whose ``solve`` has these lines."""
    return "import os, sys, time, torch\n\ndef solve(x, out):\n" + "".join(f"    {line}\n" for line in lines)


def test_prepare_passes_the_reference_and_records_the_size(prepared: Preparation) -> None:
    assert prepared.verdict is Verdict.PASSED, prepared.reason
    recording = json.loads(prepared.recording)
    assert recording["scale"] > 0
    assert set(recording["dims"]) == {"rows", "cols"}


def test_a_reference_is_timed_against_itself_in_its_own_dialect(
    executor: GpuExecutor, prepared: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if on a card, where that is done; the programs run here, and Triton's could not.
    monkeypatch.setattr(executor, "_settings", replace(executor._settings, device="gpu"))
    asked = next(p for p in load(dtype="fp32", dialect="triton").problems if p.id == "gpu/softmax")
    asked = replace(asked, limits=replace(asked.limits, wall_s=60.0))
    assert isinstance(asked.scoring, GpuTests)
    # Long enough to have a time on a busy machine too.
    recording = json.loads(prepared.recording) | {"scale": 0.25}
    assert "scatter" not in recording
    executor._learn_scatter(asked, asked.scoring, 0, recording)
    assert recording["scatter"] >= 0.0
    judged, known = len(executor.session.phases), dict(recording)
    executor._learn_scatter(asked, asked.scoring, 0, recording)
    assert (len(executor.session.phases), recording) == (judged, known)


# Longer than the clock's resolution, on a busy machine too.
LONG = body("for _ in range(600):", "    torch.softmax(x, -1, out=out)")


def test_right_program_passes_with_times(judge: Judge) -> None:
    done = judge(LONG)
    assert done.verdict is Verdict.PASSED
    assert done.reason == ""
    assert done.gpu is not None
    assert done.gpu.time_s is not None
    assert done.gpu.time_low_s is not None
    assert done.gpu.time_high_s is not None
    assert 0 < done.gpu.time_low_s <= done.gpu.time_high_s
    assert done.gpu.rounds == 3
    assert done.gpu.bound == "memory"
    assert done.gpu.joules is None
    assert done.gpu.shape.startswith("rows=")
    assert done.wall_s is not None
    assert done.lease_s >= done.wall_s > 0


def test_scoring_tells_nothing_for_the_model(judge: Judge) -> None:
    done = judge(body("print('seen')", "out.zero_()"))
    assert done.verdict is Verdict.WRONG_ANSWER
    assert done.gpu_feedback is None
    assert done.output == ""


def test_an_oracle_is_told_of_scoring_tests_what_feedback_tells(judge: Judge) -> None:
    wrong = judge(body("print('seen')", "torch.softmax(x, -1, out=out)", "out[0, 0] = 7.0"), tell=True)
    assert wrong.verdict is Verdict.WRONG_ANSWER
    assert wrong.gpu_feedback is not None
    assert "worst at [0, 0]: got 7," in wrong.gpu_feedback.lines[0]
    assert wrong.output.startswith("seen")
    right = judge(LONG, tell=True)
    assert right.gpu_feedback is not None
    assert "One call takes" in right.gpu_feedback.lines[0]


def test_feedback_names_the_worst_mismatch(judge: Judge) -> None:
    done = judge(body("print('seen')", "torch.softmax(x, -1, out=out)", "out[0, 0] = 7.0"), tests="feedback")
    assert done.verdict is Verdict.WRONG_ANSWER
    assert done.gpu_feedback is not None
    assert done.gpu_feedback.phase == "check"
    assert "worst at [0, 0]: got 7," in done.gpu_feedback.lines[0]
    assert "1 of " in done.gpu_feedback.lines[0]
    assert done.output.startswith("seen")


def test_feedback_of_a_right_program_has_its_time_and_its_bound(judge: Judge) -> None:
    done = judge(LONG, tests="feedback")
    assert done.gpu_feedback is not None
    assert done.gpu_feedback.phase == "time"
    text = "\n".join(done.gpu_feedback.lines)
    assert "One call takes" in text
    assert "bound by memory" in text


def test_feedback_of_an_exception_has_the_programs_own_frames(judge: Judge) -> None:
    done = judge("def helper(x):\n    return x.nonsense\n\ndef solve(x, out):\n    helper(x)\n", tests="feedback")
    assert done.verdict is Verdict.ERROR
    assert done.reason.startswith("AttributeError: ")
    assert done.gpu_feedback is not None
    lines = done.gpu_feedback.lines
    assert done.gpu_feedback.phase == "run"
    assert lines[-1] == "  line 2, in helper: return x.nonsense"
    assert all("orchestrator" not in line for line in lines)


@pytest.mark.parametrize(
    ("program", "verdict", "reason"),
    [
        ("def solve(x, out:\n    pass\n", Verdict.ERROR, "SyntaxError"),
        ("import torch\n", Verdict.ERROR, "MissingEntryPoint"),
        ("raise ValueError('at once')\n", Verdict.ERROR, "ValueError: at once"),
        (body("os._exit(0)"), Verdict.ERROR, "exited with status 0"),
        (body("sys.exit(0)"), Verdict.ERROR, "SystemExit"),
        (body("os.kill(os.getpid(), 11)"), Verdict.ERROR, "killed by SIGSEGV"),
        (body("raise MemoryError('none left')"), Verdict.OUT_OF_MEMORY, "MemoryError: none left"),
        (body("pass"), Verdict.WRONG_ANSWER, "never written"),
        (body("out.copy_(torch.softmax(x.half(), -1))"), Verdict.WRONG_ANSWER, "elements wrong"),
        (body("out = torch.softmax(x, -1)"), Verdict.WRONG_ANSWER, "never written"),
        (body("out.data = torch.softmax(x, -1)"), Verdict.WRONG_ANSWER, "never written"),
        (body("torch.softmax(x, -1, out=out)", "x[0, 0] += 1"), Verdict.REJECTED, "changed one of its inputs"),
        (
            body("torch.softmax(x, -1, out=out)", "out.as_strided((out.numel() + 1,), (1,))[-1] = 1.0"),
            Verdict.REJECTED,
            "outside of its arrays",
        ),
        ("import cupy\n\ndef solve(x, out):\n    pass\n", Verdict.REJECTED, "imports cupy"),
        ('extern "C" __global__ void solve() {}\n', Verdict.REJECTED, "CUDA C++ source where a torch program"),
    ],
)
def test_verdicts(judge: Judge, program: str, verdict: Verdict, reason: str) -> None:
    done = judge(program)
    assert (done.verdict, reason in done.reason) == (verdict, True), done.reason


MEMO_BY_ADDRESS = """
import torch
SEEN = {}

def solve(x, out):
    key = (x.data_ptr(), x.shape)
    if key not in SEEN:
        SEEN[key] = torch.softmax(x, -1)
    out.copy_(SEEN[key])
"""

MEMO_BY_IDENTITY = MEMO_BY_ADDRESS.replace("(x.data_ptr(), x.shape)", "(id(x), x.shape)")

ONE_SHAPE = """
import torch
SHAPE = None

def solve(x, out):
    global SHAPE
    SHAPE = SHAPE or x.shape
    if x.shape == SHAPE:
        torch.softmax(x, -1, out=out)
"""

PATCHED_CLOCKS = """
import time, torch
time.perf_counter = time.perf_counter_ns = time.monotonic = lambda *a: 0
torch.allclose = torch.equal = lambda *a, **k: True

def solve(x, out):
    out.fill_(0.5)
"""

FORGED_MESSAGES = """
import os, json

def solve(x, out):
    for fd in range(3, 64):
        for message in ({"loaded": 0.1}, {"set": True}, {"idle": True}, {"outcome": "passed"}):
            try:
                os.write(fd, json.dumps(message).encode())
            except OSError:
                pass
"""

LATER = """
import threading, torch

def solve(x, out):
    threading.Timer(0.02, lambda: torch.softmax(x, -1, out=out)).start()
"""

JOINED_THREAD = """
import threading, torch

def solve(x, out):
    t = threading.Thread(target=lambda: torch.softmax(x, -1, out=out))
    t.start()
    t.join()
"""

READS_THE_TESTS = """
import glob, os, sys, torch

def solve(x, out):
    roots = [p for p in sys.path if p]
    found = [f for r in roots for f in glob.glob(os.path.join(r, "tasks", "gpu", "problems", "*.py"))]
    assert not any(open(f).read() for f in found)
    torch.softmax(x, -1, out=out)
"""


@pytest.mark.parametrize(
    ("program", "verdicts"),
    [
        (MEMO_BY_ADDRESS, {Verdict.WRONG_ANSWER}),
        (MEMO_BY_IDENTITY, {Verdict.WRONG_ANSWER}),
        (ONE_SHAPE, {Verdict.WRONG_ANSWER}),
        (PATCHED_CLOCKS, {Verdict.WRONG_ANSWER}),
        (FORGED_MESSAGES, {Verdict.WRONG_ANSWER, Verdict.ERROR}),
        (LATER, {Verdict.WRONG_ANSWER}),
        (JOINED_THREAD, {Verdict.PASSED}),
    ],
    ids=["address", "identity", "one-shape", "clocks", "forged", "later", "joined"],
)
def test_games(judge: Judge, program: str, verdicts: set[Verdict]) -> None:
    assert judge(program).verdict in verdicts
    # What one program did must not show in the next one's verdict.
    assert judge(RIGHT).verdict is Verdict.PASSED


def test_timeout_is_provisional_unless_alone(judge: Judge) -> None:
    endless = body("while True: pass")
    first = judge(endless, wall_s=1.0)
    assert (first.verdict, first.provisional) == (Verdict.TIMEOUT, True)
    assert "wall" in first.reason
    assert judge(endless, wall_s=1.0, alone=True).provisional is False
    assert judge(RIGHT).verdict is Verdict.PASSED


BURNS = "import time\nbegan = time.process_time()\nwhile time.process_time() - began < 5:\n    pass\n"


def test_processor_time_is_capped(judge: Judge) -> None:
    done = judge(BURNS + RIGHT, cpu_s=2.0)
    assert (done.verdict, done.provisional) == (Verdict.TIMEOUT, True)
    assert done.reason == "timeout (cpu): used more than 2 s of CPU time"
    assert judge(BURNS + RIGHT, alone=True, cpu_s=2.0).provisional is False
    # No more than the program's own: waiting is free, and so is what it does while it is timed.
    assert judge("import time\ntime.sleep(2.5)\n" + RIGHT, cpu_s=2.0).verdict is Verdict.PASSED


def test_processor_time_of_timed_calls_is_judged_by_their_speed(judge: Judge) -> None:
    slow = body(
        "began = time.process_time()",
        "while x.shape[1] == 4096 and time.process_time() - began < 0.5: pass",
        "torch.softmax(x, -1, out=out)",
    )
    done = judge(slow, cpu_s=2.0)
    assert done.verdict is Verdict.PASSED, done.reason
    assert done.cpu_s is not None
    assert done.cpu_s > 2.0


def test_host_memory_is_capped(judge: Judge) -> None:
    done = judge(body("keep = [torch.ones(1 << 26) for _ in range(64)]"), memory_bytes=2 << 30)
    assert done.verdict is Verdict.OUT_OF_MEMORY


def test_output_is_capped(judge: Judge) -> None:
    lines = ("print('x' * 5_000_000)", "torch.softmax(x, -1, out=out)")
    done = judge(body(*lines), tests="feedback", output_bytes=1000)
    assert done.verdict is Verdict.PASSED
    assert len(done.output) <= 2000


def test_programs_cannot_read_this_projects_problems(executor: GpuExecutor, judge: Judge) -> None:
    if "Landlock" in executor.isolation or "seccomp" in executor.isolation:
        pytest.skip(f"not confined here: {executor.isolation}")
    done = judge(READS_THE_TESTS)
    assert done.verdict in {Verdict.PASSED, Verdict.ERROR}, done.reason
    assert done.verdict is Verdict.PASSED or "PermissionError" in done.reason


def test_programs_cannot_reach_the_network(executor: GpuExecutor, judge: Judge) -> None:
    if executor.isolation != "full":
        pytest.skip(f"not confined here: {executor.isolation}")
    lines = ("import socket", "socket.create_connection(('127.0.0.1', 9), 1)")
    done = judge(body(*lines))
    assert done.verdict is Verdict.ERROR
    assert "PermissionError" in done.reason


def test_other_dialects_need_a_card(executor: GpuExecutor, problem: Problem) -> None:
    triton = replace(problem, public=replace(problem.public, dialect="triton"))
    made = executor.prepare(triton, 0)
    assert made.verdict is Verdict.INFRASTRUCTURE
    assert "need a card" in made.reason


def test_staging_gives_the_same_verdicts_and_close_leaves_nothing(tmp_path: Path, problem: Problem) -> None:
    settings = GpuExecutorSettings(
        device="cpu",
        isolation="none",
        sharing="host",
        spares=1,
        timing_budget_s=0.05,
        min_rounds=3,
        max_rounds=3,
        cpu_reference_limit_s=0.0,
        scratch_dir=str(tmp_path),
    )
    others = {child.pid for child in psutil.Process().children()}
    executor = GpuExecutor(settings)
    try:
        prepared = executor.prepare(problem, 0)
        verdicts = [
            executor.run(problem, prepared, Job(problem.id, source, "scoring", 0, problem.limits)).verdict
            for source in (RIGHT, body("pass"), MEMO_BY_ADDRESS)
        ]
    finally:
        executor.close()
    assert verdicts == [Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.WRONG_ANSWER]
    assert list(tmp_path.iterdir()) == []
    # Only what this process started itself: the other executor's zygote may be arming a spare.
    assert {child.pid for child in psutil.Process().children()} <= others
