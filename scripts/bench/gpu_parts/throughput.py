"""Programs per second through the executor, against a fresh process per program, in one run on one card."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from statistics import median
from typing import Any

from orchestrator.core.execution import Job, Preparation
from orchestrator.core.verdicts import Verdict
from scripts.bench.gpu_parts import common

_PROBLEM, _DTYPE = "softmax", "fp32"
_SCALE = 1 / 64
_ROUNDS = 15


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Judge small programs both ways: correctness on three seeds of every small shape, then 15 timed rounds."""
    count = options.programs or 60
    found: dict[int, dict[str, Any]] = {}
    problem = common.problems("torch", _DTYPE, [_PROBLEM], wall_s=30.0)[0]
    for spares in options.spares:
        executor = common.make_executor(
            options, spares=spares, timing_budget_s=0.05, min_rounds=_ROUNDS, max_rounds=_ROUNDS
        )
        try:
            line = common.card_line(executor)
            memory = int(executor.facts.get("memory_bytes", 1 << 30))
            prepared = Preparation(
                problem.id,
                Verdict.PASSED,
                "",
                problem.limits,
                recording=json.dumps({"scale": _SCALE if options.device == "gpu" else 1 / 256}).encode(),
            )
            found[spares] = _ours(executor, problem, prepared, count)
        finally:
            executor.close()
    fresh = (
        _fresh(problem.reference, memory, common.only_card(options), options.fresh)
        if options.device == "gpu"
        else []
    )
    rows = [
        [
            f"executor, {spares} spare{'s' if spares > 1 else ''}",
            f"{numbers['programs_per_s']:.2f}",
            f"{numbers['seconds_each'] * 1e3:.0f} ms",
            f"{numbers['ready_ms']:.2f} ms",
            f"{numbers['arming_s']:.2f} s",
        ]
        for spares, numbers in found.items()
    ]
    first = found[options.spares[0]]
    best = max(n["programs_per_s"] for n in found.values())
    numbers: dict[str, Any] = {
        "programs_per_s": first["programs_per_s"],
        "ready_ms": first["ready_ms"],
        "by_spares": found,
        "programs": count,
    }
    if fresh:
        each = median(fresh)
        rows.append(["fresh process per program", f"{1 / each:.2f}", f"{each * 1e3:.0f} ms", "", ""])
        numbers |= {
            "fresh_process_per_s": 1 / each,
            "ratio": first["programs_per_s"] * each,
            "best_ratio": best * each,
        }
    text = "\n\n".join(
        [
            "# Programs per second",
            line,
            f"{count} programs for {_PROBLEM} in {_DTYPE}, one after the other, each with its verdict from three "
            f"seeds of every small shape and {_ROUNDS} timed rounds; fresh processes do the same checks and as "
            "many rounds with CUDA events.",
            common.table(["way", "programs/s", "each", "code to ready (median)", "arming (median)"], rows),
            *([f"Ratio with {options.spares[0]} spares: {numbers['ratio']:.1f}."] if fresh else []),
        ]
    )
    return text, numbers


def _ours(executor: Any, problem: Any, prepared: Preparation, count: int) -> dict[str, Any]:
    job = Job(problem.id, problem.reference, "scoring", 0, problem.limits)
    executor.run(problem, prepared, job)
    executor.session.phases.clear()
    began = time.monotonic()
    for number in range(count):
        program = f"{problem.reference}\n# program {number}\n"
        done = executor.run(problem, prepared, Job(problem.id, program, "scoring", 0, problem.limits))
        if done.verdict is not Verdict.PASSED:
            raise RuntimeError(f"a reference was judged {done.verdict}: {done.reason}")
    taken = time.monotonic() - began
    return {
        "programs_per_s": count / taken,
        "seconds_each": taken / count,
        "ready_ms": median(p["ready"] for p in executor.session.phases) * 1e3,
        "phases_ms": {
            name: median(p.get(name, 0.0) for p in executor.session.phases) * 1e3
            for name in executor.session.phases[-1]
        },
        "arming_s": median(executor.session.arming_s),
    }


def _fresh(program: str, memory: int, environment: dict[str, str], count: int) -> list[float]:
    order = json.dumps(
        {
            "name": _PROBLEM,
            "dtype": _DTYPE,
            "programs": [program],
            "scale": _SCALE,
            "memory_bytes": memory,
            "check": True,
            "do_bench": False,
            "rounds": _ROUNDS,
        }
    )
    times = []
    for _ in range(count):
        began = time.monotonic()
        command = [sys.executable, "-m", "scripts.bench.gpu_parts.plain", order]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        times.append(time.monotonic() - began)
        if not json.loads(done.stdout)[0]["right"]:
            raise RuntimeError("the fresh process judged the reference wrong")
    return times
