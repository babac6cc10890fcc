"""``python -m tasks.validate FILE``: is this suite right, and if not, which line is wrong and why?

Every reference is run through the executor on all tests and examples of its problem, and so is a function that
does nothing: tests that it passes test nothing. Exit code 0 if all is well, 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from orchestrator.core.execution import Job
from orchestrator.core.problems import ExampleTests, Problem
from orchestrator.core.streams import print_what_fits
from orchestrator.core.verdicts import Verdict
from tasks.registry import SuiteError, load_suite
from tasks.suite import helpers_of

if TYPE_CHECKING:
    from orchestrator.core.execution import Executor

__all__ = ["complaints", "main"]

_SUITES: Final = ("custom", "humaneval", "humaneval_plus", "mbpp")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    print_what_fits()
    parser = argparse.ArgumentParser(
        prog="python -m tasks.validate",
        description="Run every reference of a suite's file against its own tests; say line by line what is wrong.",
    )
    parser.add_argument("file", help="the suite's file")
    parser.add_argument("--suite", choices=_SUITES, default="custom", help="the file's form (default: custom)")
    parser.add_argument("--seed", type=int, default=0, help="the suite seed")
    chosen = parser.parse_args(arguments)
    try:
        found = list(_problems(chosen.file, chosen.suite))
    except SuiteError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    problems = [(line, item) for line, item in found if isinstance(item, Problem)]
    wrong_lines = [(line, str(item)) for line, item in found if isinstance(item, SuiteError)]
    if problems:
        wrong_lines += _run(chosen.file, problems, chosen.seed)
    for _, text in sorted(wrong_lines):
        print(text)
    if not found:
        print(f"{chosen.file} holds no problem; it must hold one JSON object a line")
        return 1
    wrong_count = len({line for line, _ in wrong_lines})
    print(f"{chosen.file}: {len(found)} problem{'s' * (len(found) != 1)}, {wrong_count} wrong")
    return 1 if wrong_lines else 0


def complaints(problem: Problem, executor: Executor, seed: int) -> Iterator[str]:
    """What is wrong with one problem, one sentence each; nothing if it is sound."""
    prepared = executor.prepare(problem, seed)
    if prepared.verdict is not Verdict.PASSED:
        yield f"invalid reference: {prepared.verdict}: {prepared.reason}"
        return
    if isinstance(problem.feedback, ExampleTests):
        for index in prepared.dropped_examples:
            example = problem.feedback.examples[index]
            yield f"the reference does not give {example.call} == {example.expected}, which is an example"
    empty = f"{helpers_of(problem.public.prompt)}\n\ndef {problem.public.entry_point}(*args, **kwargs):\n    pass\n"
    job = Job(problem.id, empty, "scoring", seed, prepared.limits)
    if executor.run(problem, prepared, job).verdict is Verdict.PASSED:
        yield "the tests pass a function that does nothing"


def _problems(path: str, suite: str) -> Iterator[tuple[int, Problem | SuiteError]]:
    if suite == "custom":
        from tasks import custom

        yield from custom.problems_of(path)
    else:
        yield from enumerate(load_suite(suite, path=path).problems, 1)


def _run(path: str, problems: Sequence[tuple[int, Problem]], seed: int) -> list[tuple[int, str]]:
    from orchestrator.execute.executor import ExecutorSettings, PythonExecutor

    executor = PythonExecutor(ExecutorSettings())
    try:
        return [
            (line, f"{path}, line {line} ({problem.id}): {sentence}")
            for line, problem in problems
            for sentence in complaints(problem, executor, seed)
        ]
    finally:
        executor.close()


if __name__ == "__main__":
    sys.exit(main())
