"""The command itself, run from a bench."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import orchestrator

__all__ = ["kill", "start", "sweep"]


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a run in ``folder`` that tracks nothing, in a process group of its own."""
    root = str(Path(orchestrator.__file__).resolve().parent.parent)
    environment = {name: value for name, value in os.environ.items() if name != "ANTHROPIC_API_KEY"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "orchestrator", *words, "tracking.enabled=false", "display=plain"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def sweep(folder: Path, *words: str, limit_s: float = 400.0) -> None:
    """Run a sweep to its end.

    Raises:
        RuntimeError: it failed; with its last words.
    """
    child = start(folder, *words)
    try:
        said, _ = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        kill(child)
        raise
    if child.returncode != 0:
        raise RuntimeError(json.dumps({"words": words, "output": said[-2000:]}))


def kill(child: subprocess.Popen[str]) -> None:
    """SIGKILL of the driver; what it had started is to end by itself, and is made to where it does not."""
    child.send_signal(signal.SIGKILL)
    child.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdout is not None:
        child.stdout.close()
