"""Faults, killed drivers and killed actors: every step ends right, and what was paid is never paid again."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from orchestrator.generate.rehearsal import FaultShares, RehearsalServer, RehearsalSettings
from scripts.bench.generation_parts.common import Buyer, buyer, price
from scripts.bench.generation_parts.ordeals import Outcome, bill, bought_again, replies

__all__ = ["actor_kills", "driver_kills", "faults"]

_SHARES = FaultShares(rate_limited=0.05, overloaded=0.05, server_error=0.05, dropped=0.05, stalled=0.05)
_ANSWERS = {"latency_low_s": 0.1, "latency_high_s": 0.5}
_IN_FLIGHT = 60


def faults(problems: str, steps: int) -> Outcome:
    """A quarter of all requests is spoiled in one of five ways."""

    async def main(server: RehearsalServer, folder: Path) -> None:
        async with buyer(server.base_url, actors=2, folder=folder, in_flight=100, stall_s=2.0) as bought:
            await asyncio.gather(*(bought.ask(n) for n in range(steps)))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = RehearsalSettings(
            problems=problems,
            faults=_SHARES,
            retry_after_s=0.2,
            stall_s=10.0,
            log=str(folder / "log"),
            **_ANSWERS,
        )
        with RehearsalServer(settings) as server:
            asyncio.run(main(server, folder))
            charged = price().cost(server.counts().charged)
        return _outcome("5% each of 429, 529, 500, drop, stall", problems, folder, steps, charged)


def driver_kills(problems: str, steps: int, kills: int) -> Outcome:
    """SIGKILL of the driver's process at random moments of its buying, each time begun again from the journal."""
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with RehearsalServer(_settings(problems, folder)) as server:
            for _ in range(kills):
                child = _child(server.base_url, folder, steps)
                assert child.stdout is not None
                child.stdout.readline()
                time.sleep(rng.uniform(0.05, 1.5))
                child.send_signal(signal.SIGKILL)
                child.wait()
                child.stdout.close()
            _once(server.base_url, folder, steps)
            charged = price().cost(server.counts().charged)
        return _outcome(f"driver killed {kills} times", problems, folder, steps, charged)


def actor_kills(problems: str, steps: int, kills: int) -> Outcome:
    """SIGKILL of generation actors at random moments while their driver goes on."""
    rng = random.Random(8)

    async def main(server: RehearsalServer, folder: Path) -> None:
        async with buyer(server.base_url, actors=2, folder=folder, in_flight=_IN_FLIGHT, retries=20) as bought:
            work = asyncio.gather(*(bought.ask(n) for n in range(steps)))
            for _ in range(kills):
                await asyncio.sleep(rng.uniform(0.2, 1.5))
                if work.done():
                    raise RuntimeError(f"{steps} replies are too few: all were bought before the last kill")
                await _kill_one(bought, rng)
            await work

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with RehearsalServer(_settings(problems, folder)) as server:
            asyncio.run(main(server, folder))
            charged = price().cost(server.counts().charged)
        return _outcome(f"actors killed {kills} times", problems, folder, steps, charged)


async def _kill_one(bought: Buyer, rng: random.Random) -> None:
    assert bought.pool is not None
    pid = await rng.choice(bought.pool.handles).pid.remote()
    os.kill(pid, signal.SIGKILL)


def _settings(problems: str, folder: Path) -> RehearsalSettings:
    return RehearsalSettings(problems=problems, log=str(folder / "log"), **_ANSWERS)


# -- a driver of its own -------------------------------------------------------------------------------------


def _child(base_url: str, folder: Path, steps: int) -> subprocess.Popen[str]:
    task = json.dumps({"base_url": base_url, "folder": str(folder), "steps": steps})
    command = [sys.executable, "-m", "scripts.bench.generation_parts.faults", task]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _once(base_url: str, folder: Path, steps: int) -> None:
    child = _child(base_url, folder, steps)
    assert child.stdout is not None
    with child.stdout:
        child.stdout.read()
    if child.wait() != 0:
        raise RuntimeError(f"the driver ended with {child.returncode}")


async def _drive(base_url: str, folder: Path, steps: int) -> None:
    async with buyer(base_url, actors=0, folder=folder, in_flight=_IN_FLIGHT) as bought:
        work = asyncio.gather(*(bought.ask(n) for n in range(steps)))
        # Everything that the journal has is looked up before the first request goes out.
        while bought.service.in_flight == 0 and not work.done():
            await asyncio.wait([work], timeout=0.01)
        print("begun", flush=True)
        await work


# -- what is compared ----------------------------------------------------------------------------------------


def _outcome(name: str, problems: str, folder: Path, steps: int, charged: Decimal) -> Outcome:
    journal = folder / "journal.sqlite"
    spent = bill(journal)
    return Outcome(
        name=name,
        steps=steps,
        same=replies(journal) == _undisturbed(problems, steps),
        bought_again=bought_again(folder / "log", journal),
        settled=spent.settled,
        unsettled=spent.unsettled,
        charged=charged,
    )


@functools.lru_cache
def _undisturbed(problems: str, steps: int) -> dict[str, tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as scratch:
        with RehearsalServer(RehearsalSettings(problems=problems, **_ANSWERS)) as server:
            _once(server.base_url, Path(scratch), steps)
        return replies(Path(scratch) / "journal.sqlite")


if __name__ == "__main__":
    _task = json.loads(sys.argv[1])
    asyncio.run(_drive(_task["base_url"], Path(_task["folder"]), _task["steps"]))
