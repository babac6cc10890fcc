"""Buying replies in batches: the same steps as for single requests, at half the price and without the limiter."""

from __future__ import annotations

import time

from orchestrator.core.generation import Reply
from orchestrator.generate.attempts import AttemptResult, FailureKind
from orchestrator.generate.batches import BatchDesk, BatchSettings, Ticket
from orchestrator.generate.limiter import GenerationStopped
from orchestrator.generate.patience import BatchUnreachable
from orchestrator.generate.purchases import GenerationFailed, Lane, Purchases, RequestRefused, Step, too_long
from orchestrator.generate.rehearsal.draws import RequestId

__all__ = ["BatchPurchases"]


class BatchPurchases:
    """Buys replies through one desk a provider."""

    def __init__(self, purchases: Purchases, settings: BatchSettings) -> None:
        self._purchases = purchases
        self._settings = settings
        self._desks: dict[str, BatchDesk] = {}

    async def buy(self, step: Step) -> Reply:
        """Buy one reply, or take the one that an earlier driver ordered.

        The reservation of an entry that the provider did not process is kept for its next try; that of one which
        is waited for when the sweep stops, or that the provider tells nothing of, stays counted at its worst case,
        since the batch goes on. So does that of one whose result the provider has lost.

        Raises:
            BudgetExhausted, GenerationFailed, FatalApiError, GenerationStopped: as told there.
        """
        lane = self._purchases.lane(step.request)
        desk = self._desk(lane)
        ticket = await desk.claim(step.key)
        reservation = ticket.reservation_id if ticket is not None else None
        retries = 0
        try:
            while True:
                if ticket is None:
                    self._purchases.raise_if_over()
                    if reservation is None:
                        reservation = await self._purchases.reserve(step, batch=True)
                    ticket = desk.submit(step.key, step.request, _rehearsal_id(lane, step, retries), reservation)
                try:
                    outcome = await ticket.outcome
                except (BatchUnreachable, GenerationStopped) as error:
                    if reservation is not None and ticket.sent:
                        # The batch may go on, but nobody here waits for it: who waits for money must not either.
                        await self._purchases.abandon(reservation)
                    if isinstance(error, GenerationStopped):
                        raise
                    raise GenerationFailed(f"the batch was lost sight of: {error}") from None
                reply, failure = outcome.reply, outcome.failure
                if failure is not None and failure.kind is FailureKind.CONTEXT_EXCEEDED:
                    reply = too_long(step.request, failure)
                if reply is not None:
                    return await self._keep(lane, step, ticket, reservation, AttemptResult(reply, None))
                assert failure is not None
                ticket = None
                if outcome.again and failure.may_have_charged and reservation is not None:
                    await self._purchases.abandon(reservation)
                    reservation = None
                if step.part == 0 or failure.kind is not FailureKind.INVALID:
                    self._purchases.raise_if_fatal(failure)
                retries += 1
                if not outcome.again:
                    raise RequestRefused(failure.line())
                self._purchases.count_retry(failure, retries)
        finally:
            if reservation is not None and (ticket is None or not ticket.sent):
                await self._purchases.release(reservation)

    async def _keep(
        self, lane: Lane, step: Step, ticket: Ticket, reservation: int | None, result: AttemptResult
    ) -> Reply:
        assert result.reply is not None
        waited = max(0.0, time.time() - ticket.submitted_unix_s)
        timed = AttemptResult(result.reply, None, latency_s=waited)
        reply = await self._purchases.keep(
            lane, step, result.reply, spent=(timed, 0.0), paid=reservation, batch=True
        )
        ticket.kept.set()
        return reply

    def stop(self) -> None:
        """Submit and wait for nothing more; what is at the provider goes on."""
        for desk in self._desks.values():
            desk.stop()

    async def cancel(self) -> None:
        """Ask the provider to end what it has not done yet."""
        for desk in self._desks.values():
            await desk.cancel()

    @property
    def open_batches(self) -> dict[str, int]:
        """Batches at providers, with how many of their requests are waited for."""
        return {name: count for desk in self._desks.values() for name, count in desk.open_batches.items()}

    def _desk(self, lane: Lane) -> BatchDesk:
        provider = lane.route.provider
        if provider not in self._desks:
            self._desks[provider] = self._purchases.desk(lane, self._settings)
        return self._desks[provider]


def _rehearsal_id(lane: Lane, step: Step, retries: int) -> str:
    if not lane.route.synthetic:
        return ""
    return str(RequestId(step.problem_id, step.sample, step.turn, retries))
