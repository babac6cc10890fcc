"""The hostile corpus on the card: its verdicts, the next program's verdict, and the memory after each."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestrator.core.verdicts import Verdict
from scripts.bench.gpu_parts import common
from tests.hostile.gpu.bench import Bench
from tests.hostile.gpu.corpus import CHARGED, Case, read_corpus

_CHARGED_SPEEDUP = 1.5
"""A program that is charged for its work may not come out faster than this against the same library call."""


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Judge every program of the corpus that this device can run, and an honest one after each."""
    cases = [c for c in read_corpus() if options.device in c.devices]
    if options.device == "cpu":
        cases = [c for c in cases if c.dialect == "torch"]
    cases = [c for c in cases if options.only is None or c.name.split("/")[1] in options.only]
    rows: list[dict[str, Any]] = []
    began, skipped = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as scratch:
        bench = _bench(options, scratch)
        line = common.card_line(bench.executor)
        try:
            for case in common.shard_of(cases, options.shard):
                if options.seconds is not None and time.monotonic() - began > options.seconds:
                    skipped += 1
                    continue
                try:
                    rows.append(_one(bench, case))
                except Exception as error:  # noqa: BLE001 - whatever broke the executor is a finding of this table
                    rows.append({"name": case.name, "got": "raised", "reason": repr(error)[:300], "right": False})
                    bench.close()
                    bench = _bench(options, scratch)
        finally:
            bench.close()
    found = {"ok": all(r["right"] for r in rows) and not skipped, "line": line, "rows": rows, "skipped": skipped}
    return render([found]), found


def render(parts: list[dict[str, Any]]) -> str:
    """The table of one run, or of the shards of one."""
    rows = sorted((r for p in parts for r in p["rows"]), key=lambda r: r["name"])
    wrong = [r["name"] for r in rows if not r["right"]]
    skipped = sum(p["skipped"] for p in parts)
    table = [
        [
            r["name"],
            r.get("want", ""),
            r["got"] if r.get("speedup") is None else f"{r['got']}, {r['speedup']:.2f}x",
            r["reason"].replace("|", "/"),
            r.get("next", ""),
            r.get("rest", ""),
        ]
        for r in rows
    ]
    return "\n\n".join(
        [
            "# Hostile and odd programs",
            parts[0]["line"],
            f"{len(rows)} programs, {len(wrong)} not as they should be, {skipped} skipped for time. After each, "
            "the reference of the same problem is judged and the card's memory is compared with what it was before."
            + (f" Not as they should be: {', '.join(wrong)}." if wrong else ""),
            common.table(["program", "should be", "was", "reason", "next program", "memory back"], table),
        ]
    )


def _bench(options: argparse.Namespace, scratch: str) -> Bench:
    uuid = common.card_uuid(options.first_card) if options.device == "gpu" else ""
    return Bench(
        options.device,
        Path(scratch),
        gpu_uuid=uuid,
        timing_budget_s=0.15,
        min_rounds=5,
        max_rounds=12,
        energy_window_s=0.0,
    )


def _one(bench: Bench, case: Case) -> dict[str, Any]:
    # The problem is opened, its spares armed, before memory is read: that is the baseline.
    bench.settle(case)
    before, baseline = bench.traces(), bench.card_bytes()
    began = time.monotonic()
    done = bench.judge(case)
    seconds = time.monotonic() - began
    following = bench.honest(case)
    rests = bench.rests_at(baseline)
    right = str(done.verdict) in case.verdicts
    if CHARGED in case.verdicts and done.verdict is Verdict.PASSED:
        speedup = done.gpu.speedup if done.gpu is not None else None
        right = speedup is not None and speedup <= _CHARGED_SPEEDUP
    left = bench.traces() - before
    return {
        "name": case.name,
        "want": " or ".join(sorted(case.verdicts)),
        "got": str(done.verdict),
        "reason": done.reason[:160],
        "speedup": done.gpu.speedup if done.gpu is not None else None,
        "next": str(following.verdict),
        "rest": "yes" if rests else "no",
        "seconds": seconds,
        "right": right and following.verdict is Verdict.PASSED and rests and not left,
    }
