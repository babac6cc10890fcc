"""What buying replies needs from the journal, the ledger and whoever sends requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from orchestrator.core.generation import GenerationRequest, Reply
from orchestrator.core.money import AccountRef
from orchestrator.generate.attempts import Attempt, AttemptResult, ModelFacts
from orchestrator.generate.batch_records import BatchEntry, BatchOutcome, BatchStatus, CallResult

__all__ = ["ReplyJournal", "Reserver", "Sender"]


class ReplyJournal(Protocol):
    """Durable record of replies and of open batches."""

    async def reply(self, key: str) -> Reply | None:
        """The journaled reply for ``key``, if there is one."""

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
        """Record a paid reply and settle its reservation in the same transaction; durable on return.

        ``reservation_id`` may be one that an earlier driver made (a batch that this one re-attached to): a
        reservation that was counted as unsettled becomes settled at ``usd``.
        """

    async def put_batch(self, batch_id: str, payload: str) -> None:
        """Record an open batch (or replace its payload); durable on return."""

    async def open_batches(self) -> Mapping[str, str]:
        """Payloads of batches that were put and not closed, by id."""

    async def close_batch(self, batch_id: str) -> None:
        """Forget a batch whose every result is journaled."""


class Reserver(Protocol):
    """The ledger, as far as a purchase needs it."""

    def fits(self, worst_usd: Decimal, account: AccountRef) -> bool:
        """Whether :meth:`reserve`, called at once, would not have to wait for reservations of others."""

    async def reserve(self, *, key: str, worst_usd: Decimal, account: AccountRef) -> int:
        """Set the worst case aside and return the reservation's id; durable on return.

        Waits while reservations of others are in flight and may free enough.

        Raises:
            BudgetExhausted: it does not fit and nothing in flight can change that.
        """

    async def release(self, reservation_id: int) -> None:
        """Give a reservation back: the request surely was not charged."""

    async def abandon(self, reservation_id: int) -> None:
        """The request may have been charged and nobody will ever know: it stays counted at its worst case."""


class Sender(Protocol):
    """Makes single attempts, somewhere. Never raises for what a server or a network does."""

    async def send(self, attempt: Attempt) -> AttemptResult:
        """Send one request once."""

    async def probe(self, model: str) -> CallResult[ModelFacts]:
        """Ask for the model's description, which costs nothing."""

    async def create_batch(self, entries: Sequence[BatchEntry]) -> CallResult[BatchStatus]:
        """Submit a Message Batch."""

    async def batch_status(self, batch_id: str) -> CallResult[BatchStatus]:
        """Ask how far it is."""

    async def batch_outcomes(self, batch_id: str) -> CallResult[list[BatchOutcome]]:
        """All results of a batch that ended."""

    async def recent_batches(self, limit: int) -> CallResult[list[BatchStatus]]:
        """The account's latest batches, newest first."""

    async def cancel_batch(self, batch_id: str) -> CallResult[BatchStatus]:
        """Ask the provider to stop a batch; what it has done already is billed."""

    async def close(self) -> None:
        """End whatever was started for sending."""
