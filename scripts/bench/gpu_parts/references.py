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
            names = sorted({i for found in by_dialect.values() for i in found})
            for name in common.shard_of(names, options.shard):
                if options.seconds is not None and time.monotonic() - began > options.seconds:
                    skipped += 1
                    continue
                row, right, count = _one(executor, [f[name] for f in by_dialect.values() if name in f], dtype)
                rows.append([name, dtype, *row])
                judged += count
                bad += count - right
    finally:
        executor.close()
    numbers = {
        "ok": bad == 0 and not skipped,
        "judged": judged,
        "wrong": bad,
        "skipped": skipped,
        "line": line,
        "cap_gb": options.memory_cap_gb,
        "rows": rows,
    }
    return render([numbers]), numbers


def render(parts: list[dict[str, Any]]) -> str:
    """The table of one run, or of the shards of one."""
    cap = parts[0]["cap_gb"]
    judged, bad, skipped = (sum(p[key] for p in parts) for key in ("judged", "wrong", "skipped"))
    rows = sorted((r for p in parts for r in p["rows"]), key=lambda r: (r[0], DTYPES.index(r[1])))
    return "\n\n".join(
        [
            "# Reference programs",
            parts[0]["line"] + (f" {cap:g} GB of it are enforced." if cap else ""),
            f"{judged} programs judged on three seeds of every small shape, {bad} not passed, {skipped} problems "
            "skipped for time.",
            common.table(["problem", "dtype", "dialects", "not passed", "torch reference ms", "timed shape"], rows),
        ]
    )


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
    dialects = ", ".join(p.public.dialect for p in found)
    return [dialects, "; ".join(failures) or "none", time_ms, dims], right, len(found)
