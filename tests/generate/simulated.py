"""A sender that behaves like an account with limits, on the loop's own clock, without a network."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.core.generation import Usage
from orchestrator.generate.attempts import (
    Attempt,
    AttemptReply,
    AttemptResult,
    Failure,
    FailureKind,
    ModelFacts,
    Window,
)
from orchestrator.generate.batch_records import BatchEntry, BatchOutcome, BatchStatus, CallResult


@dataclass
class ServerBucket:
    """A token bucket as a provider keeps it."""

    limit: float
    capacity_s: float = 60.0
    level: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.limit * self.capacity_s / 60
        self.at = asyncio.get_running_loop().time()

    def refill(self) -> None:
        now = asyncio.get_running_loop().time()
        full = self.limit * self.capacity_s / 60
        self.level = min(full, self.level + (now - self.at) * self.limit / 60)
        self.at = now


@dataclass
class SimulatedBatch:
    """A batch at the provider."""

    entries: list[BatchEntry]
    created: float
    cancelled: float | None = None
    created_unix_s: float = field(default_factory=time.time)
    archived: bool = False


class SimulatedSender:
    """Replies after a while, refuses over its limits, and counts both."""

    def __init__(
        self,
        *,
        limits: dict[str, float] | None = None,
        capacity_s: float = 60.0,
        latency_s: tuple[float, float] = (1.0, 8.0),
        usage: Callable[[random.Random], Usage] = lambda rng: Usage(100, 50),
        script: Callable[[Attempt, int], Failure | AttemptReply | None] = lambda attempt, number: None,
        seed: int = 0,
        output_at_start: bool = False,
        lag_s: float = 0.0,
    ) -> None:
        """Prepare to answer.

        Args:
            limits: per minute, by header family.
            capacity_s: seconds of its limit that a bucket holds.
            latency_s: least and most.
            usage: draws what a request uses.
            script: may decide attempt ``number`` (from 0); None leaves it to the limits.
            seed: of all draws.
            output_at_start: output tokens are charged when a request is admitted, not when its reply ends.
            lag_s: mean time that requests are held up on their way there, and replies on their way back, by
                machines that are too busy to see it.
        """
        self.output_at_start = output_at_start
        self.lag_s = lag_s
        self.rng = random.Random(seed)
        self.buckets = {name: ServerBucket(limit, capacity_s) for name, limit in (limits or {}).items()}
        self.latency_s = latency_s
        self.usage = usage
        self.script = script
        self.attempts: list[Attempt] = []
        self.starts: list[float] = []
        self.refused = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.charged: list[tuple[float, Usage]] = []
        self.closed = False
        self.batches: dict[str, SimulatedBatch] = {}
        self.batch_s = 600.0
        self.script_batch: Callable[[str, int], Failure | None] = lambda call, number: None
        self.kept_anyway = False
        """Creations that fail make their batch nevertheless."""
        self.script_entry: Callable[[BatchEntry, str], Failure | None] = lambda entry, batch_id: None

    def windows(self) -> tuple[Window, ...]:
        return tuple(
            Window(name, bucket.limit, max(0.0, bucket.level), 0.0) for name, bucket in self.buckets.items()
        )

    async def send(self, attempt: Attempt) -> AttemptResult:
        loop = asyncio.get_running_loop()
        number = len(self.attempts)
        self.attempts.append(attempt)
        self.starts.append(loop.time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(attempt, number, loop)
        finally:
            self.in_flight -= 1

    async def _answer(self, attempt: Attempt, number: int, loop: asyncio.AbstractEventLoop) -> AttemptResult:
        decided = self.script(attempt, number)
        if isinstance(decided, Failure):
            await asyncio.sleep(0.05)
            return AttemptResult(None, decided)
        usage = decided.usage if decided is not None else self.usage(self.rng)
        await asyncio.sleep(0.01 + self._lag())
        for bucket in self.buckets.values():
            bucket.refill()
        need = {"requests": 1.0, "input-tokens": usage.input_tokens, "output-tokens": 0.0}
        if self.output_at_start:
            need["output-tokens"] = usage.output_tokens
        if any(bucket.level < need[name] for name, bucket in self.buckets.items()):
            self.refused += 1
            lacking = [
                (need[name] - bucket.level) / bucket.limit * 60
                for name, bucket in self.buckets.items()
                if bucket.level < need[name]
            ]
            failure = Failure(FailureKind.RATE_LIMITED, "slow down", 429, "r", max(0.1, *lacking, 0.1))
            windows = self.windows()
            await asyncio.sleep(self._lag())
            return AttemptResult(None, failure, windows)
        for name, bucket in self.buckets.items():
            bucket.level -= need[name]
        windows, at = self.windows(), loop.time()
        await asyncio.sleep(self.rng.uniform(*self.latency_s))
        if "output-tokens" in self.buckets and not self.output_at_start:
            self.buckets["output-tokens"].refill()
            self.buckets["output-tokens"].level -= usage.output_tokens
        self.charged.append((loop.time(), usage))
        took_s = loop.time() - at
        await asyncio.sleep(self._lag())
        reply = decided or AttemptReply(
            f"answer {number}", "end_turn", usage, attempt.request.model, f"req_{number}"
        )
        return AttemptResult(reply, None, windows, took_s, took_s)

    def _lag(self) -> float:
        return self.rng.expovariate(1 / self.lag_s) if self.lag_s else 0.0

    async def probe(self, model: str) -> CallResult[ModelFacts]:
        return CallResult(ModelFacts())

    async def create_batch(self, entries: Sequence[BatchEntry]) -> CallResult[BatchStatus]:
        await asyncio.sleep(0.1)
        name = f"batch_{len(self.batches)}"
        decided = self.script_batch("create", len(self.batches))
        if decided is None or decided.may_have_charged or self.kept_anyway:
            self.batches[name] = SimulatedBatch(list(entries), asyncio.get_running_loop().time())
        if decided is not None:
            return CallResult(None, decided)
        return CallResult(self._batch_status(name))

    async def batch_status(self, batch_id: str) -> CallResult[BatchStatus]:
        decided = self.script_batch("status", len(self.batches))
        if decided is not None:
            return CallResult(None, decided)
        return CallResult(self._batch_status(batch_id))

    def _batch_status(self, batch_id: str) -> BatchStatus:
        batch = self.batches[batch_id]
        ended = asyncio.get_running_loop().time() >= batch.created + self.batch_s
        total = len(batch.entries)
        left = 0 if ended else total
        return BatchStatus(batch_id, ended, batch.created_unix_s, total, left, batch.archived)

    async def batch_outcomes(self, batch_id: str) -> CallResult[list[BatchOutcome]]:
        batch = self.batches[batch_id]
        if batch.archived:
            # As the SDK says it: no address of results.
            return CallResult(None, Failure(FailureKind.CONNECTION, "No `results_url`", may_have_charged=True))
        outcomes = []
        for number, entry in enumerate(batch.entries):
            done = batch.cancelled is None or number % 2 == 0
            failure = None if done else Failure(FailureKind.SERVER_ERROR, "it was cancelled")
            failure = failure or self.script_entry(entry, batch_id)
            reply = AttemptReply(f"{batch_id} {number}", "end_turn", Usage(100, 50), entry.request.model, "m")
            outcomes.append(
                BatchOutcome(entry.custom_id, None if failure else reply, failure, again=failure is not None)
            )
        self.rng.shuffle(outcomes)
        return CallResult(outcomes)

    async def recent_batches(self, limit: int) -> CallResult[list[BatchStatus]]:
        found = [(await self.batch_status(name)).value for name in reversed(self.batches)]
        return CallResult([status for status in found if status is not None][:limit])

    async def cancel_batch(self, batch_id: str) -> CallResult[BatchStatus]:
        self.batches[batch_id].cancelled = asyncio.get_running_loop().time()
        self.batches[batch_id].created = float("-inf")
        return await self.batch_status(batch_id)

    async def close(self) -> None:
        self.closed = True
