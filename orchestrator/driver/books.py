"""The journal and the ledger as one thing, so that a reply is never stored without being paid for."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from orchestrator.core.generation import GenerationRequest, Reply
from orchestrator.journal.cache import ReplyCache
from orchestrator.journal.store import Journal
from orchestrator.ledger import Ledger

__all__ = ["Books"]


class Books:
    """What buying replies sees of the journal: every stored reply is settled in the ledger as well."""

    def __init__(self, journal: Journal, ledger: Ledger, cache: ReplyCache | None) -> None:
        self._journal = journal
        self._ledger = ledger
        self._cache = cache
        self.from_cache = 0
        """Replies that another run had paid for."""

    async def reply(self, key: str) -> Reply | None:
        """The reply, from this run's journal or from the cache across runs."""
        reply = await self._journal.reply(key)
        if reply is not None or self._cache is None:
            return reply
        cached = await self._cache.get(key)
        if cached is None:
            return None
        await self._journal.copy_reply(key, cached)
        self.from_cache += 1
        return cached.reply

    async def put_reply(
        self,
        key: str,
        *,
        request: GenerationRequest,
        sample: int,
        turn: int,
        problem_id: str,
        reply: Reply,
        reservation_id: int | None,
        usd: Decimal | None,
    ) -> None:
        """Store a paid reply durably and settle its reservation."""
        await self._journal.put_reply(
            key,
            request=request,
            sample=sample,
            turn=turn,
            problem_id=problem_id,
            reply=reply,
            reservation_id=reservation_id,
            usd=usd,
        )
        if reservation_id is not None:
            self._ledger.settle(reservation_id, usd if usd is not None else Decimal(0))
        if self._cache is not None:
            await self._cache.put(await self._journal.stored_reply(key))

    async def put_batch(self, batch_id: str, payload: str) -> None:
        """Remember an open batch."""
        await self._journal.put_batch(batch_id, payload)

    async def open_batches(self) -> Mapping[str, str]:
        """Open batches by id."""
        return await self._journal.open_batches()

    async def close_batch(self, batch_id: str) -> None:
        """All results of the batch are journaled."""
        await self._journal.close_batch(batch_id)
