"""How long a sweep takes that generates and executes at once, against each of the two alone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.problems import Problem
from orchestrator.generate.rehearsal import RehearsalServer, RehearsalSettings, write_problems
from scripts.bench.generation_parts.common import buyer
from scripts.bench.generation_parts.sweeps import sweep
from tasks import custom, humaneval

__all__ = ["Makespan", "balanced", "human_eval"]


@dataclass(frozen=True)
class Makespan:
    """Seconds from the first request to the last verdict, and of each half by itself."""

    name: str
    programs: int
    """All different: each is generated once and executed once."""
    together_s: float
    generate_s: float
    execute_s: float

    @property
    def ratio(self) -> float:
        """Of both at once to the longer of the two alone."""
        return self.together_s / max(self.generate_s, self.execute_s)


def human_eval(in_flight: int, replies_s: tuple[float, float]) -> Makespan:
    """HumanEval once, whose programs are quick: what is generated last is all that can be late."""
    name = f"HumanEval, replies of {_span(replies_s)}, {in_flight} in flight"
    return _measure(name, humaneval.load().problems, ("suite=humaneval",), in_flight, replies_s)


def balanced(programs: int, busy_s: float, in_flight: int, replies_s: tuple[float, float]) -> Makespan:
    """A suite whose execution takes about as long as its generation.

    Each program holds its slot for ``busy_s`` without using a core of this machine, as a program on a card or on
    another node would: what is measured is whether the halves wait for each other, not how many cores there are.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "waits.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(programs):
                file.write(json.dumps(_waiting(number, busy_s)) + "\n")
        name = (
            f"programs that hold a slot {1000 * busy_s:g} ms, replies of {_span(replies_s)}, {in_flight} in flight"
        )
        suite = ("suite=custom", f"suite.path={path}")
        return _measure(name, custom.load(str(path)).problems, suite, in_flight, replies_s)


def _waiting(number: int, busy_s: float) -> dict[str, object]:
    prompt = f'import time\n\n\ndef after_{number}(n):\n    """Return n + {number}, in due time."""\n'
    return {
        "id": f"waits/{number}",
        "prompt": prompt,
        "entry_point": f"after_{number}",
        "reference": f"{prompt}    time.sleep({busy_s})\n    return n + {number}\n",
        "cases": [{"input": [3], "output": number + 3}],
    }


def _measure(
    name: str, problems: Sequence[Problem], suite: Sequence[str], in_flight: int, replies_s: tuple[float, float]
) -> Makespan:
    """Together is the command itself. Execution alone is the same command on the run's own programs (``regrade``).
    Generation alone buys the same replies with the same delays and the same limiter.
    """
    low_s, high_s = replies_s
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sweep(
            folder,
            *suite,
            "model=rehearsal",
            "system=generate_only",
            "cluster.num_cpus=2",
            f"generate.in_flight={in_flight}",
            "budget.usd=null",
            f"rehearsal.latency_low_s={low_s}",
            f"rehearsal.latency_high_s={high_s}",
            # An endless loop takes its whole limit, and is run again at the end with nothing beside it: a handful
            # of them would be all that is measured.
            "rehearsal.broken_share=0",
            f"run.dir={folder / 'both'}",
        )
        sweep(folder, f"regrade={folder / 'both'}", f"run.dir={folder / 'again'}")
        both, again = (folder / run / "journal.sqlite" for run in ("both", "again"))
        together_s = _one(both, "SELECT (SELECT MAX(created) FROM verdicts) - MIN(created) FROM reservations")
        programs = int(_one(both, "SELECT COUNT(*) FROM verdicts"))
        execute_s = _one(again, "SELECT MAX(created) - MIN(created) FROM verdicts")
        path = folder / "problems.jsonl"
        write_problems(path, problems)
        settings = RehearsalSettings(
            problems=str(path), broken_share=0.0, latency_low_s=low_s, latency_high_s=high_s
        )
        with RehearsalServer(settings) as server:
            generate_s = asyncio.run(_generate(server, problems, in_flight))
    if programs != len(problems):
        raise RuntimeError(f"{programs} programs were executed, and {len(problems)} were to be")
    return Makespan(name, programs, together_s, generate_s, execute_s)


async def _generate(server: RehearsalServer, problems: Sequence[Problem], in_flight: int) -> float:
    async with buyer(
        server.base_url, actors=-(-in_flight // 200), in_flight=in_flight, problems=problems
    ) as bought:
        begun = time.monotonic()
        await asyncio.gather(*(bought.ask(number) for number in range(len(problems))))
        return time.monotonic() - begun


def _one(journal: Path, query: str) -> float:
    with closing(sqlite3.connect(journal)) as connection:
        (value,) = connection.execute(query).fetchone()
    return float(value)


def _span(replies_s: tuple[float, float]) -> str:
    return f"{replies_s[0]:g} to {replies_s[1]:g} s"
