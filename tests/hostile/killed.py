"""``python -m tests.hostile.killed MODE``: what is left when the grading process itself is killed amid a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.core.execution import Job
from orchestrator.execute.executor import ExecutorSettings, PythonExecutor
from tests.hostile.corpus import PROBLEM
from tests.hostile.leftovers import adopt_orphans, descendants
from tests.hostile.refuse import refuse_namespaces

__all__ = ["main"]

_PATIENCE_S = 30.0
"""A bound for a failing test, not a measure of speed."""
_STUBBORN = """
import os
import signal
import time

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
open("left", "w").close()
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        os.fork()
        while True:
            time.sleep(1)


def solve(x):
    time.sleep(1000)
"""
_PROCESSES = 6
"""What the program starts: three, and one more by each."""


def main(mode: str) -> None:
    """Start a grading process, kill it once its program has started all it starts, print what is left."""
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="hostile-boxes-") as folder:
        os.chmod(folder, 0o711)
        command = [sys.executable, "-B", "-m", "tests.hostile.killed", mode, folder]
        grader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert grader.stdout is not None
        before = len(descendants()) if grader.stdout.readline() == "ready\n" else 0
        reached = _wait(lambda: len(descendants()) >= before + _PROCESSES)
        grader.kill()
        grader.wait()
        grader.stdout.close()
        _wait(lambda: not descendants() and not os.listdir(folder))
        left = [str(pid) for pid in descendants()] + [str(path) for path in Path(folder).rglob("*")]
        print(json.dumps({"reached": reached, "left": left}))


def _grade(mode: str, folder: str) -> None:
    if mode == "refused":
        refuse_namespaces()
    executor = PythonExecutor(ExecutorSettings(scratch_base=folder))
    preparation = executor.prepare(PROBLEM, 0)
    print("ready", flush=True)
    executor.run(PROBLEM, preparation, Job(PROBLEM.id, _STUBBORN, "scoring", 0, PROBLEM.limits))


def _wait(done: object) -> bool:
    assert callable(done)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _grade(*sys.argv[1:])
    else:
        main(*sys.argv[1:])
