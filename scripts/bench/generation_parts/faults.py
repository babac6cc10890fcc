"""Faults, killed drivers and killed actors: every step ends right, and what was paid is never paid again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from orchestrator.generate.rehearsal import FaultShares, RehearsalServer, RehearsalSettings
from scripts.bench.generation_parts.common import MODEL, Buyer, buyer, price

__all__ = ["Outcome", "actor_kills", "driver_kills", "faults"]

_SHARES = FaultShares(rate_limited=0.05, overloaded=0.05, server_error=0.05, dropped=0.05, stalled=0.05)
_ANSWERS = {"latency_low_s": 0.1, "latency_high_s": 0.5}


@dataclass(frozen=True)
class Outcome:
    """What one ordeal left behind."""

    name: str
    steps: int
    same_replies: bool
    """Texts, tokens and dollars of every step equal those of an undisturbed run."""
    bought_again: int | None
    """Replies sent by the server for steps that were in the journal when the driver or actor was killed;
    None where the ordeal does not count them."""
    settled: Decimal
    unsettled: Decimal
    charged: Decimal
    """The server's own count, at the same prices."""

    @property
    def bracketed(self) -> bool:
        """The server's count lies between what is settled and settled plus unsettled."""
        return self.settled <= self.charged <= self.settled + self.unsettled


def faults(problems: str, steps: int) -> Outcome:
    """A quarter of all requests is spoiled in one of five ways."""

    async def main(server: RehearsalServer, folder: Path) -> None:
        async with buyer(server.base_url, actors=2, folder=folder, in_flight=100, stall_s=2.0) as bought:
            await asyncio.gather(*(bought.ask(n) for n in range(steps)))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = RehearsalSettings(problems=problems, faults=_SHARES, retry_after_s=0.2, stall_s=10.0, **_ANSWERS)
        with RehearsalServer(settings) as server:
            asyncio.run(main(server, folder))
            charged = price().cost(server.counts().charged)
        return _outcome(
            "5% each of 429, 529, 500, drop, stall", problems, folder, steps, again=None, charged=charged
        )


def driver_kills(problems: str, steps: int, kills: int) -> Outcome:
    """SIGKILL of the whole driver process at random moments, then again from the journal."""
    rng = random.Random(7)
    again = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with RehearsalServer(RehearsalSettings(problems=problems, **_ANSWERS)) as server:
            for _ in range(kills):
                child = _child(server.base_url, folder, steps)
                assert child.stdout is not None
                child.stdout.readline()
                time.sleep(rng.uniform(0.05, 2.0))
                child.send_signal(signal.SIGKILL)
                child.wait()
                child.stdout.close()
                again += _bought_again(folder, server, lambda: _once(server.base_url, folder, steps, 1.0))
            _once(server.base_url, folder, steps, None)
            charged = price().cost(server.counts().charged)
        return _outcome(f"driver killed {kills} times", problems, folder, steps, again=again, charged=charged)


def actor_kills(problems: str, steps: int, kills: int) -> Outcome:
    """SIGKILL of generation actors at random moments while their driver goes on."""
    rng = random.Random(8)

    async def main(server: RehearsalServer, folder: Path) -> None:
        async with buyer(server.base_url, actors=2, folder=folder, in_flight=60, retries=20) as bought:
            work = asyncio.gather(*(bought.ask(n) for n in range(steps)))
            for _ in range(kills):
                await asyncio.sleep(rng.uniform(0.2, 1.5))
                await _kill_one(bought, rng)
            await work

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with RehearsalServer(RehearsalSettings(problems=problems, **_ANSWERS)) as server:
            asyncio.run(main(server, folder))
            charged = price().cost(server.counts().charged)
        return _outcome(f"actors killed {kills} times", problems, folder, steps, again=None, charged=charged)


async def _kill_one(bought: Buyer, rng: random.Random) -> None:
    assert bought.pool is not None
    pid = await rng.choice(bought.pool.handles).pid.remote()
    os.kill(pid, signal.SIGKILL)


# -- a driver of its own -------------------------------------------------------------------------------------


def _child(base_url: str, folder: Path, steps: int, seconds: float | None = None) -> subprocess.Popen[str]:
    task = json.dumps({"base_url": base_url, "folder": str(folder), "steps": steps, "seconds": seconds})
    command = [sys.executable, "-m", "scripts.bench.generation_parts.faults", task]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _once(base_url: str, folder: Path, steps: int, seconds: float | None) -> None:
    child = _child(base_url, folder, steps, seconds)
    assert child.stdout is not None
    with child.stdout:
        child.stdout.read()
    if child.wait() != 0:
        raise RuntimeError(f"the driver ended with {child.returncode}")


async def _drive(base_url: str, folder: Path, steps: int, seconds: float | None) -> None:
    async with buyer(base_url, actors=0, folder=folder, in_flight=60) as bought:
        print("begun", flush=True)
        work = asyncio.gather(*(bought.ask(n) for n in range(steps)), return_exceptions=seconds is not None)
        if seconds is not None:
            await asyncio.sleep(seconds)
            bought.service.stop()
        await work


# -- what is compared ----------------------------------------------------------------------------------------


def _bought_again(folder: Path, server: RehearsalServer, resume: object) -> int:
    """Replies that the server sends during ``resume`` for steps that were journaled before it."""
    assert callable(resume)
    journaled = {
        f"{problem};{sample};0" for problem, sample in _rows(folder, "SELECT problem, sample FROM replies")
    }
    before = server.replies()
    resume()
    after = server.replies()
    return sum(count - before.get(name, 0) for name, count in after.items() if name.split("|", 1)[0] in journaled)


def _outcome(name: str, problems: str, folder: Path, steps: int, *, again: int | None, charged: Decimal) -> Outcome:
    with tempfile.TemporaryDirectory() as scratch:
        calm = Path(scratch)
        with RehearsalServer(RehearsalSettings(problems=problems, **_ANSWERS)) as server:
            _once(server.base_url, calm, steps, None)
        same = _replies(folder) == _replies(calm)
    sums = dict(
        _rows(folder, "SELECT state, SUM(COALESCE(settled_nano, worst_nano)) FROM reservations GROUP BY state")
    )
    # What a killed driver left reserved counts as unsettled from the next start on.
    unsettled = int(sums.get("unsettled", 0)) + int(sums.get("reserved", 0))
    return Outcome(
        name, steps, same, again, Decimal(int(sums.get("settled", 0))) / 10**9, Decimal(unsettled) / 10**9, charged
    )


def _replies(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for key, text in _rows(folder, "SELECT key, reply FROM replies"):
        reply = json.loads(str(text))
        found[str(key)] = (reply["text"], reply["stop_reason"], str(reply["usage"]), reply["usd"], MODEL)
    return found


def _rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        return list(connection.execute(query))


if __name__ == "__main__":
    _task = json.loads(sys.argv[1])
    asyncio.run(_drive(_task["base_url"], Path(_task["folder"]), _task["steps"], _task["seconds"]))
