"""A journal and a ledger in memory that check what buying replies must never do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from decimal import Decimal

from orchestrator.core.generation import GenerationRequest, Reply
from orchestrator.core.money import AccountRef, BudgetExhausted

ACCOUNT = AccountRef("cell", "trial", False)


class Books:
    """Both ports in one. ``reserve`` does not wait: it refuses what does not fit while nothing is open."""

    def __init__(self, usd: Decimal | None = None) -> None:
        self.usd = usd
        self.replies: dict[str, Reply] = {}
        self.payers: dict[str, int | None] = {}
        self.costs: dict[str, Decimal | None] = {}
        self.open: dict[int, tuple[str, Decimal]] = {}
        self.abandoned: dict[int, tuple[str, Decimal]] = {}
        self.settled = Decimal(0)
        self.released = 0
        self.batches: dict[str, str] = {}
        self.log: list[str] = []
        self._ids = itertools.count(1)
        self._changed = asyncio.Event()

    @property
    def unsettled(self) -> Decimal:
        return sum((worst for _, worst in self.abandoned.values()), Decimal(0))

    @property
    def committed(self) -> Decimal:
        return self.settled + self.unsettled + sum((worst for _, worst in self.open.values()), Decimal(0))

    async def reply(self, key: str) -> Reply | None:
        await asyncio.sleep(0)
        return self.replies.get(key)

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
        await asyncio.sleep(0.001)
        assert key == request.key(sample)
        assert key not in self.replies, "bought twice"
        self.replies[key], self.payers[key], self.costs[key] = reply, reservation_id, usd
        self.log.append(f"put {key}")
        if reservation_id is not None:
            _, worst = self._end(reservation_id)
            assert usd is not None
            assert usd <= worst, "the worst case was not the worst"
            self.settled += usd
        self._change()

    async def put_batch(self, batch_id: str, payload: str) -> None:
        self.log.append(f"batch {batch_id}")
        self.batches[batch_id] = payload

    async def open_batches(self) -> Mapping[str, str]:
        return dict(self.batches)

    async def close_batch(self, batch_id: str) -> None:
        del self.batches[batch_id]

    def fits(self, worst_usd: Decimal, account: AccountRef) -> bool:
        return self.usd is None or self.committed + worst_usd <= self.usd

    async def reserve(self, *, key: str, worst_usd: Decimal, account: AccountRef) -> int:
        while not self.fits(worst_usd, account):
            if not self.open:
                raise BudgetExhausted("no room")
            await self._changed.wait()
        number = next(self._ids)
        self.open[number] = (key, worst_usd)
        await asyncio.sleep(0.001)
        return number

    async def release(self, reservation_id: int) -> None:
        self._end(reservation_id)
        self.released += 1
        self._change()

    async def abandon(self, reservation_id: int) -> None:
        self.abandoned[reservation_id] = self._end(reservation_id)
        self._change()

    def _end(self, reservation_id: int) -> tuple[str, Decimal]:
        # A later driver may be told what became of a batch after all.
        books = self.open if reservation_id in self.open else self.abandoned
        return books.pop(reservation_id)

    def _change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
