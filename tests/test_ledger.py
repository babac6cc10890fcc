"""The ledger: never over, never stuck, nothing forgotten."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.core.generation import GenerationRequest, Message, Reply, Usage
from orchestrator.core.money import AccountRef, BudgetExhausted
from orchestrator.journal.store import Journal
from orchestrator.ledger import Ledger


class MemoryJournal:
    """Stands in for the disk where ten thousand schedules are tried: what is tested is the arithmetic."""

    def __init__(self) -> None:
        self.count = 0

    async def put_reservation(self, *, key: str, account: AccountRef, worst_usd: Decimal) -> int:
        self.count += 1
        number = self.count
        await asyncio.sleep(0)
        return number

    async def end_reservation(self, reservation_id: int, state: str) -> None:
        await asyncio.sleep(0)


class FailsOnce(MemoryJournal):
    """The first promise does not reach the disk."""

    async def put_reservation(self, *, key: str, account: AccountRef, worst_usd: Decimal) -> int:
        number = await super().put_reservation(key=key, account=account, worst_usd=worst_usd)
        if number == 1:
            raise OSError("disk full")
        return number


def ledger(usd: str | None, cell: str | None = None, trial: str | None = None) -> Ledger:
    def money(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    return Ledger(
        MemoryJournal(),  # type: ignore[arg-type]
        usd=money(usd),
        cell_usd=money(cell),
        trial_usd=money(trial),
    )


def account(cell: str = "c", trial: str = "t", synthetic: bool = False) -> AccountRef:
    return AccountRef(cell, trial, synthetic)


async def reserve(books: Ledger, usd: str, who: AccountRef | None = None) -> int:
    return await books.reserve(key="k", worst_usd=Decimal(usd), account=who or account())


def test_a_reservation_that_does_not_fit_waits_for_one_in_flight() -> None:
    async def check() -> None:
        books = ledger("1.00")
        first = await reserve(books, "0.80")
        second = asyncio.create_task(reserve(books, "0.50"))
        await asyncio.sleep(0.01)
        assert not second.done()
        books.settle(first, Decimal("0.10"))
        await second
        assert books.totals(synthetic=False).committed == Decimal("0.60")

    asyncio.run(check())


def test_it_says_beforehand_whether_one_would_wait() -> None:
    async def check() -> None:
        books = ledger("1.00", cell="0.90")
        first = await reserve(books, "0.80")
        waiting = asyncio.create_task(reserve(books, "0.50"))
        await asyncio.sleep(0)
        assert not books.fits(Decimal("0.15"), account())
        assert books.fits(Decimal("0.15"), account("other"))
        # Also behind one who waits for more than there is.
        await asyncio.wait_for(reserve(books, "0.15", account("other")), 1)
        assert not waiting.done()
        books.settle(first, Decimal("0.10"))
        await waiting

    asyncio.run(check())


def test_it_is_refused_when_nothing_in_flight_can_help() -> None:
    async def check() -> None:
        books = ledger("1.00")
        first = await reserve(books, "0.80")
        second = asyncio.create_task(reserve(books, "0.50"))
        await asyncio.sleep(0)
        assert not books.exhausted
        books.settle(first, Decimal("0.80"))
        with pytest.raises(BudgetExhausted, match=r"\$0\.5000"):
            await second
        assert books.exhausted
        assert await reserve(books, "0.20")

    asyncio.run(check())


def test_released_money_is_free_again_and_abandoned_money_is_not() -> None:
    async def check() -> None:
        books = ledger("1.00")
        await books.release(await reserve(books, "0.90"))
        await books.abandon(await reserve(books, "0.90"))
        totals = books.totals(synthetic=False)
        assert (totals.unsettled, totals.reserved, totals.settled) == (Decimal("0.90"), 0, 0)
        with pytest.raises(BudgetExhausted):
            await reserve(books, "0.20")

    asyncio.run(check())


def test_caps_hold_for_the_cell_and_the_trial_too() -> None:
    async def check() -> None:
        books = ledger("10", cell="1.00", trial="0.50")
        books.settle(await reserve(books, "0.40", account("a", "a1")), Decimal("0.40"))
        with pytest.raises(BudgetExhausted, match=r"does not fit budget\.trial_usd=0\.50, of which") as trial:
            await reserve(books, "0.20", account("a", "a1"))
        assert (trial.value.key, trial.value.needed) == ("budget.trial_usd", Decimal("0.60"))
        books.settle(await reserve(books, "0.40", account("a", "a2")), Decimal("0.40"))
        with pytest.raises(BudgetExhausted, match=r"does not fit budget\.cell_usd=1\.00, of which") as cell:
            await reserve(books, "0.30", account("a", "a3"))
        assert (cell.value.key, cell.value.needed) == ("budget.cell_usd", Decimal("1.10"))
        await reserve(books, "0.30", account("b", "b1"))
        # Where several are too small, the smallest is named.
        with pytest.raises(BudgetExhausted, match=r"budget\.trial_usd"):
            await reserve(books, "1.10", account("a", "a4"))

    asyncio.run(check())


def test_synthetic_dollars_have_books_of_their_own() -> None:
    async def check() -> None:
        books = ledger("1.00")
        books.settle(await reserve(books, "0.90", account(synthetic=True)), Decimal("0.90"))
        await reserve(books, "0.90")
        assert books.totals(synthetic=False).settled == 0

    asyncio.run(check())


def test_a_cancelled_waiter_takes_nothing_with_it() -> None:
    async def check() -> None:
        books = ledger("1.00")
        first = await reserve(books, "0.80")
        second = asyncio.create_task(reserve(books, "0.50"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        books.settle(first, Decimal(0))
        await reserve(books, "1.00")

    asyncio.run(check())


def test_who_is_cancelled_after_being_granted_gives_the_money_to_the_next() -> None:
    async def check() -> None:
        books = ledger("1.00")
        first = await reserve(books, "0.80")
        granted = asyncio.create_task(reserve(books, "0.70"))
        # Needs what only the second will have.
        next_ = asyncio.create_task(reserve(books, "0.60"))
        await asyncio.sleep(0)
        # The grant is made here, and the cancellation comes before its task has run again.
        books.settle(first, Decimal(0))
        granted.cancel()
        with pytest.raises(asyncio.CancelledError):
            await granted
        await asyncio.wait_for(next_, 1)
        totals = books.totals(synthetic=False)
        assert (totals.reserved, totals.in_flight) == (Decimal("0.60"), 1)

    asyncio.run(check())


def test_who_is_cancelled_while_waiting_is_granted_nothing_in_the_same_moment() -> None:
    async def check() -> None:
        books = ledger("1.00")
        first = await reserve(books, "0.80")
        waiting = asyncio.create_task(reserve(books, "0.50"))
        await asyncio.sleep(0)
        waiting.cancel()
        books.settle(first, Decimal(0))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert books.totals(synthetic=False).committed == 0

    asyncio.run(check())


def test_who_is_cancelled_after_being_refused_gives_back_nothing() -> None:
    async def check() -> None:
        books = ledger("1.00")
        first = await reserve(books, "0.80")
        refused = asyncio.create_task(reserve(books, "0.50"))
        await asyncio.sleep(0)
        books.settle(first, Decimal("0.80"))
        refused.cancel()
        with pytest.raises(asyncio.CancelledError):
            await refused
        assert books.totals(synthetic=False).committed == Decimal("0.80")

    asyncio.run(check())


def test_a_promise_that_could_not_be_written_is_given_to_the_next() -> None:
    async def check() -> None:
        books = Ledger(FailsOnce(), usd=Decimal(1))  # type: ignore[arg-type]
        failing = asyncio.create_task(reserve(books, "0.80"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(reserve(books, "0.50"))
        with pytest.raises(OSError, match="disk full"):
            await failing
        await asyncio.wait_for(waiting, 1)
        assert books.totals(synthetic=False).committed == Decimal("0.50")

    asyncio.run(check())


@pytest.mark.parametrize("fate", ["release", "abandon"])
def test_who_waits_is_decided_however_the_one_in_flight_ends(fate: str) -> None:
    async def check() -> None:
        books = ledger("1.00")
        first = await reserve(books, "0.80")
        waiting = asyncio.create_task(reserve(books, "0.50"))
        await asyncio.sleep(0)
        await getattr(books, fate)(first)
        if fate == "release":
            await asyncio.wait_for(waiting, 1)
        else:
            with pytest.raises(BudgetExhausted):
                await asyncio.wait_for(waiting, 1)

    asyncio.run(check())


def test_a_cell_has_totals_of_its_own() -> None:
    async def check() -> None:
        books = ledger("10", cell="1.00")
        books.settle(await reserve(books, "0.40", account("a")), Decimal("0.10"))
        await reserve(books, "0.30", account("b"))
        of_a, of_b = (books.totals(synthetic=False, cell=name) for name in "ab")
        assert (of_a.settled, of_a.reserved, of_a.cap) == (Decimal("0.10"), 0, Decimal("1.00"))
        assert (of_b.settled, of_b.reserved, of_b.in_flight) == (0, Decimal("0.30"), 1)

    asyncio.run(check())


@pytest.mark.parametrize(("usd", "counted"), [("0.25", "0.25"), (None, "2")])
def test_what_an_earlier_driver_paid_counts_at_its_price(tmp_path: Path, usd: str | None, counted: str) -> None:
    """At its worst case where the price was never known."""

    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run")
        number = await Ledger(journal, usd=None).reserve(key="k", worst_usd=Decimal(2), account=account())
        await journal.put_reply(
            "k",
            request=GenerationRequest("anthropic", "m", "", (Message("user", "?"),), 10),
            sample=0,
            turn=1,
            problem_id="p",
            reply=Reply("!", "end_turn", Usage(1, 1), "m", "r", 0.1, False),
            reservation_id=number,
            usd=None if usd is None else Decimal(usd),
        )
        books = Ledger(journal, usd=Decimal(3))
        await books.recover()
        totals = books.totals(synthetic=False)
        assert (totals.settled, totals.unsettled) == (Decimal(counted), 0)
        journal.close()

    asyncio.run(check())


def test_an_unsettled_reservation_of_an_earlier_driver_can_be_settled_after_all(tmp_path: Path) -> None:
    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run")
        number = await Ledger(journal, usd=None).reserve(key="k", worst_usd=Decimal(2), account=account())
        books = Ledger(journal, usd=Decimal(3))
        await books.recover()
        assert books.totals(synthetic=False).unsettled == 2
        books.settle(number, Decimal("0.5"))
        totals = books.totals(synthetic=False)
        assert (totals.unsettled, totals.settled) == (0, Decimal("0.5"))
        journal.close()

    asyncio.run(check())


@pytest.mark.parametrize(("fate", "left"), [("release", 0), ("abandon", 2)])
def test_one_of_an_earlier_driver_can_be_released_and_abandoned_too(tmp_path: Path, fate: str, left: int) -> None:
    """A batch that was re-attached to may say that it refused an entry, or may not say anything."""

    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run")
        number = await Ledger(journal, usd=None).reserve(key="k", worst_usd=Decimal(2), account=account())
        books = Ledger(journal, usd=Decimal(3))
        await books.recover()
        await getattr(books, fate)(number)
        totals = books.totals(synthetic=False)
        assert (totals.committed, totals.unsettled, totals.in_flight) == (left, left, 0)
        # The next driver finds the same.
        later = Ledger(journal, usd=Decimal(3))
        await later.recover()
        assert later.totals(synthetic=False).committed == left
        journal.close()

    asyncio.run(check())


def test_ten_thousand_random_schedules_never_exceed_any_cap() -> None:
    async def one(seed: int) -> tuple[int, int]:
        draw = random.Random(seed)
        caps = [Decimal(draw.randint(1, 40)) / 10 for _ in range(3)]
        books = Ledger(
            MemoryJournal(),  # type: ignore[arg-type]
            usd=caps[0],
            cell_usd=caps[1] if draw.random() < 0.5 else None,
            trial_usd=caps[2] if draw.random() < 0.5 else None,
        )
        charged = Decimal(0)
        granted = refused = 0

        def never_over() -> None:
            totals = books.totals(synthetic=False)
            assert totals.committed <= caps[0]
            assert min(totals.reserved, totals.settled, totals.unsettled) >= 0
            for cell in ("a", "b"):
                scope = books.totals(synthetic=False, cell=cell)
                assert scope.cap is None or scope.committed <= scope.cap

        async def request(number: int) -> None:
            nonlocal charged, granted, refused
            worst = Decimal(draw.randint(1, 100)) / 100
            who = account(draw.choice("ab"), f"t{number % 3}")
            try:
                reservation = await books.reserve(key=str(number), worst_usd=worst, account=who)
            except BudgetExhausted:
                refused += 1
                return
            granted += 1
            never_over()
            try:
                for _ in range(draw.randint(0, 3)):
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                # Cancelled in flight: it may have been charged, and its reservation is not forgotten.
                charged += worst
                await books.abandon(reservation)
                raise
            fate = draw.random()
            if fate < 0.7:
                cost = worst * draw.randint(0, 100) / 100
                charged += cost
                books.settle(reservation, cost)
            elif fate < 0.85:
                await books.release(reservation)
            else:
                charged += worst
                await books.abandon(reservation)
            never_over()

        tasks = [asyncio.create_task(request(number)) for number in range(12)]
        for task in draw.sample(tasks, 2):
            if draw.random() < 0.2:
                await asyncio.sleep(0)
                if not task.done():
                    task.cancel()
        # Nobody waits for ever: every request is granted, refused or cancelled.
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        assert charged <= caps[0]
        return granted, refused

    async def check() -> None:
        granted = refused = 0
        for seed in range(10_000):
            more = await one(seed)
            granted, refused = granted + more[0], refused + more[1]
        assert granted > 10_000
        assert refused > 1_000

    asyncio.run(check())
