"""What each mechanism costs: the same programs with all of them, and with one left out at a time."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from orchestrator.core.execution import Job
from orchestrator.execute.executor import ExecutorSettings, PythonExecutor
from orchestrator.execute.settings import Mechanism
from scripts.bench.grading_parts.workers import SEED, Prepared

__all__ = ["mechanism_costs"]

_VARIANTS: dict[str, frozenset[Mechanism]] = {
    "all": frozenset(),
    "without namespaces": frozenset({"namespaces"}),
    "without landlock": frozenset({"landlock"}),
    "without seccomp": frozenset({"seccomp"}),
    "without any": frozenset({"namespaces", "landlock", "seccomp"}),
}


def mechanism_costs(prepared: Sequence[Prepared], rounds: int) -> dict[str, float]:
    """Milliseconds from program to verdict, the median over all programs and rounds, by what was left out.

    The variants take turns program by program, so that the machine's moods fall on all alike.
    """
    made: dict[str, PythonExecutor] = {}
    took: dict[str, list[float]] = {name: [] for name in _VARIANTS}
    try:
        for name, without in _VARIANTS.items():
            made[name] = PythonExecutor(ExecutorSettings(isolation="none", without=without))
        for _ in range(rounds):
            for problem, preparation in prepared:
                job = Job(problem.id, problem.reference, "scoring", SEED, preparation.limits)
                for name, executor in made.items():
                    took[name].append((executor.run(problem, preparation, job).wall_s or 0.0) * 1000)
    finally:
        for executor in made.values():
            executor.close()
    return {name: median(times) for name, times in took.items()}
