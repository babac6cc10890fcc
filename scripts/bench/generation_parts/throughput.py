"""Requests a second without limits, and what they cost the driver and the actors."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestrator.generate.rehearsal import RehearsalServer, RehearsalSettings
from scripts.bench.generation_parts.common import buyer

__all__ = ["Size", "Throughput", "measure", "size"]


@dataclass(frozen=True)
class Throughput:
    """One combination."""

    actors: int
    in_flight: int
    requests: int
    per_s: float
    driver_ms: float
    """CPU milliseconds of the driver for a request."""
    actor_ms: float
    """CPU milliseconds of all actors for a request."""
    driver_mib: float
    actors_mib: float
    load: float
    """Of the machine at the end, as processes that want a core over the last minute: ours and others'."""


@dataclass(frozen=True)
class Size:
    """One run of so many requests."""

    requests: int
    seconds: float
    driver_ms: float
    """CPU milliseconds of the driver for a request."""
    driver_mib: float
    journal_mib: float


def size(problems: str, requests: int) -> Size:
    """Buy so many replies, all wanted from the start: what a request costs must not grow with their number."""

    async def main(server: RehearsalServer, folder: Path) -> Size:
        driver = psutil.Process()
        async with buyer(server.base_url, actors=2, folder=folder, in_flight=200) as bought:
            before, begun = driver.cpu_times(), time.perf_counter()
            await asyncio.gather(*(bought.ask(number) for number in range(requests)))
            after, took_s = driver.cpu_times(), time.perf_counter() - begun
        spent_s = after.user + after.system - before.user - before.system
        return Size(requests, took_s, 1000 * spent_s / requests, driver.memory_info().rss / 2**20, _mib(folder))

    settings = RehearsalSettings(problems=problems, latency_low_s=0.05, latency_high_s=0.05)
    with tempfile.TemporaryDirectory() as scratch, RehearsalServer(settings) as server:
        return asyncio.run(main(server, Path(scratch)))


def measure(problems: str, actors: int, in_flight: int, seconds: float) -> Throughput:
    """Keep ``in_flight`` requests of 0.5 s each going for so long, after as long again to get there."""

    async def main(server: RehearsalServer) -> Throughput:
        driver = psutil.Process()
        async with buyer(server.base_url, actors=actors, in_flight=in_flight) as bought:
            assert bought.pool is not None
            # Slow start is not what is measured here.
            warm_s = max(4.0, seconds / 2)
            work = asyncio.create_task(bought.ask_for(warm_s + seconds, in_flight))
            await asyncio.sleep(warm_s)
            replies, begun = bought.service.stats.replies, time.perf_counter()
            driver_s, actors_s, _ = await _spent(driver, bought.pool.handles)
            await asyncio.sleep(seconds)
            count, took_s = bought.service.stats.replies - replies, time.perf_counter() - begun
            driver_end_s, actors_end_s, actors_bytes = await _spent(driver, bought.pool.handles)
            await work
        return Throughput(
            actors,
            in_flight,
            count,
            count / took_s,
            1000 * (driver_end_s - driver_s) / count,
            1000 * (actors_end_s - actors_s) / count,
            driver.memory_info().rss / 2**20,
            actors_bytes / 2**20,
            os.getloadavg()[0],
        )

    settings = RehearsalSettings(problems=problems, latency_low_s=0.5, latency_high_s=0.5)
    with RehearsalServer(settings) as server:
        return asyncio.run(main(server))


def _mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 2**20


async def _spent(driver: psutil.Process, actors: list[object]) -> tuple[float, float, int]:
    times = driver.cpu_times()
    usages = await asyncio.gather(*(actor.usage.remote() for actor in actors))  # type: ignore[attr-defined]
    return times.user + times.system, sum(cpu for cpu, _ in usages), sum(rss for _, rss in usages)
