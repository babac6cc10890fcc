from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.core.generation import GenerationRequest, Message, Reply, Usage
from orchestrator.core.money import AccountRef, BudgetExhausted
from orchestrator.core.prices import GpuTimePrice, Price, Rates, input_tokens_upper_bound
from orchestrator.generate.attempts import Attempt, AttemptReply, Failure, FailureKind, ModelFacts
from orchestrator.generate.batch_records import CallResult
from orchestrator.generate.service import (
    CONTEXT_EXCEEDED,
    FatalApiError,
    GenerationFailed,
    GenerationService,
    GenerationStopped,
    Route,
    ServiceSettings,
)
from tests.generate.books import ACCOUNT, Books
from tests.generate.simulated import SimulatedSender
from tests.generate.virtual import run

MODEL = "claude-sonnet-5-5"
PRICE = Price.flat(Rates(Decimal(2), Decimal(10), Decimal("0.1"), Decimal("2.5")), "test")
REQUEST = GenerationRequest("anthropic", MODEL, "", (Message("user", "write it"),), 100)
Script = Callable[[Attempt, int], Failure | AttemptReply | None]


def fail(kind: FailureKind, *, charged: bool = False, status: int = 500, message: str = "no luck") -> Failure:
    return Failure(kind, message, status, "req_x", may_have_charged=charged)


def said(text: str, stop_reason: str = "end_turn", usage: Usage | None = None) -> AttemptReply:
    return AttemptReply(text, stop_reason, usage or Usage(10, 20), MODEL, "req_y")


class Bench:
    """A service over a simulated account, with books that check it."""

    def __init__(
        self,
        script: Script = lambda attempt, number: None,
        *,
        usd: str | None = None,
        price: Price | GpuTimePrice | None = PRICE,
        synthetic: bool = False,
        slots: int | None = None,
        **settings: Any,
    ) -> None:
        self.sender = SimulatedSender(script=script)
        self.books = Books(None if usd is None else Decimal(usd))
        route = Route("anthropic", self.sender, {MODEL: price}, synthetic, slots)
        self.service = GenerationService([route], self.books, self.books, ServiceSettings(**settings))

    async def ask(self, request: GenerationRequest = REQUEST, sample: int = 0, **changes: Any) -> Reply:
        arguments = {"turn": 0, "problem_id": "HumanEval/0", "account": ACCOUNT, **changes}
        return await self.service.generate(request, sample=sample, **arguments)


def scripted(*answers: Failure | AttemptReply | None) -> Script:
    return lambda attempt, number: answers[number] if number < len(answers) else None


def bench(main: Callable[[Bench], Coroutine[Any, Any, None]], *args: Any, **kwargs: Any) -> Bench:
    async def body() -> Bench:
        made = Bench(*args, **kwargs)
        await main(made)
        await made.service.close()
        assert made.sender.closed
        assert not made.books.open, "a reservation was left open"
        return made

    return run(body())


def test_a_reply_is_journaled_settled_and_never_bought_again() -> None:
    async def main(b: Bench) -> None:
        first = await b.ask()
        again = await b.ask()
        assert first == again
        assert first.usd == float(b.books.settled) > 0
        assert not first.synthetic
        other = await b.ask(sample=1)
        assert other != first

    b = bench(main)
    assert len(b.sender.attempts) == 2
    assert b.service.stats.journaled == 1
    assert all(payer is not None for payer in b.books.payers.values())
    assert b.sender.attempts[0].rehearsal_id == "", "only rehearsal gets an id"


def test_two_who_ask_at_once_share_one_purchase_even_if_one_gives_up() -> None:
    async def main(b: Bench) -> None:
        first, second = asyncio.create_task(b.ask()), asyncio.create_task(b.ask())
        await asyncio.sleep(0.1)
        first.cancel()
        reply = await second
        assert reply.text == "answer 0"

    b = bench(main)
    assert len(b.sender.attempts) == 1
    assert b.service.stats.joined == 1


def test_whoever_joins_a_purchase_that_its_buyer_cannot_pay_buys_with_its_own_account() -> None:
    poor, rich = replace(ACCOUNT, cell="poor"), replace(ACCOUNT, cell="rich")
    asked: list[str] = []
    late: list[asyncio.Task[Reply]] = []

    async def main(b: Bench) -> None:
        plain = b.books.reserve

        async def reserve(*, key: str, worst_usd: Decimal, account: AccountRef) -> int:
            asked.append(account.cell)
            if account == poor:
                await asyncio.sleep(1)
                if len(asked) == 2:
                    # This one comes when the purchase has failed and nobody has been told yet.
                    late.append(asyncio.create_task(b.ask(account=rich)))
                raise BudgetExhausted("no room in this cell")
            return await plain(key=key, worst_usd=worst_usd, account=account)

        b.books.reserve = reserve  # type: ignore[method-assign]
        accounts = (poor, poor, rich, rich, poor)
        results = await asyncio.gather(*(b.ask(account=account) for account in accounts), return_exceptions=True)
        assert [type(result) for result in results] == [BudgetExhausted, BudgetExhausted, Reply, Reply, Reply]
        assert [type(reply) for reply in await asyncio.gather(*late)] == [Reply]

    b = bench(main)
    assert asked == ["poor", "poor", "rich"], "each refusal is the asker's own, and only one buys"
    assert len(b.sender.attempts) == 1


@pytest.mark.parametrize(
    ("kind", "charged"),
    [
        (FailureKind.RATE_LIMITED, False),
        (FailureKind.OVERLOADED, False),
        (FailureKind.SERVER_ERROR, False),
        (FailureKind.CONNECTION, False),
        (FailureKind.TIMEOUT, True),
        (FailureKind.DROPPED, True),
        (FailureKind.ACTOR_DIED, True),
    ],
)
def test_what_may_pass_is_retried_and_its_cost_is_kept(kind: FailureKind, charged: bool) -> None:
    async def main(b: Bench) -> None:
        reply = await b.ask()
        assert reply.text == "answer 2"

    b = bench(main, scripted(fail(kind, charged=charged), fail(kind, charged=charged)))
    worst = b.service.worst_usd(REQUEST)
    assert worst is not None
    assert b.books.unsettled == (2 * worst if charged else 0)
    assert b.books.released == 0
    assert b.service.stats.failures == {kind: 2}


def test_after_so_many_tries_the_step_failed_and_gives_its_reservation_back() -> None:
    async def main(b: Bench) -> None:
        with pytest.raises(GenerationFailed, match=r"no reply after 4 tries.*500 server_error: no luck.*req_x"):
            await b.ask()

    b = bench(main, lambda attempt, number: fail(FailureKind.SERVER_ERROR), retries=3)
    assert len(b.sender.attempts) == 4
    assert (b.books.settled, b.books.unsettled, b.books.released) == (0, 0, 1)


def test_the_run_has_a_retry_budget_too() -> None:
    async def main(b: Bench) -> None:
        results = await asyncio.gather(*(b.ask(sample=n) for n in range(5)), return_exceptions=True)
        assert all(isinstance(result, GenerationFailed) for result in results)
        assert any("the run's 6 retries are used up" in str(result) for result in results)

    b = bench(main, lambda attempt, number: fail(FailureKind.SERVER_ERROR), retries=3, run_retries=6)
    assert len(b.sender.attempts) == 5 + 6


def test_backing_off_grows_with_each_try() -> None:
    async def main(b: Bench) -> None:
        await b.ask()

    b = bench(main, scripted(*[fail(FailureKind.SERVER_ERROR)] * 4))
    gaps = [late - early for early, late in zip(b.sender.starts, b.sender.starts[1:], strict=False)]
    assert 0.25 <= gaps[0] <= 0.7
    assert all(late > early for early, late in zip(gaps, gaps[2:], strict=False))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_stops_the_sweep_at_once(status: int) -> None:
    async def main(b: Bench) -> None:
        with pytest.raises(FatalApiError, match=r"invalid x-api-key \(request id req_x\)"):
            await b.ask()
        with pytest.raises(FatalApiError):
            await b.ask(sample=1)

    refusal = fail(FailureKind.FATAL, status=status, message="invalid x-api-key")
    b = bench(main, lambda attempt, number: refusal)
    assert len(b.sender.attempts) == 1, "nothing more is sent"


def test_whoever_waits_is_told_when_the_sweep_stops() -> None:
    async def main(b: Bench) -> None:
        results = await asyncio.gather(*(b.ask(sample=n) for n in range(50)), return_exceptions=True)
        assert all(isinstance(result, FatalApiError) for result in results)

    b = bench(main, lambda attempt, number: fail(FailureKind.FATAL, status=401))
    assert len(b.sender.attempts) <= 8, "no more than what was on its way"


def test_a_run_of_equal_refusals_stops_the_sweep_and_mixed_ones_do_not() -> None:
    async def refused(b: Bench) -> None:
        for sample in range(4):
            with pytest.raises(GenerationFailed, match="400 invalid: bad field"):
                await b.ask(sample=sample)
        with pytest.raises(FatalApiError, match="bad field"):
            await b.ask(sample=4)

    bench(refused, lambda attempt, number: fail(FailureKind.INVALID, status=400, message="bad field"))

    async def mixed(b: Bench) -> None:
        for sample in range(20):
            try:
                await b.ask(sample=sample)
            except GenerationFailed:
                continue

    bench(mixed, lambda attempt, n: fail(FailureKind.INVALID, status=400, message="bad field") if n % 4 else None)


def test_a_conversation_that_is_too_long_is_an_answer_and_not_a_failure() -> None:
    async def main(b: Bench) -> None:
        reply = await b.ask()
        assert (reply.text, reply.stop_reason, reply.usd) == ("", CONTEXT_EXCEEDED, 0.0)
        assert await b.ask() == reply

    b = bench(main, scripted(fail(FailureKind.CONTEXT_EXCEEDED, status=400)))
    assert len(b.sender.attempts) == 1


def test_a_cut_reply_is_asked_for_once_more_with_a_larger_cap() -> None:
    async def main(b: Bench) -> None:
        reply = await b.ask()
        assert reply.text == "whole"
        assert reply.stop_reason == "end_turn"
        assert reply.usage == Usage(20, 150)
        assert reply.usd == pytest.approx(float(b.books.settled))
        assert await b.ask() == reply

    b = bench(main, scripted(said("wh", "max_tokens", Usage(10, 100)), said("whole", usage=Usage(10, 50))))
    assert [attempt.request.max_tokens for attempt in b.sender.attempts] == [100, 200]
    assert len(b.books.replies) == 2, "both are paid for, so both are journaled"


def test_a_reply_that_is_cut_twice_stays_cut_and_a_small_budget_asks_once() -> None:
    cut = said("wh", "max_tokens", Usage(10, 100))

    async def twice(b: Bench) -> None:
        assert (await b.ask()).stop_reason == "max_tokens"

    assert len(bench(twice, lambda attempt, number: cut).sender.attempts) == 2

    async def once(b: Bench) -> None:
        reply = await b.ask()
        assert (reply.text, reply.stop_reason) == ("wh", "max_tokens")

    assert len(bench(once, lambda attempt, number: cut, usd="0.0035").sender.attempts) == 1


def test_a_pause_is_continued() -> None:
    async def main(b: Bench) -> None:
        reply = await b.ask()
        assert (reply.text, reply.usage) == ("one two", Usage(20, 40))

    # The API takes no assistant's message that ends with white space.
    b = bench(main, scripted(said("one \n", "pause_turn"), said(" two")))
    assert b.sender.attempts[1].request.messages[-1] == Message("assistant", "one")


def test_a_pause_before_the_first_word_is_not_sent_back() -> None:
    async def main(b: Bench) -> None:
        assert (await b.ask()).stop_reason == "pause_turn"

    assert len(bench(main, scripted(said("\n", "pause_turn"))).sender.attempts) == 1


def test_a_larger_cap_that_is_refused_leaves_the_cut_reply() -> None:
    """However many ask: a refusal of what comes after a reply says nothing of the next first request."""
    cut, refusal = said("wh", "max_tokens"), fail(FailureKind.INVALID, status=400, message="max_tokens: 200 > 150")

    async def main(b: Bench) -> None:
        replies = await asyncio.gather(*(b.ask(sample=n) for n in range(12)))
        assert {(reply.text, reply.stop_reason) for reply in replies} == {("wh", "max_tokens")}

    bench(main, lambda attempt, number: cut if attempt.request.max_tokens == 100 else refusal)


@pytest.mark.parametrize(("longest", "caps"), [(100, [100]), (150, [100, 150]), (None, [100, 200])])
def test_a_larger_cap_stays_within_what_the_model_writes(longest: int | None, caps: list[int]) -> None:
    async def main(b: Bench) -> None:
        async def probe(model: str) -> CallResult[ModelFacts]:
            return CallResult(ModelFacts(max_tokens=longest))

        b.sender.probe = probe  # type: ignore[method-assign]
        await b.service.check("anthropic", MODEL)
        await b.ask()

    b = bench(main, lambda attempt, number: said("wh", "max_tokens"))
    assert [attempt.request.max_tokens for attempt in b.sender.attempts] == caps


def test_the_budget_is_never_exceeded_and_the_rest_is_not_run() -> None:
    async def main(b: Bench) -> None:
        async def watch() -> None:
            while True:
                assert b.books.usd is not None
                assert b.books.committed <= b.books.usd
                await asyncio.sleep(0.05)

        watcher = asyncio.create_task(watch())
        results = await asyncio.gather(*(b.ask(sample=n) for n in range(60)), return_exceptions=True)
        watcher.cancel()
        done = [result for result in results if isinstance(result, Reply)]
        refused = [result for result in results if isinstance(result, BudgetExhausted)]
        assert len(done) + len(refused) == 60
        assert len(done) > 10
        assert refused

    b = bench(main, usd="0.02")
    assert b.books.settled <= Decimal("0.02")


def test_a_retry_near_the_end_of_the_budget_gets_its_slot_back() -> None:
    """Whoever waits for the money that the retry holds must not hold the slot that the retry needs."""

    async def main(b: Bench) -> None:
        results = await asyncio.gather(*(b.ask(sample=n) for n in range(3)))
        assert all(isinstance(result, Reply) for result in results)

    # Enough for one reservation at a time.
    worst = PRICE.worst_case(input_tokens_upper_bound(REQUEST), REQUEST.max_tokens)
    bench(main, scripted(fail(FailureKind.OVERLOADED)), usd=str(worst * Decimal("1.9")), in_flight=1)


def test_synthetic_replies_say_so_and_carry_an_id_that_counts_tries() -> None:
    async def main(b: Bench) -> None:
        assert (await b.ask(sample=3, turn=1)).synthetic

    b = bench(main, scripted(fail(FailureKind.SERVER_ERROR)), synthetic=True)
    assert [attempt.rehearsal_id for attempt in b.sender.attempts] == ["HumanEval/0;3;1;0", "HumanEval/0;3;1;1"]


def test_a_reply_that_cost_more_for_its_place_is_settled_so_and_fits_its_reservation() -> None:
    placed = replace(PRICE, us_factor=Decimal("1.1"))
    usage = Usage(input_tokens_upper_bound(REQUEST), REQUEST.max_tokens)

    async def main(b: Bench) -> None:
        await b.ask()
        assert b.books.settled == PRICE.cost(usage) * Decimal("1.1")

    dear = replace(said("x", usage=usage), us_only=True)
    bench(main, scripted(dear), price=placed, usd=str(PRICE.cost(usage) * Decimal("1.1")))


def test_without_a_price_nothing_is_reserved_and_cost_is_unknown() -> None:
    async def main(b: Bench) -> None:
        assert (await b.ask()).usd is None

    b = bench(main, price=None)
    assert set(b.books.payers.values()) == {None}


def test_a_local_server_is_paid_by_the_time_that_it_was_busy() -> None:
    async def main(b: Bench) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        replies = await asyncio.gather(*(b.ask(sample=n) for n in range(12)))
        busy = loop.time() - start
        total = sum(reply.usd or 0.0 for reply in replies)
        # Two slots share each second; the card is paid once. The rest is the journal's own time.
        assert total == pytest.approx(busy * 3.6 / 3600, rel=0.02)

    b = bench(main, price=GpuTimePrice(Decimal("3.6"), "test"), slots=2)
    assert b.sender.most_in_flight == 2


def test_stopping_lets_what_is_in_flight_end_and_sends_nothing_more() -> None:
    async def main(b: Bench) -> None:
        tasks = [asyncio.create_task(b.ask(sample=n)) for n in range(30)]
        await asyncio.sleep(0.5)
        sent = len(b.sender.attempts)
        b.service.stop()
        await b.service.drain()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        replies = [result for result in results if isinstance(result, Reply)]
        assert len(replies) == sent == len(b.sender.attempts) == len(b.books.replies)
        assert all(isinstance(result, Reply | GenerationStopped) for result in results)

    bench(main)


def test_leaving_waits_for_no_reply_and_keeps_what_may_be_charged_reserved() -> None:
    async def body() -> None:
        made = Bench(in_flight=3)
        tasks = [asyncio.create_task(made.ask(sample=n)) for n in range(30)]
        await asyncio.sleep(0.5)
        sent = len(made.sender.attempts)
        start = asyncio.get_running_loop().time()
        made.service.leave()
        await made.service.close()
        assert asyncio.get_running_loop().time() - start < 0.1
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError | GenerationStopped) for result in results)
        assert len(made.books.open) == sent == len(made.sender.attempts) > 0

    run(body())


def test_stopping_ends_a_long_wait_between_tries() -> None:
    async def main(b: Bench) -> None:
        task = asyncio.create_task(b.ask())
        await asyncio.sleep(40)
        b.service.stop()
        start = asyncio.get_running_loop().time()
        with pytest.raises(GenerationStopped):
            await task
        assert asyncio.get_running_loop().time() - start < 1

    bench(main, lambda attempt, number: fail(FailureKind.SERVER_ERROR), retries=50)


def test_a_journal_that_cannot_be_written_leaves_the_reservation_counted() -> None:
    async def body() -> None:
        made = Bench()

        async def full(*_: Any, **__: Any) -> None:
            raise OSError("no space left on device")

        made.books.put_reply = full  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no space"):
            await made.ask()
        assert len(made.books.open) == 1, "it may not be given back: the reply was paid for"

    run(body())


def test_later_turns_go_first() -> None:
    async def main(b: Bench) -> None:
        first = [asyncio.create_task(b.ask(sample=n)) for n in range(20)]
        await asyncio.sleep(0.1)
        later = replace(REQUEST, messages=(*REQUEST.messages, Message("assistant", "a"), Message("user", "b")))
        await b.ask(later, turn=1, priority=1)
        assert sum(task.done() for task in first) < 20
        await asyncio.gather(*first)

    bench(main, in_flight=2)


@pytest.mark.parametrize(
    ("provider", "kind", "status", "stops"),
    [
        ("anthropic", FailureKind.FATAL, 401, True),
        ("anthropic", FailureKind.FATAL, 404, True),
        ("anthropic", FailureKind.CONNECTION, None, False),
        ("anthropic", FailureKind.SERVER_ERROR, 500, False),
        ("local:http://127.0.0.1:1", FailureKind.FATAL, 401, True),
        ("local:http://127.0.0.1:1", FailureKind.FATAL, 404, False),
        ("local:http://127.0.0.1:1", FailureKind.CONNECTION, None, True),
    ],
)
def test_what_stops_a_run_before_it_begins(
    provider: str, kind: FailureKind, status: int | None, stops: bool
) -> None:
    async def body() -> None:
        sender = SimulatedSender()

        async def probe(model: str) -> CallResult[ModelFacts]:
            return CallResult(None, Failure(kind, "no", status))

        sender.probe = probe  # type: ignore[method-assign,assignment]
        books = Books()
        service = GenerationService([Route(provider, sender, {MODEL: PRICE})], books, books)
        if stops:
            with pytest.raises(FatalApiError):
                await service.check(provider, MODEL)
        else:
            await service.check(provider, MODEL)
        await service.close()

    run(body())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effort": "low", "thinking": "adaptive", "max_tokens": 100}, None),
        ({"effort": "max"}, r"does not take model\.effort=max: it has high, low"),
        ({"thinking": "disabled"}, r"model\.thinking=disabled: it has adaptive"),
        ({"max_tokens": 200}, "at most 100 tokens; model.max_tokens=200"),
    ],
)
def test_options_that_a_model_does_not_have_are_refused_before_the_run(
    options: dict[str, Any], words: str | None
) -> None:
    async def main(b: Bench) -> None:
        async def probe(model: str) -> CallResult[ModelFacts]:
            return CallResult(ModelFacts(frozenset({"low", "high"}), frozenset({"adaptive"}), 100))

        b.sender.probe = probe  # type: ignore[method-assign]
        if words is None:
            await b.service.check("anthropic", MODEL, **options)
        else:
            with pytest.raises(FatalApiError, match=words):
                await b.service.check("anthropic", MODEL, **options)

    bench(main)
