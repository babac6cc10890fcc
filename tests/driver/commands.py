"""The whole command in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from orchestrator.track.tables import read_rows

QUICK = (
    "cluster.num_cpus=2",
    "rehearsal.latency_low_s=0.0",
    "rehearsal.latency_high_s=0.05",
    "display=plain",
)
"""Overrides that make a rehearsal small."""


PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of whatever our commands leave behind, so that it can be found."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def release_orphans() -> None:
    """Stop adopting, and bury who has died meanwhile.

    A test runner that went on adopting would collect every orphan of all later tests as a zombie, until the machine
    can start no process any more.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    for child in psutil.Process().children():
        if child.status() == psutil.STATUS_ZOMBIE:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)


def descendants() -> set[int]:
    """All live processes under this one."""
    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    }


def left_behind(before: set[int], seconds: float = 2) -> list[str]:
    """What is still there of commands started after ``before`` was taken, given ``seconds`` to go."""
    deadline = time.monotonic() + seconds
    while (left := descendants() - before) and time.monotonic() < deadline:
        if all("Agent" in line for line in _lines(left)):
            break
        time.sleep(0.05)
    return _lines(left)


def _lines(pids: set[int]) -> list[str]:
    found = []
    for pid in pids:
        try:
            found.append(" ".join(psutil.Process(pid).cmdline()))
        except psutil.NoSuchProcess:
            continue
    return found


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command in ``folder``."""
    adopt_orphans()
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], *, seconds: float = 240) -> Ended:
    """Wait for a command."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"the command hung; it said:\n{out}\n{err}") from None
    return Ended(process.returncode, out, err)


def end_group(process: subprocess.Popen[str]) -> None:
    """End what is left of a command that was killed: it had a process group of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def run(folder: Path, *words: str, **environment: str) -> Ended:
    """Run the command in ``folder``."""
    return end(start(folder, *words, **environment))


def rows(run_dir: Path, *columns: str) -> list[tuple[Any, ...]]:
    """Sorted rows of ``results.parquet``, cell, problem and sample first."""
    names = ("cell", "problem", "sample", *columns)
    found = read_rows(str(run_dir / "results.parquet"), names)
    return sorted((tuple(row[name] for name in names) for row in found), key=str)


def outcome(run_dir: Path) -> list[tuple[Any, ...]]:
    """What must be the same however often a run was interrupted: verdicts, tokens and dollars."""
    return rows(run_dir, "verdict", "first_turn_verdict", "turns", "input_tokens", "output_tokens", "api_usd")


def summary(run_dir: Path) -> dict[str, Any]:
    """``summary.json``'s cells by id."""
    found = json.loads((run_dir / "summary.json").read_text())
    return {cell["id"]: cell for cell in found["cells"]}


def journaled(run_dir: Path) -> int:
    """Replies in the journal right now; 0 while there is none."""
    return _count(run_dir, "SELECT count(*) FROM replies")


def reserved(run_dir: Path) -> int:
    """Requests that were paid for in advance and have no reply in the journal right now."""
    return _count(run_dir, "SELECT count(*) FROM reservations WHERE state = 'reserved'")


def _count(run_dir: Path, query: str) -> int:
    path = run_dir / "journal.sqlite"
    if not path.exists():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        try:
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def wait_for_replies(process: subprocess.Popen[str], run_dir: Path, count: int) -> None:
    """Wait until ``count`` replies are journaled or the command ended."""
    deadline = time.monotonic() + 180
    while journaled(run_dir) < count and process.poll() is None:
        assert time.monotonic() < deadline, "no reply was journaled"
        time.sleep(0.02)
