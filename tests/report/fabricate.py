"""Fabricates run folders that look like the driver's, for tests and benchmarks of the report.

Nothing in them was measured. Every figure is drawn from a seeded generator, so equal arguments give equal folders.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.digests import digest
from orchestrator.core.tables import PLAN_VERSION, RESULTS, STEPS, Column

__all__ = ["HOSTILE", "fabricate_run"]

HOSTILE = (
    "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
    "<!--<script> [bold red]markup[/] [link=http://x]y[/link] \x1b]0;title\x07\x1b[2J \u2028 {{7*7}}"
)
START = 1_790_000_000.0
SKILL = {"haiku": 0.72, "sonnet": 0.84, "opus": 0.9}
PRICE = {"haiku": (1.0, 5.0), "sonnet": (3.0, 15.0), "opus": (5.0, 25.0)}
REASONS = {
    "wrong_answer": "assert candidate([1, 2, 3]) == 6",
    "error": "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
    "timeout": "stopped after 4.0 s of CPU time",
    "out_of_memory": "resident set over 1024 MiB",
    "no_code": "refusal: no fenced block and no entry point",
    "infrastructure": "its actor was lost 3 times",
    "not_run": "the budget was used up",
}


def fabricate_run(
    folder: Path,
    *,
    problems: int = 164,
    models: tuple[str, ...] = ("sonnet",),
    systems: tuple[str, ...] = ("generate_only", "execute_only", "hybrid"),
    samples: int = 1,
    turns: int = 3,
    seed: int = 0,
    synthetic: bool = False,
    gpu: bool = False,
    on_card: bool = True,
    priced: bool = True,
    hostile: bool = False,
    ours: float = 0.0,
    skill: float = 0.0,
    suite: str | None = None,
    missing: tuple[str, ...] = (),
    feedback: str = "public",
    long_texts: bool = False,
) -> Path:
    """Write ``plan.json``, ``results.parquet`` and ``steps.parquet`` under ``folder`` and return it.

    Args:
        ours: share of trials that end as ``infrastructure`` or ``not_run``.
        on_card: False for a GPU suite whose programs ran in host memory.
        skill: added to every model's chance of solving a problem.
        missing: columns to leave out of both tables.
        long_texts: prompts, programs and replies as long as HumanEval's, and every program different.
    """
    maker = _Maker(
        problems=problems,
        samples=samples,
        turns=turns,
        seed=seed,
        synthetic=synthetic,
        gpu=gpu,
        on_card=on_card,
        priced=priced,
        hostile=hostile,
        ours=ours,
        skill=skill,
        feedback=feedback,
        long_texts=long_texts,
        suite=suite or ("gpu" if gpu else "humaneval"),
    )
    for system in systems:
        for model in models if system != "execute_only" else (None,):
            maker.cell(system, model)
    folder.mkdir(parents=True, exist_ok=True)
    plan = {
        "version": PLAN_VERSION,
        "run_id": folder.name,
        "sweep": maker.suite,
        "command": f"python -m orchestrator +sweep={maker.suite}",
        "created": START,
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "versions": {"python": "3.11.2", "orchestrator": "0.1.0", "ray": "2.60.0"},
        "seed": seed,
        "suite": {"name": maker.suite, "digest": maker.suite_digest, "problems": maker.ids},
        "cells": maker.cells,
        "prices": [
            {
                "model": f"claude-{m}-5-5",
                "input_per_mtok": PRICE[m][0],
                "output_per_mtok": PRICE[m][1],
                "source": "genai-prices 0.2.3, 2026-11-01",
            }
            for m in models
        ],
        "prompts": {"system": digest("system")},
        "isolation": "partial (no user namespace)",
        "hardware": [
            {
                "name": "rtx4060",
                "device": "gpu",
                "purchase_usd": 299.0,
                "resale_usd": 100.0,
                "rent_usd_per_hour": 0.2,
                "power_w": 115.0,
                "source": "made up for a test, 2026-11-01",
            }
            if gpu
            else {"name": "local", "device": "cpu"}
        ],
        "rates": {
            "name": "default",
            "mode": "auto",
            "useful_years": 3.0,
            "utilisation": 0.25,
            "usd_per_kwh": 0.15,
            "problems_per_month": 1000.0,
        },
        "synthetic": synthetic,
    }
    (folder / "plan.json").write_text(json.dumps(plan, indent=1))
    (folder / "config.yaml").write_text(f"sweep: {maker.suite}\nseed: {seed}\n")
    _write(folder / "results.parquet", RESULTS, maker.results, missing)
    _write(folder / "steps.parquet", STEPS, maker.steps, missing)
    return folder


def _write(path: Path, columns: tuple[Column, ...], rows: list[dict[str, Any]], missing: tuple[str, ...]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(c.name, pa.type_for_alias(c.type)) for c in columns if c.name not in missing])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


@dataclass(frozen=True)
class _Trial:
    cell: str
    system: str
    model: str | None
    problem: str
    sample: int
    axes: dict[str, object]

    @property
    def named(self) -> dict[str, Any]:
        """What every step of the trial says of it."""
        return {
            "cell": json.dumps([self.cell]),
            "trial": f"{self.cell}/{self.problem}/{self.sample}",
            "problem": self.problem,
            "sample": self.sample,
        }


class _Maker:
    def __init__(
        self,
        *,
        problems: int,
        samples: int,
        turns: int,
        seed: int,
        synthetic: bool,
        gpu: bool,
        on_card: bool,
        priced: bool,
        hostile: bool,
        ours: float,
        skill: float,
        feedback: str,
        long_texts: bool,
        suite: str,
    ) -> None:
        self.samples, self.turns, self.synthetic, self.gpu, self.priced = samples, turns, synthetic, gpu, priced
        self.hostile, self.ours, self.skill, self.suite, self.feedback = hostile, ours, skill, suite, feedback
        self.long_texts, self.on_card = long_texts, on_card
        prefix = "gpu" if gpu else "HumanEval"
        self.ids = [f"{prefix}/{i}" for i in range(problems)]
        self.suite_digest = digest(suite, problems)
        self.seed = seed
        # A problem's difficulty is the same for every system: that is what makes pairing worth it.
        luck = random.Random(1)
        self.hardness = {name: luck.gauss(0, 1) for name in self.ids}
        self.cells: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.clock = [START] * 8

    def cell(self, system: str, model: str | None) -> None:
        name = f"{system}-{model}" if model else system
        axes: dict[str, object] = {"system": system}
        if model:
            axes["model"] = model
        hardware = "rtx4060" if self.gpu else "local"
        self.cells.append(
            {
                "id": name,
                "system": system,
                "model": model,
                "suite": self.suite,
                "hardware": hardware,
                "axes": axes,
                "samples": self.samples if model else 1,
                "planned": len(self.ids) * (self.samples if model else 1),
                "feedback": self.feedback if system == "hybrid" else None,
                "synthetic": self.synthetic and model is not None,
            }
        )
        for problem in self.ids:
            for sample in range(self.samples if model else 1):
                self._trial(_Trial(name, system, model, problem, sample, axes))

    def _trial(self, trial: _Trial) -> None:
        model, problem, hybrid = trial.model, trial.problem, trial.system == "hybrid"
        # The first answer does not depend on the system: both were sold the same reply.
        first = random.Random(f"{self.seed}/{model}/{problem}/{trial.sample}")
        rest = random.Random(f"{self.seed}/{trial.cell}/{problem}/{trial.sample}")
        odds = _logit(SKILL.get(model or "", 0.5) + self.skill) + 1.2 * self.hardness[problem]
        verdict = "passed" if model is None or first.random() < 1 / (1 + math.exp(-odds)) else _failure(first)
        if rest.random() < self.ours:
            verdict = rest.choice(["infrastructure", "not_run"])
        opening, turn, run_s = verdict, 0, 0.0
        bought: list[tuple[int, int]] = []
        messages = [{"role": "user", "text": f"Complete the function for {problem}.\n\ndef f(x):\n    ..."}]
        if self.long_texts:
            messages[0]["text"] += "\n    # what the function shall do, in words" * 10
        started = ended = self.clock[rest.randrange(8)]
        program = ""
        while verdict != "not_run" and turn < (self.turns if hybrid else 1):
            turn += 1
            if turn > 1:
                verdict = "passed" if rest.random() < 0.45 else _failure(rest)
            program = f"def f(x):\n    # turn {turn} of {problem}\n    return x + {trial.sample}\n"
            if self.long_texts:
                program += "".join(f"    value_{rest.random()} = helper(x, {n})\n" for n in range(12))
            if self.hostile:
                program += f"    # {HOSTILE}\n"
            if model is not None:
                bought.append((300 + 150 * turn + first.randrange(80), 120 + rest.randrange(200)))
                reply = f"Here is the function.\n\n```python\n{program}```\n{HOSTILE if self.hostile else ''}"
                step = {"program": program, "reply": reply, "messages": json.dumps(messages), "turn": turn}
                ended = self._generation(trial, step, bought[-1], ended, rest)
            seconds = 0.004 * math.exp(rest.gauss(0, 0.7)) * (200 if self.gpu else 1)
            run_s += seconds
            if not hybrid:
                break
            text = "Your program passed." if verdict == "passed" else f"It failed.\n{REASONS[verdict]}"
            text += HOSTILE if self.hostile else ""
            step = {"program": program, "verdict": verdict, "feedback": text, "turn": turn, "kind": "feedback"}
            ended = self._execution(trial, step, seconds, ended)
            messages = [*messages, {"role": "assistant", "text": program}, {"role": "user", "text": text}]
            if verdict in ("passed", "infrastructure"):
                break
        if verdict != "not_run":
            kind = "reference" if model is None else "scoring"
            step = {"program": program, "verdict": verdict, "turn": turn, "kind": kind}
            ended = self._execution(trial, step, run_s / turn, ended)
        row = {"verdict": verdict, "first_turn_verdict": opening if hybrid else None, "turns": turn}
        self._result(trial, row | {"started_at": started, "ended_at": ended}, bought, run_s, rest)

    def _generation(
        self, trial: _Trial, step: dict[str, Any], usage: tuple[int, int], start: float, rest: random.Random
    ) -> float:
        end = start + 0.6 + rest.random() * 2.5
        self.steps.append(
            trial.named
            | step
            | {
                "kind": "generation",
                "key": "g-" + digest(trial.cell, trial.problem, trial.sample, step["turn"]),
                "stop_reason": "end_turn",
                "model_id": f"claude-{trial.model}-5-5",
                "request_id": f"req_{len(self.steps)}",
                "input_tokens": usage[0],
                "output_tokens": usage[1],
                "usd": self._usd(trial.model, [usage]),
                "wall_s": end - start,
                "lease_s": end - start,
                "slot": f"generation-{rest.randrange(6)}",
                "started_at": start,
                "ended_at": end,
                "synthetic": self.synthetic,
                "resumed": False,
            }
        )
        return end

    def _execution(self, trial: _Trial, step: dict[str, Any], seconds: float, start: float) -> float:
        lane = len(self.steps) % 2
        self.clock[lane] = max(self.clock[lane], start) + seconds
        self.steps.append(
            trial.named
            | step
            | {
                "key": "e-" + digest(trial.cell, trial.problem, trial.sample, step["turn"], step["kind"]),
                "reason": REASONS.get(step["verdict"], ""),
                "cpu_s": seconds * 0.8,
                "wall_s": seconds,
                "lease_s": seconds * 1.1,
                "speedup": (0.5 + 0.4 * step["turn"]) if self.gpu and step["verdict"] == "passed" else None,
                "node": "node-0",
                "slot": f"execution-{lane}",
                "started_at": self.clock[lane] - seconds,
                "ended_at": self.clock[lane],
                "resumed": False,
            }
        )
        return self.clock[lane]

    def _result(
        self, trial: _Trial, row: dict[str, Any], bought: list[tuple[int, int]], run_s: float, rest: random.Random
    ) -> None:
        model, hybrid = trial.model, trial.system == "hybrid"
        spoil = HOSTILE if self.hostile and row["verdict"] != "passed" else ""
        row |= {
            "run_id": "fabricated",
            "cell": trial.cell,
            "system": trial.system,
            "model": model,
            "model_id": f"claude-{model}-5-5" if model else None,
            "suite": self.suite,
            "suite_digest": self.suite_digest,
            "problem": trial.problem,
            "problem_digest": digest(trial.problem),
            "hardware": "rtx4060" if self.gpu else "local",
            "axes": json.dumps(trial.axes),
            "sample": trial.sample,
            "reason": REASONS.get(row["verdict"], "") + spoil,
            "feedback": self.feedback if hybrid else None,
            "public_verdict": None if model is None else "passed" if rest.random() < 0.15 else row["verdict"],
            "feedback_examples": int(self.hardness[trial.problem] > -1) if hybrid else None,
            "wall_s": row["ended_at"] - row["started_at"],
            "peak_memory_bytes": int(3e7 * (1 + rest.random())) if run_s else None,
            "cpu_s": run_s * 0.8 if run_s else None,
            "input_tokens": sum(i for i, _ in bought) if model else None,
            "output_tokens": sum(o for _, o in bought) if model else None,
            "cache_read_tokens": 0 if model else None,
            "cache_write_tokens": 0 if model else None,
            "api_usd": self._usd(model, bought) if model else None,
            "shared": model is not None,
            "execute_s": run_s or None,
            "lease_s": run_s * 1.1 if run_s else None,
            "node": "node-0",
            "gpu": "NVIDIA GeForce RTX 4060" if self.gpu and self.on_card else None,
            "isolation": "partial (no user namespace)",
            "synthetic": self.synthetic and model is not None,
        }
        if self.gpu and run_s:
            row |= self._gpu(row["verdict"], rest)
        self.results.append(row)

    def _gpu(self, verdict: str, rest: random.Random) -> dict[str, Any]:
        if verdict != "passed":
            return {"compile_s": 0.2, "gpu_reference_time_s": 0.003}
        speedup = math.exp(rest.gauss(0, 0.4))
        time_s = 0.003 / speedup
        return {
            "gpu_time_s": time_s,
            "gpu_time_low_s": time_s * 0.98,
            "gpu_time_high_s": time_s * 1.02,
            "gpu_reference_time_s": 0.003,
            "cpu_reference_time_s": 0.06,
            "speedup": speedup,
            "cpu_speedup": 0.06 / time_s,
            "comparison": "faster" if speedup > 1.05 else "slower" if speedup < 0.95 else "same",
            "roofline_share": min(0.95, 0.6 * speedup),
            "bound": rest.choice(["memory", "compute"]),
            "compile_s": 0.2 + rest.random(),
            "gpu_peak_memory_bytes": int(1e9 * (1 + rest.random())) if self.on_card else None,
            "joules": 5 + rest.random() if self.on_card else None,
            "joules_per_call": 0.3 + rest.random() if self.on_card else None,
            "dtype": "fp32",
            "least_bytes": 400_000_000,
            "operations": int(400_000_000 * 10 ** rest.uniform(-1, 2)),
            "peak_bytes_per_s": 250e9,
            "peak_operations_per_s": 12e12,
        }

    def _usd(self, model: str | None, bought: list[tuple[int, int]]) -> float | None:
        if not self.priced or model is None:
            return None
        price = PRICE.get(model, (3.0, 15.0))
        return sum(i * price[0] + o * price[1] for i, o in bought) / 1e6


def _logit(p: float) -> float:
    p = min(max(p, 0.02), 0.98)
    return 1.25 * math.log(p / (1 - p))


def _failure(source: random.Random) -> str:
    return source.choices(["wrong_answer", "error", "timeout", "out_of_memory", "no_code"], [60, 25, 6, 3, 6])[0]
