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
_REPEATS = 10
_REPEATED = 40


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
    """Ten programs of growing work, each timed three ways; then one of them ten times."""
    executor = common.make_executor(options, timing_budget_s=0.4, min_rounds=25, max_rounds=60)
    problem = common.problems("torch", _DTYPE, [_PROBLEM], wall_s=60.0)[0]
    recording = json.dumps({"scale": _SCALE if options.device == "gpu" else 1 / 256}).encode()
    prepared = Preparation(problem.id, Verdict.PASSED, "", problem.limits, recording=recording)
    try:
        line = common.card_line(executor)
        memory = int(executor.facts.get("memory_bytes", 1 << 30))
        measured = [_time(executor, problem, prepared, _program(n)) for n in _PASSES]
        repeats = [_time(executor, problem, prepared, _program(_REPEATED)) for _ in range(_REPEATS)]
        again = [r.time_s for r in repeats]
        offsets = [p["offset"] for p in executor.session.phases if "offset" in p]
    finally:
        executor.close()
    plain = (
        _plain(memory, common.only_card(options))
        if options.device == "gpu"
        else [{"events_s": m.time_s, "do_bench_s": m.time_s} for m in measured]
    )
    rows, errors, below = [], [], []
    for passes, ours, theirs in zip(_PASSES, measured, plain, strict=True):
        off = ours.time_s / theirs["do_bench_s"] - 1
        (errors if theirs["do_bench_s"] >= 1e-3 else below).append(off)
        rows.append(
            [
                f"softmax + {passes} sin",
                f"{ours.time_s * 1e3:.4f}",
                f"{ours.time_low_s * 1e3:.4f} to {ours.time_high_s * 1e3:.4f}",
                f"{theirs['events_s'] * 1e3:.4f}",
                f"{theirs['do_bench_s'] * 1e3:.4f}",
                f"{off:+.2%}",
                f"{ours.time_s / theirs['events_s'] - 1:+.2%}",
                f"{(ours.time_s - theirs['do_bench_s']) * 1e6:+.1f}",
                ours.rounds,
            ]
        )
    spread = (max(again) - min(again)) / median(again)
    numbers = {
        "timing_error": max(map(abs, errors), default=None),
        "bias_below_1ms": median(below) if below else None,
        "spread": spread,
        "repeats_ms": [t * 1e3 for t in again],
        "repeats_claimed_ms": [r.claimed_time_s * 1e3 for r in repeats],
        "measured_ms": [m.time_s * 1e3 for m in measured],
        "claimed_ms": [m.claimed_time_s * 1e3 for m in measured],
        "offsets_us": [o * 1e6 for o in offsets],
    }
    columns = [
        "program",
        "ours ms",
        "95% interval",
        "events ms",
        "do_bench ms",
        "to do_bench",
        "to events",
        "off us",
    ]
    text = "\n\n".join(
        [
            "# Timing fidelity",
            line,
            "Ours: the referee's clock, from go to its own copy of the output, the touch program subtracted. The "
            "others run in a process of their own on the same card right after, caches flushed before every call.",
            common.table([*columns, "rounds"], rows),
            f"Largest error from 1 ms up: {numbers['timing_error']:.2%}." if errors else "",
            f"The program with {_REPEATED} sin judged {_REPEATS} times: spread (largest less smallest over median) "
            f"{spread:.2%}.",
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
