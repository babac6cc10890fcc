"""The journal: durable, keyed, one writer, nothing half written."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.core.execution import ExampleOutcome, Execution, Job, Preparation
from orchestrator.core.generation import GenerationRequest, Message, Reply, Usage
from orchestrator.core.gpu import GpuFeedback, GpuMeasures
from orchestrator.core.money import AccountRef
from orchestrator.core.problems import Limits
from orchestrator.core.verdicts import Verdict
from orchestrator.journal.cache import ReplyCache
from orchestrator.journal.store import Journal, JournalBusy, JournalError

REQUEST = GenerationRequest("anthropic", "m", "s", (Message("user", "hi \ud800"),), 10)
REPLY = Reply("text \udcff", "end_turn", Usage(1, 2, 3, 4), "m-1", "req_1", 0.5, False, usd=0.01)
ACCOUNT = AccountRef("cell", "trial", False)
LIMITS = Limits(2.0, 15.0)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.sqlite", "run-1")
    yield opened
    opened.close()


PAID = Decimal("0.01")


async def put(journal: Journal, key: str = "k", reservation: int | None = None, usd: Decimal | None = PAID) -> None:
    await journal.put_reply(
        key,
        request=REQUEST,
        sample=0,
        turn=1,
        problem_id="p",
        reply=REPLY,
        reservation_id=reservation,
        usd=usd,
    )


def test_a_reply_comes_back_as_it_was_also_from_a_new_driver(tmp_path: Path) -> None:
    async def write() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run-1")
        assert await journal.reply("k") is None
        await put(journal)
        assert await journal.reply("k") == REPLY
        journal.close()

    async def read() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run-1")
        assert await journal.reply("k") == REPLY
        assert journal.reply_keys() == {"k"}
        journal.close()

    asyncio.run(write())
    asyncio.run(read())


def test_an_execution_and_a_preparation_come_back_as_they_were(journal: Journal) -> None:
    execution = Execution(
        Verdict.WRONG_ANSWER,
        "no",
        cpu_s=0.1,
        outcomes=(ExampleOutcome("f(1)", "1", False, "2"),),
        gpu=GpuMeasures("card", "uuid", time_s=0.1),
        gpu_feedback=GpuFeedback("check", ("a", "b")),
    )
    preparation = Preparation("p", Verdict.PASSED, "", LIMITS, (1, 2), b"\x00\xff")

    async def check() -> None:
        await journal.put_verdict("v", Job("p", "x = 1", "scoring", 0, LIMITS), execution)
        assert await journal.verdict("v") == execution
        assert await journal.verdict("w") is None
        await journal.put_preparation("p", preparation)
        assert await journal.preparation("p") == preparation
        assert await journal.preparation("q") is None

    asyncio.run(check())


def test_a_reservation_left_open_is_unsettled_for_the_next_driver(journal: Journal) -> None:
    async def check() -> None:
        first = await journal.put_reservation(key="a", account=ACCOUNT, worst_usd=Decimal("0.5"))
        second = await journal.put_reservation(key="b", account=ACCOUNT, worst_usd=Decimal("0.25"))
        third = await journal.put_reservation(key="c", account=ACCOUNT, worst_usd=Decimal("0.125"))
        await put(journal, "b", second)
        await journal.end_reservation(third, "released")
        rows = {row.id: row for row in await journal.reservations()}
        assert rows[first].state == "unsettled"
        assert rows[first].worst_usd == Decimal("0.5")
        assert (rows[second].state, rows[second].settled_usd) == ("settled", Decimal("0.01"))
        assert rows[third].state == "released"
        assert rows[first].account == ACCOUNT

    asyncio.run(check())


def test_synthetic_promises_stay_so_and_prices_that_nobody_knows_too(journal: Journal) -> None:
    async def check() -> None:
        account = AccountRef("cell", "trial", True)
        number = await journal.put_reservation(key="a", account=account, worst_usd=Decimal(1))
        await put(journal, "a", number, usd=None)
        (row,) = await journal.reservations()
        assert (row.account, row.state, row.settled_usd) == (account, "settled", None)

    asyncio.run(check())


def test_a_batch_is_open_until_it_is_closed_also_for_the_next_driver(tmp_path: Path) -> None:
    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run")
        for name in ("one", "two"):
            await journal.put_batch(name, f"payload of {name}")
        await journal.close_batch("one")
        journal.close()
        again = Journal(tmp_path / "j.sqlite", "run")
        assert await again.open_batches() == {"two": "payload of two"}
        again.close()

    asyncio.run(check())


def test_what_is_on_its_way_is_written_though_nobody_waits_for_it(tmp_path: Path) -> None:
    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run")
        left, cancelled = (asyncio.create_task(journal.put_batch(key, "")) for key in "ab")
        await asyncio.sleep(0)
        cancelled.cancel()
        journal.close()
        await left
        again = Journal(tmp_path / "j.sqlite", "run")
        assert await again.open_batches() == {"a": "", "b": ""}
        again.close()

    asyncio.run(check())


def test_who_comes_after_the_end_is_refused_and_not_left_waiting(tmp_path: Path) -> None:
    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run")
        journal.close()
        with pytest.raises(JournalError, match="closed"):
            await asyncio.wait_for(journal.put_batch("late", ""), 10)

    asyncio.run(check())


def test_keys_are_known_as_they_are_written_and_to_the_next_driver(tmp_path: Path) -> None:
    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run-1")
        await put(journal)
        await journal.copy_reply("k", await journal.stored_reply("k"))
        await journal.put_verdict("v", Job("p", "x = 1", "scoring", 0, LIMITS), Execution(Verdict.PASSED, ""))
        with pytest.raises(KeyError, match="missing"):
            await journal.stored_reply("missing")
        assert (journal.reply_keys(), journal.verdict_keys()) == ({"k"}, {"v"})
        journal.close()
        again = Journal(tmp_path / "j.sqlite", "run-2")
        assert (again.reply_keys(), again.verdict_keys()) == ({"k"}, {"v"})
        assert await again.verdict("v") == Execution(Verdict.PASSED, "")
        again.close()

    asyncio.run(check())


def test_amounts_are_rounded_up_to_nanodollars(journal: Journal) -> None:
    async def check() -> None:
        await journal.put_reservation(key="a", account=ACCOUNT, worst_usd=Decimal("1e-10"))
        (row,) = await journal.reservations()
        assert row.worst_usd == Decimal("1e-9")

    asyncio.run(check())


def test_two_drivers_cannot_write_one_journal(tmp_path: Path, journal: Journal) -> None:
    with pytest.raises(JournalBusy, match="another run"):
        Journal(tmp_path / "journal.sqlite", "run-2")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be written"):
        Journal(tmp_path / "missing" / "journal.sqlite", "run")


def test_a_file_that_is_no_journal_is_one_sentence_and_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database, and long enough to be looked at as one " * 40)
    with pytest.raises(JournalError, match=r"journal\.sqlite cannot be opened"):
        Journal(path, "run")
    path.unlink()
    Journal(path, "run").close()


def test_many_writes_at_once_share_commits(journal: Journal) -> None:
    async def check() -> None:
        await asyncio.gather(*(put(journal, f"k{i}") for i in range(2000)))
        assert len(journal.reply_keys()) == 2000

    asyncio.run(check())


def test_one_failing_operation_takes_no_other_with_it(journal: Journal) -> None:
    async def check() -> None:
        bad = journal._writer.run(lambda c: c.execute("INSERT INTO batches VALUES ('k', NULL, 1)"))
        good = journal.put_batch("fine", "")
        results = await asyncio.gather(bad, good, return_exceptions=True)
        assert isinstance(results[0], sqlite3.IntegrityError)
        assert await journal.open_batches() == {"fine": ""}

    asyncio.run(check())


def test_a_full_disk_fails_every_write_and_keeps_what_is_there(tmp_path: Path) -> None:
    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run")
        await put(journal, "kept")
        pages = await journal._writer.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
        # SQLite answers a page beyond the limit just as it answers a full disk.
        await journal._writer.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())

        async def fill() -> None:
            for number in range(1000):
                await put(journal, f"more{number}")

        with pytest.raises(JournalError, match="full"):
            await fill()
        with pytest.raises(JournalError):
            await put(journal, "later")
        journal.close()
        again = Journal(tmp_path / "j.sqlite", "run")
        assert await again.reply("kept") == REPLY
        again.close()

    asyncio.run(check())


def test_what_waits_behind_a_failed_write_is_not_written(tmp_path: Path) -> None:
    """A sweep that was told that its journal cannot be written finds nothing of the rest in it later."""

    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run")
        both_wait = threading.Event()

        def fail(_: sqlite3.Connection) -> None:
            both_wait.wait(10)
            raise sqlite3.OperationalError("disk I/O error")

        first = asyncio.create_task(journal._writer.run(fail))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(journal.put_batch("later", ""))
        await asyncio.sleep(0)
        both_wait.set()
        for task in (first, second):
            with pytest.raises(JournalError, match="disk I/O error"):
                await task
        journal.close()
        again = Journal(tmp_path / "j.sqlite", "run")
        assert await again.open_batches() == {}
        again.close()

    asyncio.run(check())


def test_what_was_answered_for_survives_sigkill(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.journal.test_store import Journal, put
async def main():
    journal = Journal(Path(sys.argv[1]), "run")
    for number in range(100000):
        await put(journal, f"k{number}")
        print(number, flush=True)
asyncio.run(main())
"""
    root = str(Path(__file__).resolve().parents[2])
    path = tmp_path / "j.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path), root], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    said += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    last = max(int(line) for line in said if line.endswith("\n"))
    journal = Journal(path, "run")
    assert {f"k{number}" for number in range(last + 1)} <= journal.reply_keys()
    journal.close()


def test_the_cache_hands_replies_on_with_their_payer_but_never_synthetic_ones(tmp_path: Path) -> None:
    async def check() -> None:
        journal = Journal(tmp_path / "j.sqlite", "run-1")
        cache = ReplyCache(tmp_path / "c" / "replies.sqlite", "readwrite")
        await put(journal)
        stored = await journal.stored_reply("k")
        await cache.put(stored)
        found = await cache.get("k")
        assert found is not None
        assert (found.reply, found.paid_by) == (REPLY, "run-1")
        fake = type(stored)(
            **{
                **_fields(stored),
                "key": "s",
                "reply_json": stored.reply_json.replace('"synthetic":false', '"synthetic":true'),
            }
        )
        await cache.put(fake)
        assert await cache.get("s") is None
        cache.close()
        write_only = ReplyCache(tmp_path / "c" / "replies.sqlite", "write")
        assert await write_only.get("k") is None
        write_only.close()
        read_only = ReplyCache(tmp_path / "c" / "replies.sqlite", "read")
        await read_only.put(type(stored)(**{**_fields(stored), "key": "t"}))
        assert await read_only.get("t") is None
        assert await read_only.get("k") == stored
        # Who was first stays: the reply that one run has used is the one that others get.
        again = ReplyCache(tmp_path / "c" / "replies.sqlite", "readwrite")
        await again.put(type(stored)(**{**_fields(stored), "paid_by": "run-2"}))
        assert await again.get("k") == stored
        again.close()
        read_only.close()
        journal.close()

    asyncio.run(check())


def test_a_cache_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"the reply cache .* cannot be opened"):
        ReplyCache(tmp_path, "read")
    ReplyCache(tmp_path / "new" / "folders" / "replies.sqlite", "read").close()


def _fields(stored: object) -> dict[str, object]:
    return {name: getattr(stored, name) for name in stored.__slots__}  # type: ignore[attr-defined]
