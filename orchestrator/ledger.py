"""The ledger: no dollar over budget, whatever the replies turn out to cost.

The worst case of a request is reserved before it is sent and settled with its real usage after. At every moment
``settled + unsettled + reserved`` is at most the cap, in each scope: the run, the cell, the trial. Synthetic
dollars (rehearsal) are kept in books of their own, under the same caps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from orchestrator.core.money import AccountRef, BudgetExhausted
from orchestrator.journal.store import Journal

__all__ = ["Ledger", "Totals"]

ZERO = Decimal(0)


@dataclass(slots=True)
class Totals:
    """What one scope has spent and promised, in dollars."""

    cap: Decimal | None
    key: str = "budget.usd"
    """The configuration key of the cap."""
    settled: Decimal = ZERO
    unsettled: Decimal = ZERO
    """Requests that may have been charged and never told: counted at their worst case."""
    reserved: Decimal = ZERO
    in_flight: int = 0

    @property
    def committed(self) -> Decimal:
        """The sum that never exceeds the cap."""
        return self.settled + self.unsettled + self.reserved

    def fits(self, usd: Decimal) -> bool:
        """Whether a further promise stays within the cap."""
        return self.cap is None or self.committed + usd <= self.cap


@dataclass(slots=True)
class _Open:
    account: AccountRef
    worst: Decimal


@dataclass(slots=True)
class _Waiter:
    account: AccountRef
    worst: Decimal
    decided: asyncio.Future[None]


@dataclass(slots=True)
class _Books:
    run: Totals
    cells: dict[str, Totals] = field(default_factory=dict)
    trials: dict[str, Totals] = field(default_factory=dict)


class Ledger:
    """Reserve, settle, release, abandon. One event loop; every promise is journaled before it counts as made."""

    def __init__(
        self,
        journal: Journal,
        *,
        usd: Decimal | None,
        cell_usd: Decimal | None = None,
        trial_usd: Decimal | None = None,
    ) -> None:
        self._journal = journal
        self._caps = (usd, cell_usd, trial_usd)
        self._books = {synthetic: _Books(Totals(usd)) for synthetic in (False, True)}
        self._open: dict[int, _Open] = {}
        self._unsettled: dict[int, _Open] = {}
        self._waiting: deque[_Waiter] = deque()
        self._refused = 0

    async def recover(self) -> None:
        """Count what earlier drivers of this run spent and left open. Call once, before the first reservation."""
        for row in await self._journal.reservations():
            for totals in self._scopes(row.account):
                if row.state == "settled":
                    totals.settled += row.settled_usd if row.settled_usd is not None else row.worst_usd
                elif row.state == "unsettled":
                    totals.unsettled += row.worst_usd
            if row.state == "unsettled":
                self._unsettled[row.id] = _Open(row.account, row.worst_usd)

    def totals(self, *, synthetic: bool, cell: str | None = None) -> Totals:
        """The run's totals, or one cell's."""
        books = self._books[synthetic]
        return books.run if cell is None else books.cells.setdefault(cell, self._for_cell())

    @property
    def exhausted(self) -> bool:
        """Whether some reservation was refused for good."""
        return self._refused > 0

    def fits(self, worst_usd: Decimal, account: AccountRef) -> bool:
        """Whether :meth:`reserve`, called at once, would grant it without waiting for anything in flight.

        Whoever waits already does not fit, so nobody stands before it.
        """
        return all(totals.fits(worst_usd) for totals in self._scopes(account))

    async def reserve(self, *, key: str, worst_usd: Decimal, account: AccountRef) -> int:
        """Promise ``worst_usd``; durable on return. Waits while promises in flight could still make room.

        Returns:
            The reservation's id.

        Raises:
            BudgetExhausted: it does not fit and nothing in flight could change that.
        """
        if self.fits(worst_usd, account) and not self._waiting:
            self._take(account, worst_usd)
        else:
            waiter = _Waiter(account, worst_usd, asyncio.get_running_loop().create_future())
            self._waiting.append(waiter)
            self._serve()
            try:
                await waiter.decided
            except asyncio.CancelledError:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                elif waiter.decided.done() and not waiter.decided.cancelled() and not waiter.decided.exception():
                    self._give_back(account, worst_usd)
                self._serve()
                raise
        try:
            reservation = await self._journal.put_reservation(key=key, account=account, worst_usd=worst_usd)
        except BaseException:
            # Nothing was sent for it. If the row did reach the disk it is found unsettled on resume: too careful,
            # never too free.
            self._give_back(account, worst_usd)
            self._serve()
            raise
        self._open[reservation] = _Open(account, worst_usd)
        return reservation

    def settle(self, reservation: int, usd: Decimal) -> None:
        """The reply is journaled and cost ``usd`` (the journal settled the row in the same transaction).

        A reservation of an earlier driver, counted as unsettled until now, becomes settled too: that is how a
        batch which was re-attached to is paid for.
        """
        open_ = self._end(reservation)
        for totals in self._scopes(open_.account):
            totals.settled += usd
        self._serve()

    async def release(self, reservation: int) -> None:
        """The request was surely not charged. Also one of an earlier driver, once its batch has told."""
        try:
            await self._journal.end_reservation(reservation, "released")
        finally:
            # Also when cancelled: the row is queued before any later one, so the order on disk is the same.
            self._end(reservation)
            self._serve()

    async def abandon(self, reservation: int) -> None:
        """The request may have been charged: it stays counted at its worst case.

        For a reservation of an earlier driver that is so already.
        """
        if reservation in self._unsettled:
            return
        try:
            await self._journal.end_reservation(reservation, "unsettled")
        finally:
            open_ = self._end(reservation)
            for totals in self._scopes(open_.account):
                totals.unsettled += open_.worst
            self._serve()

    # ------------------------------------------------------------------------------------------------------

    def _scopes(self, account: AccountRef) -> Iterator[Totals]:
        books = self._books[account.synthetic]
        yield books.run
        yield books.cells.setdefault(account.cell, self._for_cell())
        if self._caps[2] is not None:
            yield books.trials.setdefault(account.trial, Totals(self._caps[2], "budget.trial_usd"))

    def _for_cell(self) -> Totals:
        return Totals(self._caps[1], "budget.cell_usd")

    def _take(self, account: AccountRef, usd: Decimal) -> None:
        for totals in self._scopes(account):
            totals.reserved += usd
            totals.in_flight += 1

    def _give_back(self, account: AccountRef, usd: Decimal) -> None:
        for totals in self._scopes(account):
            totals.reserved -= usd
            totals.in_flight -= 1

    def _end(self, reservation: int) -> _Open:
        """Take a promise out of the sums: of those in flight, or of those that an earlier driver left unsettled."""
        earlier = self._unsettled.pop(reservation, None)
        if earlier is not None:
            for totals in self._scopes(earlier.account):
                totals.unsettled -= earlier.worst
            return earlier
        open_ = self._open.pop(reservation)
        self._give_back(open_.account, open_.worst)
        return open_

    def _serve(self) -> None:
        """Decide every waiter that can be decided: grant it, or refuse it when nothing in flight can help."""
        still: deque[_Waiter] = deque()
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.decided.done():
                continue
            if self.fits(waiter.worst, waiter.account):
                self._take(waiter.account, waiter.worst)
                waiter.decided.set_result(None)
                continue
            full = [t for t in self._scopes(waiter.account) if not t.fits(waiter.worst)]
            if any(t.in_flight == 0 for t in full):
                tightest = min((t for t in full if t.in_flight == 0), key=lambda t: t.cap or ZERO)
                self._refused += 1
                waiter.decided.set_exception(
                    BudgetExhausted(
                        f"a request that may cost ${waiter.worst:.4f} does not fit {tightest.key}={tightest.cap}, "
                        f"of which ${tightest.committed:.4f} is used up",
                        tightest.key,
                        tightest.committed + waiter.worst,
                    )
                )
                continue
            still.append(waiter)
        self._waiting = still
