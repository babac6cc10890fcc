"""Sends requests: in this process, or in an actor somewhere in the cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence

from orchestrator.core.generation import GenerationRequest
from orchestrator.generate.attempts import Attempt, AttemptResult, Endpoint, Failure, FailureKind, ModelFacts
from orchestrator.generate.batch_records import BatchEntry, BatchOutcome, BatchStatus, CallResult
from orchestrator.generate.client import MessagesClient, MissingKey

__all__ = ["GenerationActor", "LocalSender"]


class LocalSender:
    """One client in this process and on the event loop that first sends with it.

    A key that is missing here is a fatal failure of every call, told in words: an exception in an actor's
    constructor would only say that the actor died.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._client: MessagesClient | None = None
        self._missing: Failure | None = None
        try:
            self._client = MessagesClient(endpoint)
        except MissingKey as error:
            self._missing = Failure(FailureKind.FATAL, str(error))

    async def send(self, attempt: Attempt) -> AttemptResult:
        """Send one request once."""
        if self._client is None:
            return AttemptResult(None, self._missing)
        return await self._client.send(attempt)

    async def probe(self, model: str) -> CallResult[ModelFacts]:
        """Ask for the model's description."""
        if self._client is None:
            return CallResult(None, self._missing)
        return await self._client.probe(model)

    async def count_tokens(self, request: GenerationRequest) -> CallResult[int]:
        """Ask for the provider's own count of input tokens."""
        if self._client is None:
            return CallResult(None, self._missing)
        return await self._client.count_tokens(request)

    async def create_batch(self, entries: Sequence[BatchEntry]) -> CallResult[BatchStatus]:
        """Submit a Message Batch."""
        if self._client is None:
            return CallResult(None, self._missing)
        return await self._client.create_batch(entries)

    async def batch_status(self, batch_id: str) -> CallResult[BatchStatus]:
        """Ask how far a batch is."""
        if self._client is None:
            return CallResult(None, self._missing)
        return await self._client.batch_status(batch_id)

    async def batch_outcomes(self, batch_id: str) -> CallResult[list[BatchOutcome]]:
        """All results of a batch that ended."""
        if self._client is None:
            return CallResult(None, self._missing)
        return await self._client.batch_outcomes(batch_id)

    async def recent_batches(self, limit: int) -> CallResult[list[BatchStatus]]:
        """The account's latest batches, newest first."""
        if self._client is None:
            return CallResult(None, self._missing)
        return await self._client.recent_batches(limit)

    async def cancel_batch(self, batch_id: str) -> CallResult[BatchStatus]:
        """Ask the provider to stop a batch."""
        if self._client is None:
            return CallResult(None, self._missing)
        return await self._client.cancel_batch(batch_id)

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.close()


class GenerationActor(LocalSender):
    """What runs in a Ray actor: a :class:`LocalSender` that can also say how it is.

    All methods are coroutines, so Ray runs it as an async actor: one event loop, one client, many requests.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        from orchestrator.execute.sandbox.process import die_with_parent

        # The raylet is the parent. An actor that outlives it, as Ray lets a busy one do, would go on buying replies
        # that nobody is left to journal.
        die_with_parent()
        super().__init__(endpoint)

    async def ready(self) -> None:
        """Returns once the actor stands."""

    async def pid(self) -> int:
        """The process on its node."""
        return os.getpid()

    async def usage(self) -> tuple[float, int]:
        """CPU seconds (user + system) and resident bytes of this process, for measurements."""
        import psutil

        process = psutil.Process()
        times = process.cpu_times()
        return times.user + times.system, int(process.memory_info().rss)
