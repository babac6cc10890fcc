"""The CPU reference's time: what it is, when there is none, and that one is taken at a time."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from orchestrator.core.problems import Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu import cpu_timing
from orchestrator.execute.gpu.cpu_timing import CpuTiming
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from orchestrator.execute.gpu.turns import cpu_turn
from orchestrator.execute.sandbox import process

SMALL = {"rows": 40, "cols": 33}


def timing(dims: dict[str, int] | None = None, limit_s: float = 60.0) -> CpuTiming:
    return CpuTiming("softmax", "fp32", 7, dims or SMALL, limit_s)


def test_one_run_takes_some_time_and_nothing_is_left() -> None:
    mine = set(process.descendants(os.getpid()))
    seconds = timing().finish()
    assert seconds is not None
    assert 0 < seconds < 10
    assert set(process.descendants(os.getpid())) <= mine


def test_over_the_limit_there_is_none() -> None:
    assert timing(limit_s=0.01).finish() is None


def test_out_of_memory_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    cpu_timing.main(
        json.dumps({"name": "softmax", "dtype": "fp64", "seed": 1, "dims": {"rows": 1 << 40, "cols": 99}})
    )
    assert json.loads(capsys.readouterr().out) == {"out_of_memory": True}


def test_a_reference_that_fails_is_named() -> None:
    with pytest.raises(RuntimeError, match="the CPU reference of softmax failed"):
        timing({"rows": 3}).finish()


def test_one_at_a_time_on_a_machine() -> None:
    mine, done = timing(), threading.Event()
    waiting = threading.Thread(target=lambda: (mine.finish(), done.set()))
    with cpu_turn():
        waiting.start()
        assert not done.wait(2.0)
    waiting.join(60)
    assert done.is_set()


def test_a_timing_that_is_given_up_ends_its_process() -> None:
    before = set(process.descendants(os.getpid()))
    given_up = timing()
    given_up.close()
    given_up.close()
    assert set(process.descendants(os.getpid())) <= before


def test_a_preparation_holds_the_time_once_for_all_programs(
    tmp_path_factory: pytest.TempPathFactory, problem: Problem
) -> None:
    scratch = str(tmp_path_factory.mktemp("timed"))
    made = GpuExecutor(
        GpuExecutorSettings(device="cpu", isolation="none", cpu_reference_limit_s=30.0, scratch_dir=scratch)
    )
    try:
        first = made.prepare(problem, 0)
        began = time.monotonic()
        second = made.prepare(problem, 0)
        assert time.monotonic() - began < 30
    finally:
        made.close()
    assert first.verdict is Verdict.PASSED, first.reason
    seconds = json.loads(first.recording)["cpu_reference_s"]
    assert seconds > 0
    assert json.loads(second.recording)["cpu_reference_s"] == seconds
