"""Worker processes with an executor each, as execution actors have."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Problem
from orchestrator.execute.executor import ExecutorSettings, PythonExecutor
from orchestrator.execute.sandbox import process

__all__ = ["SEED", "Prepared", "State", "Task", "Workers", "prepare"]

SEED = 0
_CHUNK = 4
# One executor a worker process; set when the process starts.
_executor: PythonExecutor | None = None
_problems: list[Prepared] = []

Prepared = tuple[Problem, Preparation]


@dataclass(frozen=True, slots=True)
class Task:
    """One program for one of the prepared problems."""

    problem: int
    job: Job


@dataclass(frozen=True, slots=True)
class State:
    """What one worker and its zygote hold at a moment."""

    worker: int
    """Process id."""
    processes: int
    """The worker's descendants."""
    zygote_bytes: int
    zygote_descriptors: int
    worker_descriptors: int


class Workers:
    """A pool of them; a context manager."""

    def __init__(self, prepared: Sequence[Prepared], count: int, settings: ExecutorSettings) -> None:
        self._count = count
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), _start, (list(prepared), settings))
        # Every worker is up before anything is timed.
        self.states()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        closed: set[int] = set()
        while len(closed) < self._count:
            closed.update(self._pool.map(_stop, range(4 * self._count)))
        self._pool.shutdown()

    def grade(self, tasks: Sequence[Task]) -> list[Execution]:
        """Run all, in any order; the results are in the order of the tasks."""
        return list(self._pool.map(_grade, tasks, chunksize=_CHUNK))

    def states(self) -> list[State]:
        """What every worker holds now, in the order of their process ids."""
        found: dict[int, State] = {}
        while len(found) < self._count:
            for state in self._pool.map(_state, range(4 * self._count)):
                found[state.worker] = state
        return [found[worker] for worker in sorted(found)]


def prepare(problems: Sequence[Problem], settings: ExecutorSettings) -> list[Prepared]:
    """The problems with their references recorded.

    Raises:
        RuntimeError: a reference fails its own tests.
    """
    executor = PythonExecutor(settings)
    try:
        prepared = [(problem, executor.prepare(problem, SEED)) for problem in problems]
    finally:
        executor.close()
    failing = [f"{p.id}: {q.reason}" for p, q in prepared if q.verdict != "passed"]
    if failing:
        raise RuntimeError("; ".join(failing))
    return prepared


def _start(prepared: list[Prepared], settings: ExecutorSettings) -> None:
    global _executor  # noqa: PLW0603 - a worker process has one executor for its life.
    _problems[:] = prepared
    _executor = PythonExecutor(settings)


def _require() -> PythonExecutor:
    if _executor is None:
        raise RuntimeError("this worker was not started")
    return _executor


def _grade(task: Task) -> Execution:
    problem, preparation = _problems[task.problem]
    return _require().run(problem, preparation, task.job)


def _state(_: int) -> State:
    # Long enough that no worker answers for all of them.
    time.sleep(0.1)
    zygote = _require().zygote_pid
    return State(
        worker=os.getpid(),
        processes=len(process.descendants(os.getpid())),
        zygote_bytes=process.resident_bytes(zygote) or 0,
        zygote_descriptors=len(os.listdir(f"/proc/{zygote}/fd")),
        worker_descriptors=len(os.listdir("/proc/self/fd")),
    )


def _stop(_: int) -> int:
    _require().close()
    time.sleep(0.05)
    return os.getpid()
