"""Ten thousand programs, a tenth of them hostile: the same verdicts twice, nothing leaked, nothing grown."""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator.core.execution import Execution, Job
from orchestrator.core.problems import Limits
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.executor import ExecutorSettings
from scripts.bench.grading_parts.workers import SEED, Prepared, State, Task, Workers, prepare
from tests.hostile.corpus import PROBLEM
from tests.hostile.programs import HostileProgram, read_corpus

__all__ = ["stress"]

_SHORT = Limits(cpu_s=0.2, wall_s=2.0, memory_bytes=512 << 20)
_PLACEHOLDER = re.compile(r"__[A-Z_]+__")
_WARM = 200
_GROWTH_BYTES = 2 << 20
"""A zygote's memory may move by this much: pages that its forks shared are counted now here, now there."""


def stress(prepared: Sequence[Prepared], programs: int, settings: ExecutorSettings) -> dict[str, Any]:
    """Grade ``programs`` programs twice, with two executors and with four times as many as cores.

    Programs that end provisionally are run again at the end with nothing beside them, as a run does.

    Raises:
        RuntimeError: with what differed, leaked or grew.
    """
    everything = [*prepared, *prepare([PROBLEM], settings)]
    hostile = [p for p in read_corpus() if not p.slow and not p.honest and not _PLACEHOLDER.search(p.source)]
    deck = _deck(everything, hostile, programs)
    tasks = [task for task, _ in deck]
    few, few_s = _pass(everything, tasks, 2, settings)
    many, many_s = _pass(everything, tasks, 4 * (os.cpu_count() or 1), settings)
    wrong = [
        f"{name or task.job.problem_id}: {first.verdict} then {second.verdict} ({first.reason}; {second.reason})"
        for (task, name), first, second in zip(deck, few, many, strict=True)
        if first.verdict != second.verdict or first.verdict not in _wanted(name, hostile)
    ]
    if wrong:
        raise RuntimeError(f"{len(wrong)} verdicts are wrong or differ:\n" + "\n".join(sorted(set(wrong))[:20]))
    return {
        "stress_programs": programs,
        "stress_hostile": sum(bool(name) for _, name in deck),
        "stress_verdicts": dict(Counter(e.verdict.value for e in few)),
        "stress_few_per_s": programs / few_s,
        "stress_many_per_s": programs / many_s,
    }


def _deck(prepared: Sequence[Prepared], hostile: Sequence[HostileProgram], programs: int) -> list[tuple[Task, str]]:
    """Tasks with the hostile program's name, or nothing for a reference."""
    deck: list[tuple[Task, str]] = []
    for index in range(programs):
        if index % 10 == 9:
            program = hostile[index // 10 % len(hostile)]
            limits = _SHORT if Verdict.TIMEOUT in program.verdicts else PROBLEM.limits
            job = Job(PROBLEM.id, program.source, "scoring", SEED, limits)
            deck.append((Task(len(prepared) - 1, job), program.name))
        else:
            chosen = (index - index // 10) % (len(prepared) - 1)
            problem, preparation = prepared[chosen]
            job = Job(problem.id, problem.reference, "scoring", SEED, preparation.limits)
            deck.append((Task(chosen, job), ""))
    random.Random(SEED).shuffle(deck)
    return deck


def _wanted(name: str, hostile: Sequence[HostileProgram]) -> frozenset[Verdict]:
    return next((p.verdicts for p in hostile if p.name == name), frozenset({Verdict.PASSED}))


def _pass(
    prepared: Sequence[Prepared], tasks: Sequence[Task], count: int, settings: ExecutorSettings
) -> tuple[list[Execution], float]:
    with Workers(prepared, count, settings) as workers:
        workers.grade(tasks[:_WARM])
        before = workers.states()
        began = time.perf_counter()
        executions = workers.grade(tasks)
        took = time.perf_counter() - began
        _compare(before, workers.states())
    again = [index for index, execution in enumerate(executions) if execution.provisional]
    with Workers(prepared, 1, settings) as alone:
        for index in again:
            task = replace(tasks[index], job=replace(tasks[index].job, alone=True))
            executions[index] = alone.grade([task])[0]
    return executions, took


def _compare(before: Sequence[State], after: Sequence[State]) -> None:
    grown: list[str] = []
    for old, new in zip(before, after, strict=True):
        if new.processes > old.processes:
            grown.append(f"{new.processes} processes, {old.processes} before")
        if new.zygote_descriptors > old.zygote_descriptors or new.worker_descriptors > old.worker_descriptors:
            grown.append(f"descriptors: {new}, {old} before")
        if new.zygote_bytes > old.zygote_bytes + _GROWTH_BYTES:
            grown.append(f"a zygote of {new.zygote_bytes} bytes, {old.zygote_bytes} before")
    if grown:
        raise RuntimeError("leaked: " + "; ".join(grown))
