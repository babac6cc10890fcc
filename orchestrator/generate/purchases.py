"""One purchase at a time: reserve, wait for the limits, send, journal; again where that helps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from orchestrator.core.generation import GenerationRequest, Reply, Usage
from orchestrator.core.money import AccountRef, BudgetExhausted
from orchestrator.core.prices import GpuTimePrice, Price, input_tokens_upper_bound
from orchestrator.generate.attempts import Attempt, AttemptReply, AttemptResult, Failure, FailureKind
from orchestrator.generate.batches import BatchDesk, BatchSettings
from orchestrator.generate.breaker import Breaker, FatalApiError
from orchestrator.generate.estimates import Estimator
from orchestrator.generate.gpu_time import BusyMeter
from orchestrator.generate.limiter import GenerationStopped, InFlightCap, Limiter, Slot
from orchestrator.generate.ports import ReplyJournal, Reserver, Sender
from orchestrator.generate.rehearsal.draws import RequestId

__all__ = [
    "CONTEXT_EXCEEDED",
    "GenerationFailed",
    "Lane",
    "Purchases",
    "RequestRefused",
    "Route",
    "ServiceSettings",
    "ServiceStats",
    "Step",
    "too_long",
]

CONTEXT_EXCEEDED: Final = "model_context_window_exceeded"
_LONGEST_BACKOFF_S: Final = 30.0
_FIRST_BACKOFF_S: Final = 0.5
_RETRIED: Final = frozenset(
    {
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.SERVER_ERROR,
        FailureKind.TIMEOUT,
        FailureKind.CONNECTION,
        FailureKind.DROPPED,
        FailureKind.ACTOR_DIED,
    }
)


class GenerationFailed(Exception):
    """This step got no reply, after all its retries; it is ``infrastructure``, never the model's fault."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RequestRefused(GenerationFailed):
    """The API refuses this very request: asking again would not help."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How hard to try."""

    in_flight: int = 100
    """Most requests in flight over the whole run."""
    deadline_s: float = 600.0
    """For one attempt."""
    retries: int = 8
    """For one step, after its first try."""
    run_retries: int = 10_000
    """For the whole run."""
    enlarge: float = 2.0
    """A reply that was cut at ``max_tokens`` is asked for once more with so many times as much; 1 never does."""
    batch: BatchSettings | None = None
    """Buy through Message Batches; None: single requests."""
    seed: int = 0
    """Of jitter."""


@dataclass(frozen=True, slots=True)
class Route:
    """One provider: who sends its requests and what its models cost."""

    provider: str
    sender: Sender
    prices: Mapping[str, Price | GpuTimePrice | None]
    """By model id. None: the price is unknown, nothing is reserved and cost is reported as unknown."""
    synthetic: bool = False
    slots: int | None = None
    """Requests that a local server works on at once; None for providers."""


@dataclass(slots=True)
class ServiceStats:
    """What happened so far; for display."""

    sent: int = 0
    replies: int = 0
    joined: int = 0
    """Asked for while the same request was in flight: bought once."""
    journaled: int = 0
    """Answered from the journal."""
    failures: dict[FailureKind, int] = field(default_factory=dict)
    retries: int = 0


@dataclass(slots=True)
class Lane:
    """What requests to one model share."""

    route: Route
    price: Price | GpuTimePrice | None
    limiter: Limiter
    estimator: Estimator
    meter: BusyMeter


@dataclass(frozen=True, slots=True)
class Step:
    """One purchase: everything that is the same for all its attempts."""

    key: str
    request: GenerationRequest
    sample: int
    turn: int
    problem_id: str
    account: AccountRef
    priority: int
    part: int
    """0, then one more for each continuation or larger retry."""


class Purchases:
    """Buys single replies. Knows nothing of trials, of parts of a reply, or of who else wants the same one."""

    def __init__(
        self, routes: Sequence[Route], journal: ReplyJournal, reserver: Reserver, settings: ServiceSettings
    ) -> None:
        self._routes = {route.provider: route for route in routes}
        self._journal = journal
        self._reserver = reserver
        self._settings = settings
        self._rng = random.Random(settings.seed)
        self._cap = InFlightCap(settings.in_flight)
        self._breaker = Breaker()
        self._stopping = asyncio.Event()
        self.lanes: dict[tuple[str, str], Lane] = {}
        self.stats = ServiceStats()

    @property
    def in_flight(self) -> int:
        """Requests that are on their way."""
        return self._cap.taken

    def stop(self) -> None:
        """Send nothing new; what is in flight goes on."""
        self._stopping.set()
        for lane in self.lanes.values():
            lane.limiter.stop()

    def trip(self, failure: Failure) -> FatalApiError:
        """Stop everything because of ``failure``; the error that everybody gets."""
        error = self._breaker.failure(failure) or FatalApiError(failure)
        for lane in self.lanes.values():
            lane.limiter.stop(error)
        return error

    def worst_usd(self, request: GenerationRequest, *, batch: bool = False) -> Decimal | None:
        """The most that one attempt at ``request`` can cost; None where the price is unknown."""
        price = self.lane(request).price
        if price is None:
            return None
        if isinstance(price, GpuTimePrice):
            return price.worst_case(self._settings.deadline_s)
        bound = input_tokens_upper_bound(request)
        return price.worst_case(bound, request.max_tokens, cached=request.cache_prefix, batch=batch)

    def lane(self, request: GenerationRequest) -> Lane:
        """What requests to this one's model share."""
        name = (request.provider, request.model)
        lane = self.lanes.get(name)
        if lane is None:
            route = self._routes[request.provider]
            limiter = Limiter(self._cap, rng=random.Random(self._rng.random()), most=route.slots)
            lane = Lane(route, route.prices[request.model], limiter, Estimator(), BusyMeter())
            self.lanes[name] = lane
        return lane

    async def buy(self, step: Step) -> Reply:
        """Buy one reply; it is journaled and its reservation settled on return.

        Raises:
            BudgetExhausted, GenerationFailed, FatalApiError, GenerationStopped: as told there. Whatever was
                reserved for attempts that surely cost nothing has been given back.
        """
        lane = self.lane(step.request)
        reservation: int | None = None
        sent = False
        retries = 0
        try:
            while True:
                slot = await self._admitted(lane, step, again=retries > 0 or reservation is not None)
                if reservation is None and not self._fits(step):
                    # Who has money may be waiting for this slot, so nobody waits for money with a slot in hand.
                    lane.limiter.give_back(slot)
                    reservation = await self.reserve(step)
                    continue
                try:
                    if reservation is None:
                        reservation = await self.reserve(step)
                    self.raise_if_over()
                except BaseException:
                    lane.limiter.give_back(slot)
                    raise
                sent = True
                spent = await self._attempt(lane, slot, step, retries)
                reply, failure = spent[0].reply, spent[0].failure
                if reply is not None:
                    return await self.keep(lane, step, reply, spent=spent, paid=reservation)
                assert failure is not None
                if failure.kind is FailureKind.CONTEXT_EXCEEDED:
                    answer = too_long(step.request, failure)
                    return await self.keep(lane, step, answer, spent=spent, paid=reservation)
                if failure.may_have_charged and reservation is not None:
                    await self.abandon(reservation)
                    reservation = None
                sent = False
                # What is asked after a reply (a larger cap, the rest of a pause) may be refused for itself: only
                # refusals of first requests speak of all.
                if step.part == 0 or failure.kind is not FailureKind.INVALID:
                    self.raise_if_fatal(failure)
                retries += 1
                await self._back_off(failure, retries)
        finally:
            if reservation is not None and not sent:
                await self.release(reservation)

    async def _admitted(self, lane: Lane, step: Step, *, again: bool) -> Slot:
        self.raise_if_over()
        return await lane.limiter.acquire(lane.estimator.expected(step.request), step.priority, again=again)

    def raise_if_over(self) -> None:
        """Raise :class:`FatalApiError` or :class:`GenerationStopped` if nothing may be bought any more."""
        if self._breaker.tripped is not None:
            raise self._breaker.tripped
        if self._stopping.is_set():
            raise GenerationStopped("the sweep is stopping")

    def _fits(self, step: Step) -> bool:
        worst = self.worst_usd(step.request)
        return worst is None or self._reserver.fits(worst, step.account)

    async def reserve(self, step: Step, *, batch: bool = False) -> int | None:
        """Set the worst case of one attempt aside; None where the price is unknown."""
        worst = self.worst_usd(step.request, batch=batch)
        if worst is None:
            return None
        try:
            return await self._reserver.reserve(key=step.key, worst_usd=worst, account=step.account)
        except BudgetExhausted:
            # A sweep that stops leaves money with what goes on without it: that says nothing of the budget.
            self.raise_if_over()
            raise

    async def _attempt(self, lane: Lane, slot: Slot, step: Step, retries: int) -> tuple[AttemptResult, float]:
        """Send once; the result, and the seconds of the server that were this request's share."""
        loop = asyncio.get_running_loop()
        rehearsal_id = ""
        if lane.route.synthetic:
            attempt_number = step.part * (self._settings.retries + 1) + retries
            rehearsal_id = str(RequestId(step.problem_id, step.sample, step.turn, attempt_number))
        attempt = Attempt(step.request, self._settings.deadline_s, rehearsal_id)
        self.stats.sent += 1
        mark = lane.meter.start(loop.time())
        try:
            result = await lane.route.sender.send(attempt)
        except BaseException:
            lane.meter.stop(loop.time(), mark)
            lane.limiter.give_back(slot)
            raise
        busy_s = lane.meter.stop(loop.time(), mark)
        lane.limiter.finish(slot, result)
        if result.failure is not None:
            kind = result.failure.kind
            self.stats.failures[kind] = self.stats.failures.get(kind, 0) + 1
        return result, busy_s

    async def keep(
        self,
        lane: Lane,
        step: Step,
        answer: AttemptReply,
        *,
        spent: tuple[AttemptResult, float],
        paid: int | None,
        batch: bool = False,
    ) -> Reply:
        """Journal the reply and settle the reservation ``paid``; only then may anybody see it."""
        result, busy_s = spent
        usd: Decimal | None = None
        if isinstance(lane.price, GpuTimePrice):
            usd = lane.price.cost(busy_s)
        elif lane.price is not None:
            usd = lane.price.cost(answer.usage, batch=batch, us_only=answer.us_only)
        reply = Reply(
            text=answer.text,
            stop_reason=answer.stop_reason,
            usage=answer.usage,
            model=answer.model,
            request_id=answer.request_id,
            latency_s=result.latency_s,
            synthetic=lane.route.synthetic,
            batch=batch,
            usd=None if usd is None else float(usd),
            slot=result.slot,
        )
        await self._journal.put_reply(
            step.key,
            request=step.request,
            sample=step.sample,
            turn=step.turn,
            problem_id=step.problem_id,
            reply=reply,
            reservation_id=paid,
            usd=usd,
        )
        if result.reply is not None:
            lane.estimator.learn(step.request, answer.usage)
            self._breaker.reply()
        self.stats.replies += 1
        return reply

    def raise_if_fatal(self, failure: Failure) -> None:
        """Count a failure; if the breaker trips, stop everything and raise :class:`FatalApiError`."""
        if self._breaker.failure(failure) is not None:
            raise self.trip(failure)

    def count_retry(self, failure: Failure, retries: int) -> None:
        """Take a retry out of the budgets, as the ``retries``-th of its step.

        Raises:
            GenerationFailed: there is none left.
        """
        if retries > self._settings.retries:
            raise GenerationFailed(f"no reply after {retries} tries; the last: {failure.line()}")
        if self.stats.retries >= self._settings.run_retries:
            raise GenerationFailed(
                f"the run's {self._settings.run_retries} retries are used up; the last: {failure.line()}"
            )
        self.stats.retries += 1

    async def release(self, reservation: int) -> None:
        """Give a reservation back that surely was not charged."""
        await self._reserver.release(reservation)

    async def abandon(self, reservation: int) -> None:
        """Keep a reservation counted at its worst case, and wait for it no more."""
        await self._reserver.abandon(reservation)

    def desk(self, lane: Lane, settings: BatchSettings) -> BatchDesk:
        """A desk for the batches of this lane's provider."""
        rng = random.Random(self._rng.random())
        return BatchDesk(lane.route.provider, lane.route.sender, self._journal, settings, rng)

    async def _back_off(self, failure: Failure, retries: int) -> None:
        """Wait before the next try.

        Raises:
            GenerationFailed: there is no next try.
            GenerationStopped: the sweep is stopping.
        """
        if failure.kind not in _RETRIED:
            raise RequestRefused(failure.line())
        self.count_retry(failure, retries)
        if failure.kind is FailureKind.RATE_LIMITED:
            # The limiter holds everybody back until the server's time has come.
            return
        delay = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (retries - 1)) * self._rng.uniform(0.5, 1.0)
        if failure.retry_after_s is not None:
            delay = max(delay, min(failure.retry_after_s, 2 * _LONGEST_BACKOFF_S))
        try:
            async with asyncio.timeout(delay):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise GenerationStopped("the sweep is stopping")


def too_long(request: GenerationRequest, failure: Failure) -> AttemptReply:
    """The model's own limit, told as a reply without text, so that it is journaled and never asked again."""
    return AttemptReply("", CONTEXT_EXCEEDED, Usage(), request.model, failure.request_id)
