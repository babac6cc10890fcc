"""Nothing survives: whatever is killed, and whatever a program started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.execute import boxes
from orchestrator.execute.boxes import start_box, sweep
from orchestrator.execute.executor import ExecutorSettings, PythonExecutor
from orchestrator.execute.sandbox import process
from orchestrator.execute.settings import Mechanism
from tests.execute.programs import ADD, judge

# A program that leaves as much as it can: children in sessions of their own, with nothing of this in their names.
LEAVES = """
import os, signal, subprocess, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        time.sleep(1000)
subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
open(os.path.join(os.environ["TMPDIR"], "left"), "w").write("x" * 10000)
"""
SUPERVISOR = f"""
import sys
from tests.execute.programs import ADD, judge
from orchestrator.execute.executor import ExecutorSettings, PythonExecutor
executor = PythonExecutor(ExecutorSettings(scratch_base=sys.argv[1], without=frozenset(sys.argv[2:])))
print("started", flush=True)
judge(executor, ADD, {LEAVES!r} + "\\ndef add(a, b):\\n    time.sleep(1000)", prepare=False)
"""
SURROUNDINGS: list[frozenset[Mechanism]] = [frozenset(), frozenset({"namespaces"})]


@pytest.fixture(params=SURROUNDINGS, ids=["namespaces", "refused"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ExecutorSettings:
    """Settings whose boxes have their folders apart from everybody else's."""
    # Candidates of root's run as somebody else, who must be let in.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o011)
    return ExecutorSettings(scratch_base=str(tmp_path), without=request.param)


def until(condition: object, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def living(started: dict[int, int | None]) -> list[int]:
    """Which of these processes (by id and start) are still there, the dead that nobody waits for aside."""
    return [pid for pid, began in started.items() if began is not None and process.start_time(pid) == began]


def test_after_a_verdict(settings: ExecutorSettings) -> None:
    executor = PythonExecutor(settings)
    try:
        before = set(process.descendants(os.getpid()))
        execution = judge(executor, ADD, LEAVES + ADD.reference)
        assert execution.verdict == "passed"
        assert (execution.wall_s or 0) < 60
        # The next candidate is ready, and nothing else is new.
        assert until(lambda: len(set(process.descendants(os.getpid())) - before) <= 1)
        assert list(Path(settings.scratch_base or "").rglob("left")) == []
    finally:
        executor.close()


FILLS = """
import os, time
kept = []
try:
    for n in range(4):
        kept.append(open(f"{n}", "wb", buffering=0))
        UNLINK
        kept[-1].write(bytes(30 << 20))
except OSError:
    pass
time.sleep(0.3)
def add(a, b):
    return sum(os.fstat(file.fileno()).st_size for file in kept)
"""


@pytest.mark.parametrize("unlink", ["pass", 'os.unlink(f"{n}")'], ids=["named", "nameless"])
def test_scratch_space_is_bounded(settings: ExecutorSettings, unlink: str) -> None:
    executor = PythonExecutor(settings)
    try:
        execution = judge(executor, ADD, FILLS.replace("UNLINK", unlink))
        if settings.without:
            assert execution.reason == "more than 64 MiB in files, or 8192 of them"
        else:
            assert execution.verdict == "wrong_answer"
        small = "open('x', 'wb').write(bytes(20 << 20))\n" + ADD.reference
        assert judge(executor, ADD, small).verdict == "passed"
        assert list(Path(settings.scratch_base or "").rglob("x")) == []
    finally:
        executor.close()


def test_after_closing(settings: ExecutorSettings) -> None:
    before = {pid: process.start_time(pid) for pid in process.descendants(os.getpid())}
    executor = PythonExecutor(settings)
    judge(executor, ADD, LEAVES + ADD.reference)
    executor.close()
    left = {pid: process.start_time(pid) for pid in process.descendants(os.getpid()) if pid not in before}
    assert living(left) == []
    assert os.listdir(settings.scratch_base) == []


@pytest.mark.parametrize("victim", ["supervisor", "keeper", "inner"])
def test_after_a_kill(settings: ExecutorSettings, victim: str) -> None:
    command = [sys.executable, "-c", SUPERVISOR, settings.scratch_base or "", *settings.without]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "started\n"
        # Two keepers, two inner processes, the candidate, its three orphans and what it executed.
        assert until(lambda: len(process.descendants(supervisor.pid)) >= 9)
        family = {pid: process.start_time(pid) for pid in process.descendants(supervisor.pid)}
        keepers = process._children(supervisor.pid)
        if victim == "supervisor":
            supervisor.kill()
            assert until(lambda: living(family) == [])
            assert until(lambda: os.listdir(settings.scratch_base) == [])
        else:
            # The zygote's side: the one that has descendants of its own.
            keeper = max(keepers, key=lambda pid: len(process.descendants(pid)))
            part = {pid: family[pid] for pid in process.descendants(keeper) if pid in family}
            os.kill(keeper if victim == "keeper" else process._children(keeper)[0], signal.SIGKILL)
            assert until(lambda: living(part) == [])
    finally:
        supervisor.kill()
        supervisor.wait()
        if supervisor.stdout is not None:
            supervisor.stdout.close()
    assert until(lambda: living(family) == [])


def test_folders_of_the_dead_are_swept(tmp_path: Path) -> None:
    settings = ExecutorSettings(scratch_base=str(tmp_path))
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    space = os.stat("/proc/self/ns/pid").st_ino
    dead = tmp_path / f"{boxes._PREFIX}{space}-{gone.pid}-12345-abc"
    (dead / "scratch/deep").mkdir(parents=True)
    elsewhere = tmp_path / f"{boxes._PREFIX}{space + 1}-{gone.pid}-12345-abc"
    elsewhere.mkdir()
    (tmp_path / "other").mkdir()
    box = start_box(settings, "zygote")
    try:
        assert sweep(settings) == 1
        left = sorted(os.listdir(tmp_path))
        assert len(left) == 3
        assert {"other", elsewhere.name} < set(left)
    finally:
        box.close()
