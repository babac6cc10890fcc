"""How long a sweep takes that generates and executes at once, against each of the two alone."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orchestrator
from orchestrator.generate.rehearsal import RehearsalServer, RehearsalSettings
from scripts.bench.generation_parts.common import buyer

__all__ = ["Makespan", "measure"]


@dataclass(frozen=True)
class Makespan:
    """Seconds from the first request to the last verdict, and of each half by itself."""

    name: str
    trials: int
    programs: int
    """Different ones, hence executed: equal programs of several trials share a verdict."""
    together_s: float
    generate_s: float
    execute_s: float

    @property
    def ratio(self) -> float:
        """Of both at once to the longer of the two alone."""
        return self.together_s / max(self.generate_s, self.execute_s)


def measure(problems: str, name: str, *, samples: int, in_flight: int, replies_s: tuple[float, float]) -> Makespan:
    """HumanEval with so many samples, replies after ``replies_s`` (least and most).

    Together is the command itself. Execution alone is the same command on the run's own programs (``regrade``).
    Generation alone buys the same number of replies with the same delays and the same limiter.
    """
    trials = 164 * samples
    low_s, high_s = replies_s
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _sweep(
            folder,
            "+sweep=humaneval",
            "system=generate_only",
            f"samples={samples}",
            f"generate.in_flight={in_flight}",
            "budget.usd=null",
            f"rehearsal.latency_low_s={low_s}",
            f"rehearsal.latency_high_s={high_s}",
            # An endless loop takes its whole limit, and is run again at the end with nothing beside it: a handful
            # of them would be all that is measured.
            "rehearsal.broken_share=0",
            f"run.dir={folder / 'both'}",
        )
        _sweep(folder, f"regrade={folder / 'both'}", f"run.dir={folder / 'again'}")
        both = folder / "both" / "journal.sqlite"
        begun, _ = _span(both, "SELECT MIN(created), 0 FROM reservations")
        _, ended = _span(both, "SELECT 0, MAX(created) FROM verdicts")
        programs, _ = _span(both, "SELECT COUNT(*), 0 FROM verdicts")
        first, last = _span(folder / "again" / "journal.sqlite", "SELECT MIN(created), MAX(created) FROM verdicts")
    settings = RehearsalSettings(problems=problems, broken_share=0.0, latency_low_s=low_s, latency_high_s=high_s)
    with RehearsalServer(settings) as server:
        alone_s = asyncio.run(_generate(server, trials, in_flight))
    return Makespan(name, trials, int(programs), ended - begun, alone_s, last - first)


async def _generate(server: RehearsalServer, trials: int, in_flight: int) -> float:
    async with buyer(server.base_url, actors=-(-in_flight // 200), in_flight=in_flight) as bought:
        begun = time.monotonic()
        await asyncio.gather(*(bought.ask(number) for number in range(trials)))
        return time.monotonic() - begun


def _sweep(folder: Path, *words: str) -> None:
    root = str(Path(orchestrator.__file__).resolve().parent.parent)
    environment = {name: value for name, value in os.environ.items() if name != "ANTHROPIC_API_KEY"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "orchestrator", *words, "tracking.enabled=false", "display=plain"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode != 0:
        raise RuntimeError(json.dumps({"command": command, "output": (done.stdout + done.stderr)[-2000:]}))


def _span(journal: Path, query: str) -> tuple[float, float]:
    with closing(sqlite3.connect(journal)) as connection:
        low, high = connection.execute(query).fetchone()
    return float(low), float(high)
