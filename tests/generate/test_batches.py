from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.core.generation import GenerationRequest, Message, Reply, Usage
from orchestrator.core.money import BudgetExhausted
from orchestrator.core.prices import Price, Rates, input_tokens_upper_bound
from orchestrator.generate.attempts import Failure, FailureKind
from orchestrator.generate.batch_records import BatchStatus, CallResult
from orchestrator.generate.service import (
    BatchSettings,
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

MODEL = "m"
PRICE = Price.flat(Rates(Decimal(2), Decimal(10), Decimal("0.1"), Decimal("2.5")), "test")
REQUEST = GenerationRequest("anthropic", MODEL, "", (Message("user", "write it"),), 100)
ROOM_FOR_ONE = PRICE.worst_case(input_tokens_upper_bound(REQUEST), REQUEST.max_tokens, batch=True) * Decimal("1.5")


class Desk:
    """A service in batch mode over a simulated provider."""

    def __init__(self, sender: SimulatedSender | None = None, books: Books | None = None, **batch: Any) -> None:
        self.sender = sender or SimulatedSender()
        self.books = books or Books()
        settings = ServiceSettings(retries=3, batch=BatchSettings(**batch))
        route = Route("anthropic", self.sender, {MODEL: PRICE})
        self.service = GenerationService([route], self.books, self.books, settings)

    async def ask(self, sample: int) -> Reply:
        return await self.service.generate(REQUEST, sample=sample, turn=0, problem_id="p", account=ACCOUNT)

    async def ask_all(self, count: int) -> list[Reply | BaseException]:
        return await asyncio.gather(*(self.ask(n) for n in range(count)), return_exceptions=True)


def desk(main: Callable[[Desk], Coroutine[Any, Any, None]], **kwargs: Any) -> Desk:
    async def body() -> Desk:
        made = Desk(**kwargs)
        await main(made)
        await made.service.close()
        return made

    return run(body())


def passing(message: str = "busy", *, charged: bool = False) -> Failure:
    return Failure(FailureKind.SERVER_ERROR, message, 500, may_have_charged=charged)


def test_requests_are_batched_matched_by_id_and_half_price() -> None:
    async def main(d: Desk) -> None:
        replies = await d.ask_all(50)
        assert [type(reply) for reply in replies] == [Reply] * 50
        assert all(isinstance(reply, Reply) and reply.batch for reply in replies)
        order = {entry.custom_id: n for n, entry in enumerate(d.sender.batches["batch_0"].entries)}
        for sample, reply in enumerate(replies):
            assert isinstance(reply, Reply)
            assert reply.text == f"batch_0 {order[REQUEST.key(sample)[:64]]}"
            assert reply.usd == float(PRICE.cost(Usage(100, 50))) / 2

    d = desk(main)
    assert len(d.sender.batches) == 1
    assert not d.books.batches, "a batch whose replies are all journaled is closed"
    assert not d.books.open


def test_the_id_is_journaled_before_the_first_poll() -> None:
    async def main(d: Desk) -> None:
        polled: list[list[str]] = []
        plain = d.sender.batch_status

        async def watched(batch_id: str) -> Any:
            polled.append(list(d.books.batches))
            return await plain(batch_id)

        d.sender.batch_status = watched  # type: ignore[method-assign]
        await d.ask_all(3)
        # The first call is the creation's own answer.
        assert all("batch_0" in known for known in polled[1:])

    desk(main)


def test_chunks_stay_under_the_limits() -> None:
    async def main(d: Desk) -> None:
        assert all(isinstance(reply, Reply) for reply in await d.ask_all(25))

    d = desk(main, most_requests=10)
    assert [len(batch.entries) for batch in d.sender.batches.values()] == [10, 10, 5]
    d = desk(main, most_bytes=2000)
    assert len(d.sender.batches) > 2


def test_what_expired_or_was_not_done_is_tried_again_and_paid_once() -> None:
    async def main(d: Desk) -> None:
        d.sender.script_entry = lambda entry, batch_id: passing() if batch_id == "batch_0" else None
        assert all(isinstance(reply, Reply) for reply in await d.ask_all(5))

    d = desk(main)
    assert len(d.sender.batches) == 2
    assert (d.books.released, d.books.unsettled, len(d.books.open)) == (0, 0, 0)


def test_entries_that_never_work_fail_and_give_their_money_back() -> None:
    async def main(d: Desk) -> None:
        d.sender.script_entry = lambda entry, batch_id: passing("out of order")
        results = await d.ask_all(2)
        assert all(isinstance(r, GenerationFailed) and "out of order" in str(r) for r in results)

    d = desk(main)
    assert len(d.sender.batches) == 4
    assert (d.books.settled, d.books.released, len(d.books.open)) == (0, 2, 0)


def test_a_batch_that_is_too_large_is_no_answer_to_its_requests() -> None:
    async def main(d: Desk) -> None:
        refusal = Failure(FailureKind.CONTEXT_EXCEEDED, "Request exceeds the maximum size", 413)
        d.sender.script_batch = lambda call, number: refusal if call == "create" else None
        results = await d.ask_all(2)
        assert all(isinstance(r, GenerationFailed) and "maximum size" in str(r) for r in results)

    d = desk(main)
    assert (d.books.replies, d.books.settled, d.books.released) == ({}, 0, 2)


def test_a_provider_that_is_away_for_a_while_is_asked_again() -> None:
    async def main(d: Desk) -> None:
        calls = {"create": 0, "status": 0}

        def script(call: str, number: int) -> Failure | None:
            calls[call] += 1
            return passing() if calls[call] in (1, 3, 4) else None

        d.sender.script_batch = script
        assert all(isinstance(reply, Reply) for reply in await d.ask_all(3))

    assert len(desk(main).sender.batches) == 1


@pytest.mark.parametrize("call", ["create", "status"])
def test_a_rate_limit_is_waited_for_as_long_as_it_takes_and_as_long_as_it_asks(call: str) -> None:
    # More requests than an account may have in open batches: the next one is taken when an earlier one has ended.
    asked: list[float] = []
    full = Failure(FailureKind.RATE_LIMITED, "too many requests in the queue", 429, retry_after_s=200.0)

    def script(name: str, number: int) -> Failure | None:
        if name != call:
            return None
        asked.append(asyncio.get_running_loop().time())
        return full if len(asked) <= 300 else None

    async def main(d: Desk) -> None:
        d.sender.script_batch = script
        assert all(isinstance(reply, Reply) for reply in await d.ask_all(2))

    d = desk(main, call_retries=2, poll_s=30.0)
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked[:301])]
    assert all(200 <= pause < 201 for pause in pauses)
    assert not d.books.open


def test_a_server_that_asks_for_a_day_is_asked_again_after_ten_minutes() -> None:
    asked: list[float] = []

    def script(name: str, number: int) -> Failure | None:
        asked.append(asyncio.get_running_loop().time())
        return Failure(FailureKind.OVERLOADED, "later", 529, retry_after_s=86400.0) if len(asked) == 1 else None

    async def main(d: Desk) -> None:
        d.sender.script_batch = script
        assert isinstance(await d.ask(0), Reply)

    desk(main)
    assert 600 <= asked[1] - asked[0] < 601


def test_a_lost_answer_to_a_creation_does_not_buy_twice() -> None:
    async def main(d: Desk) -> None:
        calls = []

        def script(call: str, number: int) -> Failure | None:
            calls.append(call)
            return passing("connection reset", charged=True) if calls.count("create") == 1 == len(calls) else None

        d.sender.script_batch = script
        assert all(isinstance(reply, Reply) for reply in await d.ask_all(3))

    assert len(desk(main).sender.batches) == 1


def created(kind: FailureKind, *, charged: bool, made: bool) -> int:
    """Batches at the provider after the first creation failed with ``kind``."""

    async def main(d: Desk) -> None:
        d.sender.kept_anyway = made
        first = [Failure(kind, "no answer", may_have_charged=charged)]
        d.sender.script_batch = lambda call, number: first.pop() if call == "create" and first else None
        assert all(isinstance(reply, Reply) for reply in await d.ask_all(3))
        assert not d.books.open

    return len(desk(main).sender.batches)


@pytest.mark.parametrize(
    "kind", [FailureKind.TIMEOUT, FailureKind.SERVER_ERROR, FailureKind.OVERLOADED, FailureKind.ACTOR_DIED]
)
def test_a_batch_is_looked_for_before_it_is_made_again(kind: FailureKind) -> None:
    """A gateway's 502 says as little of what became of it as an answer that does not come."""
    assert created(kind, charged=False, made=True) == 1
    assert created(kind, charged=False, made=False) == 1


def test_a_batch_is_not_looked_for_where_none_can_have_been_made() -> None:
    # Others' batches of the same size are none of ours.
    assert created(FailureKind.RATE_LIMITED, charged=False, made=True) == 2
    assert created(FailureKind.CONNECTION, charged=False, made=True) == 2
    assert created(FailureKind.CONNECTION, charged=True, made=True) == 1


def test_a_batch_that_was_followed_already_is_not_taken_for_a_later_one() -> None:
    """What expired is asked for again under the same ids, and its first batch is not the one that is lost."""

    async def main(d: Desk) -> None:
        refused = iter([None, passing(), passing(), passing(), passing(), None])
        d.sender.script_batch = lambda call, number: next(refused, None) if call == "create" else None
        d.sender.script_entry = lambda entry, batch_id: passing() if batch_id == "batch_0" else None
        assert all(isinstance(reply, Reply) for reply in await d.ask_all(3))

    d = desk(main)
    assert d.service.stats.retries == 3
    assert len(d.sender.batches) == 2


def test_a_refused_key_stops_the_sweep() -> None:
    async def main(d: Desk) -> None:
        d.sender.script_batch = lambda call, number: Failure(FailureKind.FATAL, "invalid x-api-key", 401, "req_1")
        assert all(isinstance(result, FatalApiError) for result in await d.ask_all(3))

    d = desk(main)
    assert not d.books.open
    assert not d.books.batches


@pytest.mark.parametrize("crash", ["after the id", "before the id"])
def test_the_next_driver_takes_up_an_open_batch_and_buys_nothing_twice(crash: str) -> None:
    async def main() -> None:
        first = Desk()
        tasks = [asyncio.create_task(first.ask(n)) for n in range(4)]
        await asyncio.sleep(30)
        if crash == "before the id":
            # As if the driver had died between the provider's answer and the journal.
            payload = first.books.batches.pop("batch_0")
            first.books.batches["pending:x"] = payload
        first.service.stop()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, GenerationStopped) for result in results)
        assert len(first.books.abandoned) == 4, "the batch goes on, so its money stays set aside"
        second = Desk(first.sender, first.books)
        replies = await second.ask_all(6)
        assert all(isinstance(reply, Reply) for reply in replies)
        assert [len(batch.entries) for batch in first.sender.batches.values()] == [4, 2]
        assert not first.books.batches
        assert not first.books.open
        assert not first.books.abandoned
        await second.service.close()

    run(main())


async def killed(sender: SimulatedSender, *, before_creation: bool = False) -> Books:
    """The books of a driver that was killed before it knew the id of its batch of three."""
    first = Desk(sender)
    tasks = [asyncio.create_task(first.ask(n)) for n in range(3)]
    await asyncio.sleep(30)
    first.books.batches["pending:x"] = first.books.batches.pop("batch_0")
    first.service.stop()
    await asyncio.gather(*tasks, return_exceptions=True)
    if before_creation:
        del sender.batches["batch_0"]
    await first.service.close()
    return first.books


OTHER = dataclasses.replace(REQUEST, system="another sweep")


async def another_run(sender: SimulatedSender) -> None:
    """Three replies bought by another run of the same account."""
    other = Desk(sender)
    asked = (other.service.generate(OTHER, sample=n, turn=0, problem_id="p", account=ACCOUNT) for n in range(3))
    assert all(isinstance(reply, Reply) for reply in await asyncio.gather(*asked))
    await other.service.close()


@pytest.mark.parametrize("clock_s", [0.0, -60.0, 60.0])
def test_a_batch_of_another_run_is_not_taken_for_the_lost_one(clock_s: float) -> None:
    async def main() -> None:
        sender = SimulatedSender()
        books = await killed(sender)
        other = asyncio.create_task(another_run(sender))
        await asyncio.sleep(30)
        for batch in sender.batches.values():
            batch.created_unix_s += clock_s
        later = Desk(sender, books)
        assert all(isinstance(reply, Reply) for reply in await later.ask_all(3))
        await other
        assert list(sender.batches) == ["batch_0", "batch_1"], "nothing is bought twice"
        assert not books.open
        assert not books.batches
        await later.service.close()

    run(main())


def test_while_a_batch_may_be_the_lost_one_nothing_is_bought_again() -> None:
    """Only its results tell whose it is."""

    async def main() -> None:
        sender = SimulatedSender()
        books = await killed(sender, before_creation=True)
        # The other's is the only batch there is.
        other = asyncio.create_task(another_run(sender))
        await asyncio.sleep(30)
        later = Desk(sender, books)
        asked = asyncio.create_task(later.ask_all(3))
        new = asyncio.create_task(later.ask(99))
        await asyncio.sleep(100)
        sizes = [len(batch.entries) for batch in sender.batches.values()]
        assert sizes == [3, 1], "what was in no lost batch does not wait"
        assert isinstance(await new, Reply)
        assert all(isinstance(reply, Reply) for reply in await asked)
        await other
        assert [len(batch.entries) for batch in sender.batches.values()] == [3, 1, 3]
        assert not books.batches
        await later.service.close()

    run(main())


def test_a_search_for_the_lost_batch_goes_on_in_the_next_driver() -> None:
    async def main() -> None:
        sender = SimulatedSender()
        books = await killed(sender)
        second = Desk(sender, books)
        asked = asyncio.create_task(second.ask_all(3))
        await asyncio.sleep(30)
        second.service.stop()
        assert all(isinstance(result, GenerationStopped) for result in await asked)
        assert list(books.batches) == ["pending:x"]
        assert len(books.abandoned) == 3, "it may be paid, so its money stays counted"
        third = Desk(sender, books)
        assert all(isinstance(reply, Reply) for reply in await third.ask_all(3))
        assert list(sender.batches) == ["batch_0"]
        assert not books.open
        assert not books.abandoned
        await third.service.close()

    run(main())


def test_a_batch_that_was_never_created_is_bought_anew() -> None:
    async def main() -> None:
        books = Books()
        entries = [[REQUEST.key(0)[:64], None]]
        books.batches["pending:x"] = json.dumps({"provider": "anthropic", "started": 0.0, "entries": entries})
        books.batches["other"] = json.dumps({"provider": "elsewhere", "started": 0.0, "entries": entries})
        d = Desk(books=books)
        assert isinstance((await d.ask_all(1))[0], Reply)
        assert list(books.batches) == ["other"], "batches of other providers are left alone"
        await d.service.close()

    run(main())


def test_a_batch_that_the_provider_says_nothing_of_holds_nobody_up() -> None:
    async def main(d: Desk) -> None:
        d.sender.script_batch = lambda call, number: passing() if call == "status" else None
        lost = asyncio.create_task(d.ask(0))
        await asyncio.sleep(20)
        # Waits for the money of the first.
        waiting = asyncio.create_task(d.ask(1))
        with pytest.raises(GenerationFailed, match="lost sight of: 500"):
            await lost
        with pytest.raises(BudgetExhausted):
            await waiting
        assert not d.books.open
        assert d.books.unsettled == d.service.worst_usd(REQUEST), "the batch may be charged all the same"

    desk(main, books=Books(ROOM_FOR_ONE))


@pytest.mark.parametrize("known", ["b", "pending:b"])
def test_a_batch_whose_results_are_gone_is_counted_and_bought_anew(known: str) -> None:
    async def main() -> None:
        first = Desk()
        tasks = [asyncio.create_task(first.ask(n)) for n in range(3)]
        await asyncio.sleep(30)
        first.service.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        worst = first.books.unsettled
        first.sender.batches["batch_0"].archived = True
        if known.startswith("pending:"):
            first.books.batches[known] = first.books.batches.pop("batch_0")
        second = Desk(first.sender, first.books)
        assert all(isinstance(reply, Reply) for reply in await second.ask_all(3))
        assert [len(batch.entries) for batch in first.sender.batches.values()] == [3, 3]
        assert first.books.unsettled == worst > 0, "what was asked for first may have been charged"
        assert not first.books.batches
        await second.service.close()

    run(main())


def test_stopping_does_not_wait_for_the_money_of_a_batch_that_goes_on() -> None:
    async def main(d: Desk) -> None:
        asking = asyncio.create_task(d.ask_all(2))
        await asyncio.sleep(20)
        d.service.stop()
        await d.service.drain()
        assert all(isinstance(result, GenerationStopped) for result in await asking)
        assert d.books.unsettled == d.service.worst_usd(REQUEST)

    desk(main, books=Books(ROOM_FOR_ONE))


def test_a_provider_that_lists_no_batches_fails_the_requests_of_the_lost_one_and_no_others() -> None:
    async def main() -> None:
        books = Books()
        paid = await books.reserve(key=REQUEST.key(0), worst_usd=Decimal(1), account=ACCOUNT)
        entries = [[REQUEST.key(0)[:64], paid]]
        books.batches["pending:x"] = json.dumps({"provider": "anthropic", "started": 0.0, "entries": entries})
        d = Desk(books=books)

        async def silent(limit: int) -> CallResult[list[BatchStatus]]:
            return CallResult(None, passing())

        d.sender.recent_batches = silent  # type: ignore[method-assign]
        lost, bought = await d.ask_all(2)
        assert isinstance(lost, GenerationFailed)
        assert "lost sight of: 500" in str(lost)
        assert isinstance(bought, Reply)
        assert list(books.batches) == ["pending:x"], "the next driver looks for it again"
        assert list(books.abandoned) == [paid], "it may have been charged"
        await d.service.close()

    run(main())


def test_cancelling_keeps_what_was_done_and_gives_the_rest_back() -> None:
    async def main(d: Desk) -> None:
        tasks = [asyncio.create_task(d.ask(n)) for n in range(6)]
        await asyncio.sleep(20)
        late = asyncio.create_task(d.ask(99))
        await asyncio.sleep(0.5)
        await d.service.cancel_batches()
        await d.service.drain()
        results = await asyncio.gather(*tasks, late, return_exceptions=True)
        assert sum(isinstance(result, Reply) for result in results) == 3
        assert sum(isinstance(result, GenerationStopped) for result in results) == 4

    d = desk(main)
    assert len(d.books.replies) == 3
    assert not d.books.open
    assert not d.books.batches


def test_a_batch_that_is_being_made_while_all_are_cancelled_is_cancelled_too() -> None:
    async def main(d: Desk) -> None:
        asking = asyncio.create_task(d.ask_all(6))
        # The simulated provider takes a tenth of a second to make one.
        await asyncio.sleep(2.05)
        await d.service.cancel_batches()
        await d.service.drain()
        assert sum(isinstance(result, Reply) for result in await asking) == 3

    d = desk(main)
    assert d.sender.batches["batch_0"].cancelled is not None
    assert not d.books.open


def test_a_batch_that_could_not_be_made_is_not_tried_again_after_the_end() -> None:
    async def main(d: Desk) -> None:
        busy = Failure(FailureKind.RATE_LIMITED, "too many batches", 429)
        d.sender.script_batch = lambda call, number: busy if call == "create" else None
        asking = asyncio.create_task(d.ask_all(3))
        await asyncio.sleep(20)
        await d.service.cancel_batches()
        d.sender.script_batch = lambda call, number: None
        await d.service.drain()
        assert all(isinstance(result, GenerationStopped) for result in await asking)

    d = desk(main)
    assert not d.sender.batches
    assert (d.books.released, len(d.books.open), len(d.books.batches)) == (3, 0, 0)


def test_a_batch_that_may_have_been_made_stays_counted_after_the_end() -> None:
    async def main(d: Desk) -> None:
        late = Failure(FailureKind.TIMEOUT, "no answer")
        d.sender.script_batch = lambda call, number: late if call == "create" else None
        asking = asyncio.create_task(d.ask_all(3))
        await asyncio.sleep(3)
        await d.service.cancel_batches()
        await d.service.drain()
        assert all(isinstance(result, GenerationStopped) for result in await asking)

    d = desk(main)
    assert not d.sender.batches
    assert (d.books.released, len(d.books.batches)) == (0, 1)


def test_the_budget_holds_for_batches() -> None:
    async def main(d: Desk) -> None:
        results = await d.ask_all(40)
        assert all(isinstance(result, Reply | BudgetExhausted) for result in results)
        assert any(isinstance(result, BudgetExhausted) for result in results)

    d = desk(main, books=Books(Decimal("0.01")))
    assert Decimal("0.005") < d.books.settled <= Decimal("0.01")


def test_batches_that_a_stopped_sweep_leaves_can_still_be_cancelled() -> None:
    """Ctrl-C stops first and asks afterwards; what was done by then is the next driver's to fetch."""

    async def main() -> None:
        d = Desk()
        tasks = [asyncio.create_task(d.ask(n)) for n in range(6)]
        await asyncio.sleep(20)
        d.service.stop()
        await d.service.drain()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, GenerationStopped) for result in results)
        assert d.service.open_batches == {"batch_0": 6}
        await d.service.cancel_batches()
        assert d.sender.batches["batch_0"].cancelled is not None
        await d.service.close()
        assert list(d.books.batches) == ["batch_0"]
        later = Desk(sender=d.sender, books=d.books)
        again = await later.ask_all(6)
        assert all(isinstance(reply, Reply) for reply in again)
        assert len(d.sender.batches["batch_1"].entries) == 3, "only what was cancelled is bought anew"
        await later.service.close()

    run(main())


def test_half_the_price_is_half_the_reservation() -> None:
    async def main(d: Desk) -> None:
        worst = PRICE.worst_case(10_000, 100)
        assert PRICE.worst_case(10_000, 100, batch=True) == worst / 2
        asked = asyncio.create_task(d.ask(0))
        await asyncio.sleep(20)
        ((_, reserved),) = d.books.open.values()
        assert reserved == d.service.worst_usd(REQUEST)
        whole = GenerationService([Route("anthropic", d.sender, {MODEL: PRICE})], d.books, d.books)
        assert reserved * 2 == whole.worst_usd(REQUEST)
        await asked

    desk(main)
