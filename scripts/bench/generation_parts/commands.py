"""The whole command killed at random moments and resumed: verdicts, tokens and dollars as if it had not been."""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from orchestrator.core.generation import Usage
from orchestrator.track.tables import read_rows
from scripts.bench.generation_parts.common import price
from scripts.bench.generation_parts.ordeals import Outcome, bill, bought_again
from scripts.bench.generation_parts.sweeps import kill, start, sweep

__all__ = ["command_kills"]

_COLUMNS = (
    "cell",
    "problem",
    "sample",
    "verdict",
    "first_turn_verdict",
    "turns",
    "input_tokens",
    "output_tokens",
    "api_usd",
)
_STARTS_S = 120.0
"""Within which a resumed run must have asked for something."""


def command_kills(trials: int, kills: int) -> Outcome:
    """SIGKILL of a hybrid sweep's driver while it buys and executes, each time resumed.

    Args:
        trials: of 20 problems.
        kills: how often.
    """
    rng = random.Random(9)
    words = (
        "system=hybrid",
        "model=rehearsal",
        "limit=20",
        f"samples={trials // 20}",
        "cluster.num_cpus=2",
        "generate.in_flight=8",
        "rehearsal.latency_low_s=0.4",
        "rehearsal.latency_high_s=2.0",
        "budget.usd=null",
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        log, run, calm = folder / "log", folder / "killed", folder / "calm"
        done = 0
        words_now: tuple[str, ...] = (*words, f"rehearsal.log={log}", f"run.dir={run}")
        while done < kills:
            before = _lines(log)
            child = start(folder, *words_now)
            deadline = time.monotonic() + _STARTS_S
            while _lines(log) == before and child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if child.poll() is not None or _lines(log) == before:
                kill(child)
                raise RuntimeError(f"{trials} trials are too few: the run ended before kill {done + 1}")
            time.sleep(rng.uniform(0.0, 2.0))
            kill(child)
            done += 1
            words_now = (f"resume={run}",)
        sweep(folder, *words_now)
        sweep(folder, *words, f"run.dir={calm}")
        spent = bill(run / "journal.sqlite")
        killed_rows, calm_rows = _results(run), _results(calm)
        for row in sorted({*killed_rows} ^ {*calm_rows}):
            which = killed_rows if row in killed_rows else calm_rows
            print(f"differs: {', '.join(row)} ({which[row]})", file=sys.stderr)
        return Outcome(
            name=f"whole command killed {kills} times (hybrid, verdicts too)",
            steps=trials,
            same=killed_rows.keys() == calm_rows.keys(),
            bought_again=bought_again(log, run / "journal.sqlite"),
            settled=spent.settled,
            unsettled=spent.unsettled,
            charged=_charged(log),
        )


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def _charged(log: Path) -> Decimal:
    """Dollars for all that the servers admitted: they end with their drivers, and their log stays."""
    total = Decimal(0)
    for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
        if line["event"] == "admitted":
            total += price().cost(Usage(**line["usage"]))
    return total


def _results(run: Path) -> dict[tuple[str, ...], str]:
    """What must be the same of every trial, with whose it is and the verdict's reason, which may tell times."""
    found = read_rows(str(run / "results.parquet"), (*_COLUMNS, "reason"))
    return {tuple(str(row[name]) for name in _COLUMNS): f"{run.name}: {row['reason']}" for row in found}
