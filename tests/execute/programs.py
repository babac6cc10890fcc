"""Small problems for the executor's tests, and a short way to run a program on one."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Example, ExampleTests, Limits, Problem, PublicProblem, PythonTests
from orchestrator.execute.executor import PythonExecutor

__all__ = ["ADD", "LIMITS", "SUITE_SEED", "judge", "problem"]

SUITE_SEED = 7
LIMITS = Limits(cpu_s=20, wall_s=120)
"""Far above what any of these programs needs, however busy the machine."""


def problem(
    source: str,
    reference: str,
    *,
    entry: str = "add",
    setup: str = "",
    examples: tuple[tuple[str, str], ...] = (),
    limits: Limits = LIMITS,
) -> Problem:
    """A problem whose scoring tests are ``source``, the body of ``check``, one indentation less."""
    body = "".join(f"    {line}\n" for line in source.strip().splitlines())
    listed = tuple(Example(call, expected) for call, expected in examples)
    return Problem(
        public=PublicProblem(f"Test/{entry}", "test", "", entry, examples=listed),
        scoring=PythonTests(setup, f"def check(candidate):\n{body}"),
        feedback=ExampleTests(setup, listed),
        reference=reference,
        limits=limits,
    )


ADD = problem(
    "assert candidate(1, 2) == 3\nassert candidate(0, 0) == 0\nassert candidate(-5, 5) == 0",
    "def add(a, b):\n    return a + b\n",
    examples=(("add(2, 3)", "5"), ("add(0, 1)", "1")),
)


def judge(
    executor: PythonExecutor,
    of: Problem,
    program: str,
    *,
    tests: Literal["feedback", "scoring"] = "scoring",
    limits: Limits | None = None,
    alone: bool = False,
    prepare: bool = True,
) -> Execution:
    """Run ``program``; the recording is the reference's, or none at all without ``prepare``."""
    preparation = Preparation(of.id, verdict="passed", reason="", limits=LIMITS)  # type: ignore[arg-type]
    if prepare:
        preparation = executor.prepare(of, SUITE_SEED)
        assert preparation.verdict == "passed", preparation.reason
    job = Job(of.id, program, tests, SUITE_SEED, limits or replace(preparation.limits), alone)
    return executor.run(of, preparation, job)
