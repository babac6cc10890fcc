"""The look at a family of processes where the kernel does not count them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.core.problems import Limits
from orchestrator.execute import watch
from orchestrator.execute.sandbox import process
from orchestrator.execute.sandbox.usage import Usage

CHILDREN = 6


@pytest.fixture
def zygote() -> Iterator[Any]:
    """A process with some children, which all wait; root's, in no namespace."""
    pid = os.fork()
    if pid == 0:
        process.die_with_parent()
        for _ in range(CHILDREN):
            if os.fork() == 0:
                process.die_with_parent()
                signal.pause()
        signal.pause()
    deadline = time.monotonic() + 20
    while len(process.descendants(pid)) < CHILDREN and time.monotonic() < deadline:
        time.sleep(0.01)
    yield SimpleNamespace(pid=pid, scratch="", standing=SimpleNamespace(uid=0, namespaces=True, resident_bytes=0))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def look(zygote: Any, processes: int) -> watch.Stop | None:
    limits = Limits(wall_s=60.0, cpu_s=60.0, memory_bytes=1 << 40, processes=processes)
    pidfd = os.pidfd_open(process.descendants(zygote.pid)[0])
    try:
        return watch.Watch(zygote, zygote, pidfd, limits, referee_cpu_s=0.0).look(0.1)
    finally:
        os.close(pidfd)


def test_a_family_above_its_number_is_stopped(zygote: Any) -> None:
    assert look(zygote, CHILDREN) is None
    assert look(zygote, CHILDREN - 1) == "tasks"


def test_a_family_that_was_cut_off_is_stopped_though_some_are_gone_meanwhile(
    zygote: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who keeps many short-lived children must not hide behind them what others of its family use.
    monkeypatch.setattr(watch, "family_usage", lambda pids, shared: Usage(0.0, 0, 1))
    assert look(zygote, CHILDREN) is None
    assert look(zygote, 2) == "tasks"
