"""The article's workloads on the CPU and on the card: what its formulas look like here."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

from orchestrator.core.execution import Job
from orchestrator.core.verdicts import Verdict
from scripts.bench.gpu_parts import common

_WORKLOADS = (
    ("gram", "matrix product a @ a.T", "CPU about 5 times slower"),
    ("atb", "a.T @ b (hybrid debugging)", "3.2 times faster than the CPU"),
    ("train_linear", "training, one linear layer", "none given"),
    ("train_mlp", "training, two layers", "none given"),
    ("nbody_step", "game physics: n-body", "named only"),
    ("cloth", "game physics: cloth", "named only"),
    ("particle_collisions", "game physics: collisions", "named only"),
    ("group_by", "ETL: group-by", "named only"),
    ("hash_join", "ETL: join", "named only"),
    ("crossover_backtest", "finance: backtest", "named only"),
    ("black_scholes", "finance: Black-Scholes", "named only"),
)
_ARTICLE = ("gram", "atb", "train_linear")
"""Workloads that the article gives numbers or code for: measured in every dtype, the others in fp32."""
_DTYPES = ("fp64", "fp32", "bf16", "fp16")


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Time every workload's torch program and its CPU reference on the same size, in each dtype it has."""
    executor = common.make_executor(
        options, cpu_reference_limit_s=15.0, timing_budget_s=0.5, min_rounds=5, energy_window_s=2.0
    )
    began = time.monotonic()
    numbers: list[dict[str, Any]] = []
    skipped = 0
    try:
        line = common.card_line(executor)
        for name, what, claim in common.shard_of(_WORKLOADS, options.shard):
            for dtype in options.dtypes or (_DTYPES if name in _ARTICLE else ("fp32",)):
                if options.seconds is not None and time.monotonic() - began > options.seconds:
                    skipped += 1
                    continue
                for problem in common.problems("torch", dtype, [name], wall_s=120.0):
                    numbers.append({"what": what, "claim": claim, "dtype": dtype, **_one(executor, problem)})
    finally:
        executor.close()
    found = {
        "ok": all(n["verdict"] == "passed" for n in numbers),
        "line": line,
        "cores": len(os.sched_getaffinity(0)),
        "rows": numbers,
        "skipped": skipped,
    }
    return render([found]), found


def render(parts: list[dict[str, Any]]) -> str:
    """The table of one run, or of the shards of one."""
    line, cores = parts[0]["line"], parts[0]["cores"]
    skipped = sum(p["skipped"] for p in parts)
    order = [what for _, what, _ in _WORKLOADS]
    rows = []
    for row in sorted((r for p in parts for r in p["rows"]), key=lambda r: order.index(r["what"])):
        cpu, gpu = row["cpu_s"], row["gpu_s"]
        ratio = "not measured" if not cpu or not gpu else f"{cpu / gpu:,.1f}"
        joules = "not measured" if row["joules"] is None else f"{row['joules']:.3g}"
        rows.append(
            [
                *(row["what"], row["dtype"], _ms(cpu), _ms(gpu), ratio, row["claim"], joules),
                *(row["bound"], row["size"], row["verdict"]),
            ]
        )
    columns = ["workload", "dtype", "CPU ms", "GPU ms", "CPU / GPU", "claim", "J a call"]
    columns += ["bound", "size", "verdict"]
    return "\n\n".join(
        [
            "# The article's workloads, CPU against GPU",
            f"{line} The CPU side is the problem's NumPy, pandas or pyarrow reference on {cores} cores of the same "
            "machine, the GPU side its torch program; both on the same size, inputs in place. Sixteen-bit inputs "
            "are computed in float32 on the CPU. CPU references that take over 15 s, with making their inputs, "
            "are not measured." + (f" {skipped} rows were skipped for time." if skipped else ""),
            common.table(columns, rows),
        ]
    )


def _one(executor: Any, problem: Any) -> dict[str, Any]:
    prepared = executor.prepare(problem, 0)
    recording = json.loads(prepared.recording) if prepared.recording else {}
    size = ", ".join(f"{k}={v}" for k, v in recording.get("dims", {}).items())
    row: dict[str, Any] = {
        "cpu_s": recording.get("cpu_reference_s"),
        "gpu_s": None,
        "joules": None,
        "bound": "",
        "size": size,
        "verdict": str(prepared.verdict),
        "reason": prepared.reason,
    }
    if prepared.verdict is Verdict.PASSED:
        done = executor.run(problem, prepared, Job(problem.id, problem.reference, "scoring", 0, problem.limits))
        row |= {"verdict": str(done.verdict), "reason": done.reason}
        if done.gpu is not None:
            row |= {"gpu_s": done.gpu.time_s, "bound": done.gpu.bound, "joules": done.gpu.joules_per_call}
    return row


def _ms(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{seconds * 1e3:,.2f}"
