"""Every reference program of the suite, in every dialect and dtype, on three seeds of every small shape."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from orchestrator.core.execution import Job
from orchestrator.core.verdicts import Verdict
from scripts.bench.gpu_parts import common
from tasks.gpu.problem import DIALECTS, DTYPES


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Judge them all; the torch references are also sized to the card first."""
    executor = common.make_executor(options, timing=False, spares=4)
    began = time.monotonic()
    rows: list[list[object]] = []
    judged = bad = skipped = 0
    try:
        line = common.card_line(executor)
        for dtype in options.dtypes or DTYPES:
            by_dialect = {
                d: {p.id: p for p in common.problems(d, dtype, options.only, wall_s=60.0)}
                for d in options.dialects or DIALECTS
            }
            for name in sorted({i for found in by_dialect.values() for i in found}):
                if options.seconds is not None and time.monotonic() - began > options.seconds:
                    skipped += 1
                    continue
                row, right, count = _one(executor, [f[name] for f in by_dialect.values() if name in f], dtype)
                rows.append([name, dtype, *row])
                judged += count
                bad += count - right
    finally:
        executor.close()
    numbers = {"ok": bad == 0 and not skipped, "judged": judged, "wrong": bad, "skipped_problems": skipped}
    cap = f" {options.memory_cap_gb:g} GB of it are enforced." if options.memory_cap_gb else ""
    text = "\n\n".join(
        [
            "# Reference programs",
            line + cap,
            f"{judged} programs judged, {bad} not passed, {skipped} problems skipped for time.",
            common.table(["problem", "dtype", "not passed", "reference ms", "timed shape"], rows),
        ]
    )
    return text, numbers


def _one(executor: Any, found: list[Any], dtype: str) -> tuple[list[object], int, int]:
    """One problem in one dtype, in all dialects at hand."""
    prepared = executor.prepare(found[0], 0)
    recording = json.loads(prepared.recording) if prepared.recording else {}
    dims = ", ".join(f"{k}={v}" for k, v in recording.get("dims", {}).items())
    seconds = recording.get("reference_s")
    failures = []
    if prepared.verdict is not Verdict.PASSED:
        failures.append(f"{found[0].public.dialect}: {prepared.verdict}: {prepared.reason}")
    for problem in found[1:]:
        done = executor.run(problem, prepared, Job(problem.id, problem.reference, "scoring", 0, problem.limits))
        if done.verdict is not Verdict.PASSED:
            failures.append(f"{problem.public.dialect}: {done.verdict}: {done.reason}")
    right = len(found) - len(failures)
    time_ms = "" if seconds is None else f"{seconds * 1e3:.2f}"
    return ["; ".join(failures) or "none", time_ms, dims], right, len(found)
