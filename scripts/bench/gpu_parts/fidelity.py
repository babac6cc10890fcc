"""The executor's times against CUDA events and Triton's do_bench for honest programs, in one lease."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from statistics import median
from typing import Any

from orchestrator.core.execution import Job, Preparation
from orchestrator.core.verdicts import Verdict
from scripts.bench.gpu_parts import common

_PROBLEM, _DTYPE, _SCALE = "softmax", "fp32", 1.0
_PASSES = (3, 6, 12, 20, 30, 50, 80, 150, 250, 380)
_JUDGINGS = 3
_REPEATS = 10
_REPEATED = (40, 80, 150)


def _program(passes: int) -> str:
    return (
        "import torch\n"
        "W = {}\n"
        "def solve(x, out):\n"
        "    w = W.get(x.shape)\n"
        "    if w is None:\n"
        "        w = W[x.shape] = torch.empty_like(x)\n"
        f"    for _ in range({passes}):\n"
        "        torch.sin(x, out=w)\n"
        "    torch.softmax(x, -1, out=out)\n"
    )


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Ten programs of growing work, timed three ways in three processes each; then three programs ten times."""
    executor = common.make_executor(options, timing_budget_s=0.4, min_rounds=25, max_rounds=60)
    problem = common.problems("torch", _DTYPE, [_PROBLEM], wall_s=60.0)[0]
    recording = json.dumps({"scale": _SCALE if options.device == "gpu" else 1 / 256}).encode()
    prepared = Preparation(problem.id, Verdict.PASSED, "", problem.limits, recording=recording)
    try:
        line = common.card_line(executor)
        memory = int(executor.facts.get("memory_bytes", 1 << 30))
        measured = [[_time(executor, problem, prepared, _program(n)) for _ in range(_JUDGINGS)] for n in _PASSES]
        repeats = {
            n: [_time(executor, problem, prepared, _program(n)).time_s for _ in range(_REPEATS)] for n in _REPEATED
        }
    finally:
        executor.close()
    plain = (
        [_plain(memory, common.only_card(options)) for _ in range(_JUDGINGS)]
        if options.device == "gpu"
        else [[{"events_s": m[k].time_s, "do_bench_s": m[k].time_s} for m in measured] for k in range(_JUDGINGS)]
    )
    rows: list[list[object]] = []
    errors: list[float] = []
    single: list[float] = []
    below: list[float] = []
    for number, (passes, judged) in enumerate(zip(_PASSES, measured, strict=True)):
        times = [m.time_s for m in judged]
        ours = median(times)
        bench, events = (median(p[number][key] for p in plain) for key in ("do_bench_s", "events_s"))
        off = ours / bench - 1
        (errors if bench >= 1e-3 else below).append(off)
        if bench >= 1e-3:
            single += [t / bench - 1 for t in times]
        rows.append(
            [
                f"softmax + {passes} sin",
                f"{ours * 1e3:.4f}",
                f"{min(times) * 1e3:.4f} to {max(times) * 1e3:.4f}",
                f"{events * 1e3:.4f}",
                f"{bench * 1e3:.4f}",
                f"{off:+.2%}",
                f"{ours / events - 1:+.2%}",
                f"{(ours - bench) * 1e6:+.1f}",
                judged[0].rounds,
            ]
        )
    spreads = {n: (max(again) - min(again)) / median(again) for n, again in repeats.items()}
    numbers = {
        "timing_error": max(map(abs, errors), default=None),
        "timing_error_of_one_judging": max(map(abs, single), default=None),
        "bias_below_1ms": median(below) if below else None,
        "spread": max(spreads.values()),
        "spreads": spreads,
        "repeats_ms": {n: [t * 1e3 for t in again] for n, again in repeats.items()},
        "measured_ms": [[m.time_s * 1e3 for m in judged] for judged in measured],
        "claimed_ms": [[m.claimed_time_s * 1e3 for m in judged] for judged in measured],
        "plain_ms": [[p[number]["do_bench_s"] * 1e3 for p in plain] for number in range(len(_PASSES))],
    }
    columns = [
        "program",
        "ours ms",
        f"of {_JUDGINGS} judgings",
        "events ms",
        "do_bench ms",
        "to do_bench",
        "to events",
        "off us",
        "rounds",
    ]
    text = "\n\n".join(
        [
            "# Timing fidelity",
            line,
            "Ours: the referee's clock, from the first byte of input handed over to its own copy of the output, "
            "less what an empty call costs. The others run in processes of their own on the same card right after, "
            "caches "
            f"flushed before every call. Each way's number is the median of {_JUDGINGS} processes.",
            common.table(columns, rows),
            f"Largest error from 1 ms up: {numbers['timing_error']:.2%}; of a single judging: "
            f"{numbers['timing_error_of_one_judging']:.2%}. Bias below 1 ms: {numbers['bias_below_1ms']:+.2%} "
            "(median)."
            if errors and below
            else "",
            "\n".join(
                f"The program with {n} sin ({median(again) * 1e3:.2f} ms) judged {_REPEATS} times: spread (largest "
                f"less smallest over median) {spreads[n]:.2%}."
                for n, again in repeats.items()
            ),
        ]
    )
    return text, numbers


def _time(executor: Any, problem: Any, prepared: Preparation, program: str) -> Any:
    done = executor.run(problem, prepared, Job(problem.id, program, "scoring", 0, problem.limits))
    if done.verdict is not Verdict.PASSED:
        raise RuntimeError(f"an honest program was judged {done.verdict}: {done.reason}")
    return done.gpu


def _plain(memory: int, environment: dict[str, str]) -> list[dict[str, Any]]:
    order = {
        "name": _PROBLEM,
        "dtype": _DTYPE,
        "programs": [_program(n) for n in _PASSES],
        "scale": _SCALE,
        "memory_bytes": memory,
        "check": False,
        "do_bench": True,
        "rounds": 30,
    }
    command = [sys.executable, "-m", "scripts.bench.gpu_parts.plain", json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
