"""Does it work here: tiers, sharing, arming, and the reference of a few problems in every dialect."""

from __future__ import annotations

import argparse
import time
from typing import Any

from orchestrator.core.execution import Job
from orchestrator.core.verdicts import Verdict
from scripts.bench.gpu_parts import common


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Judge a few references in every dialect, with timing, and say what was found."""
    began = time.monotonic()
    executor = common.make_executor(options)
    started = time.monotonic() - began
    rows: list[list[object]] = []
    bad = 0
    try:
        for dialect in options.dialects or ("torch", "cupy", "triton", "cuda"):
            for problem in common.problems(dialect, (options.dtypes or ["fp32"])[0], options.only, wall_s=60.0):
                began = time.monotonic()
                prepared = executor.prepare(problem, 0)
                took = time.monotonic() - began
                verdict, reason, gpu, lease = prepared.verdict, prepared.reason, None, 0.0
                if verdict is Verdict.PASSED:
                    job = Job(problem.id, problem.reference, "feedback", 0, problem.limits)
                    done = executor.run(problem, prepared, job)
                    verdict, reason, gpu, lease = done.verdict, done.reason, done.gpu, done.lease_s
                bad += verdict is not Verdict.PASSED
                rows.append([problem.id, dialect, verdict, reason, f"{took:.2f}", f"{lease:.2f}", *_numbers(gpu)])
        arming = ", ".join(f"{s:.2f}" for s in executor.session.arming_s[:12])
        loaded = [p["ready"] for p in executor.session.phases if "ready" in p]
        ready = ", ".join(f"{s * 1e3:.1f}" for s in loaded[:12])
        head = [
            common.card_line(executor),
            f"Tiers refused: {dict(executor.session.tiers)}",
            f"Started in {started:.1f} s; armed in {arming} s; ready in {ready} ms; "
            f"context {executor.session.context_bytes >> 20} MiB.",
        ]
    finally:
        executor.close()
    columns = [
        "problem",
        "dialect",
        "verdict",
        "reason",
        "prepare s",
        "lease s",
        "ms",
        "reference ms",
        "claimed ms",
    ]
    columns += ["rounds", "roofline", "compile s", "peak MiB", "MHz", "W", "throttle", "shape"]
    return "\n\n".join([*head, common.table(columns, rows)]), {"ok": bad == 0, "started_s": started}


def _numbers(gpu: Any) -> list[object]:
    if gpu is None or gpu.time_s is None:
        return [""] * 11
    return [
        f"{gpu.time_s * 1e3:.3f}",
        f"{gpu.reference_time_s * 1e3:.3f}",
        f"{gpu.claimed_time_s * 1e3:.3f}",
        f"{gpu.rounds} (-{gpu.dropped_rounds})",
        f"{gpu.roofline_share:.2f} {gpu.bound}",
        f"{gpu.compile_s:.3f}",
        "" if gpu.peak_memory_bytes is None else gpu.peak_memory_bytes >> 20,
        gpu.sm_clock_mhz,
        "" if gpu.power_w is None else f"{gpu.power_w:.0f}",
        gpu.throttle,
        gpu.shape,
    ]
