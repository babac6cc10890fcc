"""Message Batches: collected, submitted, polled and picked up again by the driver that comes after a crash."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.core.digests import canonical_json, digest
from orchestrator.core.generation import GenerationRequest
from orchestrator.generate.attempts import Failure, FailureKind
from orchestrator.generate.batch_records import BatchEntry, BatchOutcome
from orchestrator.generate.limiter import GenerationStopped
from orchestrator.generate.patience import Patience, counts, passes
from orchestrator.generate.ports import ReplyJournal, Sender

__all__ = ["BatchDesk", "BatchSettings", "Ticket", "custom_id"]

_PENDING: Final = "pending:"
"""Prefix of the id under which a batch is journaled before the provider has given it one."""
_RECENT: Final = 1000
"""Batches that are looked through for a lost one: the most that the API lists at once."""
_CLOCKS_S: Final = 300.0
"""How far the provider's clock may be from ours when a batch is looked for by the time of its creation."""


def custom_id(key: str) -> str:
    """The id of a journal key within a batch: the API allows 64 characters, a key has 66."""
    return key[:64]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How batches are made and watched."""

    linger_s: float = 2.0
    """A batch is closed when nothing has been added for so long: trials that ended together go on together."""
    poll_s: float = 30.0
    most_requests: int = 10_000
    """In one batch. The API allows 100,000; smaller ones lose less to a failure and stream their results sooner."""
    most_bytes: int = 100_000_000
    """In one batch. The API allows 256 MB."""
    call_retries: int = 20
    """Of creating, polling and fetching, each, while the provider cannot be reached; rate limits do not count."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One request in a batch, from being asked for to being journaled."""

    custom_id: str
    reservation_id: int | None
    outcome: asyncio.Future[BatchOutcome]
    kept: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the buyer once nothing of the outcome can be lost any more."""
    entry: BatchEntry | None = None
    """None in a ticket of an earlier driver."""
    submitted_unix_s: float = 0.0
    sent: bool = False
    """The provider may have it, so it may be charged."""


class BatchDesk:
    """The batches of one provider. Belongs to the driver's event loop.

    Before a batch is created its content is journaled under a provisional id, and before it is polled under its
    real one; so a driver that is killed at any moment is followed by one that finds the batch again.
    """

    def __init__(
        self, provider: str, sender: Sender, journal: ReplyJournal, settings: BatchSettings, rng: random.Random
    ) -> None:
        self._provider = provider
        self._sender = sender
        self._journal = journal
        self._settings = settings
        self._patience = Patience(settings.call_retries, settings.poll_s, rng)
        self._collected: list[Ticket] = []
        self._bytes = 0
        self._flush: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._earlier: dict[str, Ticket] = {}
        self._sought: dict[str, asyncio.Task[None]] = {}
        """By custom id, the search for the batch that an earlier driver was creating when it ended."""
        self._attached: asyncio.Task[None] | None = None
        self._open: dict[str, list[Ticket]] = {}
        self._followed: set[str] = set()
        self._stopped = False
        self._cancelling = False

    @property
    def open_batches(self) -> dict[str, int]:
        """Batches at the provider, with how many of their requests are waited for."""
        return {batch_id: len(tickets) for batch_id, tickets in self._open.items()}

    async def claim(self, key: str) -> Ticket | None:
        """The ticket of an earlier driver for this request, if its batch is still open. Can be claimed once.

        Returns once it is sure whether there is such a batch, which may be long after others have ended.
        """
        if self._attached is None:
            self._attached = asyncio.create_task(self._attach())
        await asyncio.shield(self._attached)
        if (search := self._sought.get(custom_id(key))) is not None:
            await asyncio.wait({search})
        return self._earlier.pop(custom_id(key), None)

    def submit(self, key: str, request: GenerationRequest, rehearsal_id: str, reservation_id: int | None) -> Ticket:
        """Add a request to the batch that is being collected.

        Raises:
            GenerationStopped: the sweep is stopping.
        """
        if self._stopped:
            raise GenerationStopped("the sweep is stopping")
        entry = BatchEntry(custom_id(key), request, rehearsal_id)
        ticket = Ticket(entry.custom_id, reservation_id, _future(), entry=entry)
        size = len(canonical_json(request))
        if self._collected and self._bytes + size > self._settings.most_bytes:
            self._close_collection()
        self._collected.append(ticket)
        self._bytes += size
        if self._flush is not None:
            self._flush.cancel()
        if len(self._collected) >= self._settings.most_requests:
            self._close_collection()
        else:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(self._settings.linger_s, self._close_collection)
        return ticket

    def stop(self) -> None:
        """Submit and wait for nothing more. Batches at the provider go on; the next driver picks them up."""
        self._stopped = True
        if self._flush is not None:
            self._flush.cancel()
        for task in self._tasks:
            task.cancel()
        for ticket in (*self._collected, *(t for tickets in self._open.values() for t in tickets)):
            _refuse(ticket)
        self._collected = []

    async def cancel(self) -> None:
        """Submit nothing more and ask the provider to end every open batch.

        What it has done is billed; its results are still fetched, after :meth:`stop` by the next driver.
        """
        if self._flush is not None:
            self._flush.cancel()
        collected, self._collected = self._collected, []
        self._stopped = self._cancelling = True
        for ticket in collected:
            _refuse(ticket)
        await asyncio.gather(*(self._sender.cancel_batch(batch_id) for batch_id in tuple(self._open)))

    # --------------------------------------------------------------------------------------------------------

    def _close_collection(self) -> None:
        tickets, self._collected, self._bytes = self._collected, [], 0
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if tickets:
            self._begin(self._create(tickets), tickets)

    def _begin(self, work: Awaitable[None], tickets: list[Ticket]) -> asyncio.Task[None]:
        """Run ``work`` on its own; should it fail, whoever waits for one of the tickets is told."""

        async def guarded() -> None:
            try:
                await work
            except asyncio.CancelledError:
                for ticket in tickets:
                    _refuse(ticket)
                raise
            except Exception as error:  # noqa: BLE001 - handed on to everyone who waits
                for ticket in tickets:
                    if not ticket.outcome.done():
                        ticket.outcome.set_exception(error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _create(self, tickets: list[Ticket]) -> None:
        entries = [ticket.entry for ticket in tickets if ticket.entry is not None]
        started = time.time()
        payload = self._payload(tickets, started)
        provisional = _PENDING + digest(payload)[:32]
        await self._journal.put_batch(provisional, payload)
        for ticket in tickets:
            ticket.sent = True
        batch_id: str | None = None
        tried = failures = 0
        while True:
            result = await self._sender.create_batch(entries)
            if result.value is not None:
                batch_id = result.value.batch_id
                break
            failure = result.failure
            assert failure is not None
            last = self._patience.ends(failure, failures)
            if passes(failure):
                await self._patience.pause(failure, tried)
            if _may_exist(failure):
                # Only its answer may be lost: the batch is looked for before it is made, and paid, again. After the
                # pause, since a server that answered too late may still have been making it.
                batch_id = await self._find(started, tickets)
                if batch_id is not None:
                    break
            if self._cancelling:
                # It is not made any more. Where its answer may only be lost, its money stays counted, and whoever
                # resumes looks for it again.
                if not _may_exist(failure):
                    await self._journal.close_batch(provisional)
                for ticket in tickets:
                    ticket.sent = _may_exist(failure)
                    _refuse(ticket)
                return
            if last:
                await self._journal.close_batch(provisional)
                if failure.kind is FailureKind.CONTEXT_EXCEEDED:
                    # The batch is too large, which says nothing of the conversations in it: none of them may be
                    # journaled as longer than the model reads.
                    failure = replace(failure, kind=FailureKind.INVALID)
                for ticket in tickets:
                    self._resolve(ticket, BatchOutcome(ticket.custom_id, None, failure))
                return
            tried += 1
            failures += counts(failure)
        assert batch_id is not None
        await self._journal.put_batch(batch_id, payload)
        await self._journal.close_batch(provisional)
        await self._follow(batch_id, tickets, started)

    async def _follow(self, batch_id: str, tickets: list[Ticket], started: float) -> None:
        """Poll until the batch has ended, hand its outcomes out, and close it once they are journaled."""
        self._open[batch_id] = tickets
        self._followed.add(batch_id)
        for ticket in tickets:
            ticket.sent, ticket.submitted_unix_s = True, started
        try:
            if self._cancelling:
                # It was still being made, or looked for, when all that were open were cancelled.
                await self._sender.cancel_batch(batch_id)
            outcomes = await self._outcomes(batch_id)
            words = "the provider has no result of it, or none any more"
            lost = Failure(FailureKind.SERVER_ERROR, words, may_have_charged=True)
            for ticket in tickets:
                missing = BatchOutcome(ticket.custom_id, None, lost, again=True)
                self._resolve(ticket, outcomes.get(ticket.custom_id, missing))
            await asyncio.gather(*(ticket.kept.wait() for ticket in tickets))
        except asyncio.CancelledError:
            # The sweep stops and the batch goes on: it counts as open, so that it can still be cancelled.
            raise
        except BaseException:
            del self._open[batch_id]
            raise
        del self._open[batch_id]
        await self._journal.close_batch(batch_id)

    async def _outcomes(self, batch_id: str) -> dict[str, BatchOutcome]:
        """By custom id, once the batch has ended."""
        while True:
            status = await self._patience.surely(lambda: self._sender.batch_status(batch_id))
            if status.archived:
                # Nobody will ever have its results, so they are not waited for, neither now nor on every resume.
                return {}
            if status.ended:
                break
            await asyncio.sleep(self._settings.poll_s)
        outcomes = await self._patience.surely(lambda: self._sender.batch_outcomes(batch_id))
        return {outcome.custom_id: outcome for outcome in outcomes}

    async def _attach(self) -> None:
        """Take up what earlier drivers left open."""
        for batch_id, payload in (await self._journal.open_batches()).items():
            content = json.loads(payload)
            if content["provider"] != self._provider:
                continue
            started = float(content["started"])
            tickets = [Ticket(name, paid, _future(), sent=True) for name, paid in content["entries"]]
            names = [ticket.custom_id for ticket in tickets]
            self._earlier.update(zip(names, tickets, strict=True))
            if batch_id.startswith(_PENDING):
                search = self._begin(self._take_up(batch_id, payload, tickets, started), tickets)
                self._sought.update(dict.fromkeys(names, search))
            else:
                self._begin(self._follow(batch_id, tickets, started), tickets)

    async def _take_up(self, provisional: str, payload: str, tickets: list[Ticket], started: float) -> None:
        """Follow the batch that an earlier driver was creating when it ended, if it was created."""
        batch_id = await self._find(started, tickets)
        if batch_id is not None:
            await self._journal.put_batch(batch_id, payload)
        await self._journal.close_batch(provisional)
        if batch_id is not None:
            self._begin(self._follow(batch_id, tickets, started), tickets)
            return
        # It was never created: its requests are bought anew.
        for ticket in tickets:
            self._earlier.pop(ticket.custom_id, None)

    async def _find(self, started: float, tickets: list[Ticket]) -> str | None:
        """The batch in which these were sent, where the answer to its creation was lost; None: it was never made.

        Other runs of the account may make batches of the same size, and only its results tell what a batch holds:
        each that fits is waited for until it is known to be another's.
        """
        names = {ticket.custom_id for ticket in tickets}
        earliest, latest = started - _CLOCKS_S, time.time() + _CLOCKS_S
        # Kept from one look to the next: newer ones may meanwhile have pushed them off the list.
        fitting: dict[str, float] = {}
        others: set[str] = set()
        while True:
            for status in await self._patience.surely(lambda: self._sender.recent_batches(_RECENT)):
                if status.total == len(tickets) and earliest <= status.created_unix_s <= latest:
                    fitting[status.batch_id] = status.created_unix_s
            known = self._followed | others | set(await self._journal.open_batches())
            left = {batch_id: created for batch_id, created in fitting.items() if batch_id not in known}
            if not left:
                return None
            # The one made just after the request for it was sent; one made before only if the clocks differ.
            likely = min(left, key=lambda batch_id: (left[batch_id] < started, abs(left[batch_id] - started)))
            if names <= (await self._outcomes(likely)).keys():
                return likely
            others.add(likely)

    def _payload(self, tickets: list[Ticket], started: float) -> str:
        entries = [[ticket.custom_id, ticket.reservation_id] for ticket in tickets]
        return json.dumps({"provider": self._provider, "started": started, "entries": entries})

    @staticmethod
    def _resolve(ticket: Ticket, outcome: BatchOutcome) -> None:
        if not ticket.outcome.done():
            ticket.outcome.set_result(outcome)
        if outcome.reply is None:
            # There is nothing to lose.
            ticket.kept.set()


def _may_exist(failure: Failure) -> bool:
    """Whether the provider may have made the batch whose creation failed so."""
    if failure.kind is FailureKind.CONNECTION:
        return failure.may_have_charged
    return passes(failure) and failure.kind is not FailureKind.RATE_LIMITED


def _future() -> asyncio.Future[BatchOutcome]:
    future: asyncio.Future[BatchOutcome] = asyncio.get_running_loop().create_future()
    # An outcome that nobody asked for (yet) is no error.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def _refuse(ticket: Ticket) -> None:
    if not ticket.outcome.done():
        ticket.outcome.set_exception(GenerationStopped("the sweep is stopping; its batches stay open"))
