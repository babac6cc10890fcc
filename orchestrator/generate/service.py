"""The one place where replies are bought: journal first, then budget, then limits, then the network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from orchestrator.core.generation import GenerationRequest, Message, Reply, Usage
from orchestrator.core.money import AccountRef, BudgetExhausted
from orchestrator.generate.attempts import Failure, FailureKind, ModelFacts
from orchestrator.generate.batch_purchases import BatchPurchases
from orchestrator.generate.batches import BatchSettings
from orchestrator.generate.breaker import FatalApiError
from orchestrator.generate.limiter import GenerationStopped
from orchestrator.generate.ports import ReplyJournal, Reserver
from orchestrator.generate.purchases import (
    CONTEXT_EXCEEDED,
    GenerationFailed,
    Purchases,
    RequestRefused,
    Route,
    ServiceSettings,
    ServiceStats,
    Step,
)

__all__ = [
    "CONTEXT_EXCEEDED",
    "BatchSettings",
    "FatalApiError",
    "GenerationFailed",
    "GenerationService",
    "GenerationStopped",
    "Route",
    "ServiceSettings",
    "ServiceStats",
]

_MOST_CONTINUATIONS: Final = 5
_LOCAL: Final = "local:"
"""What the provider of a local server begins with."""


class GenerationService:
    """Buys replies. One per run, on the driver's event loop.

    The same request asked for twice at the same time is bought once; what the journal has is never bought again.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        journal: ReplyJournal,
        reserver: Reserver,
        settings: ServiceSettings | None = None,
    ) -> None:
        self._routes = {route.provider: route for route in routes}
        self._journal = journal
        self._settings = settings or ServiceSettings()
        self._purchases = Purchases(routes, journal, reserver, self._settings)
        self._batches = (
            None if self._settings.batch is None else BatchPurchases(self._purchases, self._settings.batch)
        )
        self._buying: dict[str, asyncio.Task[Reply]] = {}
        self._longest: dict[tuple[str, str], int] = {}
        """Longest reply by provider and model, where the provider says."""

    @property
    def stats(self) -> ServiceStats:
        """Counts so far."""
        return self._purchases.stats

    # -- what the driver calls -------------------------------------------------------------------------------

    async def generate(
        self,
        request: GenerationRequest,
        *,
        sample: int,
        turn: int,
        problem_id: str,
        account: AccountRef,
        priority: int = 0,
    ) -> Reply:
        """The reply to ``request`` as sample ``sample``: from the journal, from a purchase in flight, or bought.

        A reply that was cut at ``max_tokens`` is asked for once more with a larger cap if the budget allows, and
        one that paused is continued; the answer then carries the usage and cost of all parts.

        Args:
            request: what to ask.
            sample: independent try, from 0.
            turn: round of the trial, from 0; only recorded.
            problem_id: only recorded.
            account: who pays, unless it is paid for already.
            priority: higher goes first where limits hold requests back.

        Raises:
            BudgetExhausted: the step is not run.
            GenerationFailed: the step is ``infrastructure``.
            FatalApiError: nothing will be answered; the sweep must stop.
            GenerationStopped: the sweep is stopping.
        """
        step = Step(request.key(sample), request, sample, turn, problem_id, account, priority, 0)
        reply = await self._buy_once(step)
        parts = [reply]
        text = reply.text
        # The API takes no assistant's message that is empty or ends with white space, so there is nothing to go on
        # from in the one, and the other goes without its end.
        while reply.stop_reason == "pause_turn" and reply.text.strip() and len(parts) <= _MOST_CONTINUATIONS:
            said = reply.text.rstrip()
            text = text.rstrip()
            step = _next(step, replace(step.request, messages=(*step.request.messages, Message("assistant", said))))
            reply = await self._buy_once(step)
            parts.append(reply)
            text += reply.text
        larger = self._enlarged(step.request)
        if reply.stop_reason == "max_tokens" and larger is not None:
            try:
                reply = await self._buy_once(_next(step, larger))
            except (BudgetExhausted, RequestRefused):
                # The cut reply is paid for and stands.
                return _joined(parts, text)
            parts.append(reply)
            text = text[: len(text) - len(parts[-2].text)] + reply.text
        return _joined(parts, text)

    async def check(
        self,
        provider: str,
        model: str,
        *,
        effort: str | None = None,
        thinking: str | None = None,
        max_tokens: int | None = None,
    ) -> None:
        """Find out for nothing whether the server is there, takes the key, and has the model with these options.

        A local server need not know its model by name, or describe it; it must only answer.

        Raises:
            FatalApiError: something of that is missing. (Anything else that goes wrong is left to the first
                request.)
        """
        result = await self._routes[provider].sender.probe(model)
        failure = result.failure
        if result.value is not None:
            if result.value.max_tokens is not None:
                self._longest[provider, model] = result.value.max_tokens
            failure = _unfit(result.value, model, effort, thinking, max_tokens)
        if failure is None:
            return
        local = provider.startswith(_LOCAL)
        missing = local and failure.kind is FailureKind.CONNECTION
        refused = failure.kind is FailureKind.FATAL and not (local and failure.status == 404)
        if missing or refused:
            raise self._purchases.trip(failure)

    def worst_usd(self, request: GenerationRequest) -> Decimal | None:
        """The most that one attempt at ``request`` can cost; None where the price is unknown."""
        return self._purchases.worst_usd(request, batch=self._batches is not None)

    def limits(self) -> Mapping[tuple[str, str], Mapping[str, float]]:
        """Limits per minute as servers told them: by provider and model, then by header family."""
        return {name: lane.limiter.limits for name, lane in self._purchases.lanes.items()}

    @property
    def in_flight(self) -> int:
        """Requests that are on their way."""
        return self._purchases.in_flight

    @property
    def waiting(self) -> int:
        """Requests that wait for limits."""
        return sum(lane.limiter.waiting for lane in self._purchases.lanes.values())

    def stop(self) -> None:
        """Send nothing new. What is in flight goes on; await :meth:`drain` for it.

        Open batches go on at the provider without us, and the next driver of this run picks them up;
        :meth:`cancel_batches`, then drain, ends them instead.
        """
        if self._batches is not None:
            self._batches.stop()
        self._purchases.stop()

    def leave(self) -> None:
        """Send nothing new and wait for no reply: what is in flight may be charged, and stays reserved."""
        self.stop()
        for task in self._buying.values():
            task.cancel()

    @property
    def open_batches(self) -> Mapping[str, int]:
        """Batches at providers, with how many of their requests are waited for."""
        return {} if self._batches is None else self._batches.open_batches

    async def cancel_batches(self) -> None:
        """Send nothing new and ask the providers to end their batches.

        What was done is billed, and its replies still come: await :meth:`drain` for them.
        """
        self._purchases.stop()
        if self._batches is not None:
            await self._batches.cancel()

    async def drain(self) -> None:
        """Wait until every request in flight has ended and its reply is journaled."""
        while self._buying:
            await asyncio.wait(list(self._buying.values()))

    async def close(self) -> None:
        """Stop, drain and end all senders."""
        self.stop()
        await self.drain()
        for route in self._routes.values():
            await route.sender.close()

    def _enlarged(self, request: GenerationRequest) -> GenerationRequest | None:
        """The request with a larger cap on its reply; None where that is not wanted or the model writes no more."""
        wanted = int(request.max_tokens * self._settings.enlarge)
        longest = self._longest.get((request.provider, request.model))
        if longest is not None:
            wanted = min(wanted, longest)
        return replace(request, max_tokens=wanted) if wanted > request.max_tokens else None

    async def _buy_once(self, step: Step) -> Reply:
        while (task := self._buying.get(step.key)) is not None and not task.done():
            self.stats.joined += 1
            try:
                return await asyncio.shield(task)
            except BudgetExhausted:
                # That was the account of whoever bought. The first of those who joined buys with its own, and the
                # others join again, so that each is refused only for what it cannot pay itself.
                continue
        task = asyncio.create_task(self._known_or_bought(step))
        self._buying[step.key] = task
        task.add_done_callback(lambda done: self._bought(step.key, done))
        # Shielded: a purchase in flight is paid for, so it is journaled whoever stops waiting for it.
        return await asyncio.shield(task)

    async def _known_or_bought(self, step: Step) -> Reply:
        known = await self._journal.reply(step.key)
        if known is not None:
            self.stats.journaled += 1
            return known
        return await (self._batches or self._purchases).buy(step)

    def _bought(self, key: str, task: asyncio.Task[Reply]) -> None:
        # Who came before this call, and after the end, has begun anew.
        if self._buying.get(key) is task:
            del self._buying[key]
        if not task.cancelled():
            # Marks the error as seen: those who wait for it get it, and there may be none left.
            task.exception()


def _next(step: Step, request: GenerationRequest) -> Step:
    return replace(step, key=request.key(step.sample), request=request, part=step.part + 1)


def _joined(parts: Sequence[Reply], text: str) -> Reply:
    """One reply for the trial; every part is in the journal by itself."""
    last = parts[-1]
    if len(parts) == 1:
        return last
    usage = Usage()
    for part in parts:
        usage += part.usage
    dollars = [part.usd for part in parts]
    known = [usd for usd in dollars if usd is not None]
    return replace(
        last,
        text=text,
        usage=usage,
        latency_s=sum(part.latency_s for part in parts),
        usd=sum(known) if len(known) == len(dollars) else None,
    )


def _unfit(
    facts: ModelFacts, model: str, effort: str | None, thinking: str | None, max_tokens: int | None
) -> Failure | None:
    """The first option that the model does not have, in words; None if it has them all or does not say."""
    for name, value, known in (("effort", effort, facts.efforts), ("thinking", thinking, facts.thinking)):
        if value is not None and known is not None and value not in known:
            choices = f"it has {', '.join(sorted(known))}" if known else "it has none"
            return Failure(FailureKind.FATAL, f"{model} does not take model.{name}={value}: {choices}")
    if max_tokens is not None and facts.max_tokens is not None and max_tokens > facts.max_tokens:
        words = f"{model} writes at most {facts.max_tokens:,} tokens; model.max_tokens={max_tokens:,} is more"
        return Failure(FailureKind.FATAL, words)
    return None
