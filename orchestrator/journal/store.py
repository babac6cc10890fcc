"""The journal: what a sweep has bought, found out and promised, in one SQLite file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

from orchestrator.core.digests import canonical_json
from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.generation import GenerationRequest, Reply
from orchestrator.core.money import AccountRef
from orchestrator.journal.codec import dump, load_execution, load_preparation
from orchestrator.journal.rows import REPLY_COLUMNS, StoredReply, insert_reply, select_reply
from orchestrator.journal.writer import GroupCommitWriter, JournalError

__all__ = ["Journal", "JournalBusy", "JournalError", "ReservationRow", "ReservationState", "holds_steps"]

ReservationState = Literal["reserved", "settled", "released", "unsettled"]

NANO: Final = Decimal(10) ** 9
"""Amounts are stored as whole nanodollars: the cheapest cached batch token known costs 5 of them."""

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS replies ({REPLY_COLUMNS});
CREATE TABLE IF NOT EXISTS verdicts (
  key TEXT PRIMARY KEY, problem TEXT NOT NULL, tests TEXT NOT NULL, program TEXT NOT NULL,
  execution TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS reservations (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, cell TEXT NOT NULL, trial TEXT NOT NULL,
  synthetic INTEGER NOT NULL, worst_nano INTEGER NOT NULL, settled_nano INTEGER,
  state TEXT NOT NULL, created REAL NOT NULL);
CREATE INDEX IF NOT EXISTS reservations_by_state ON reservations (state);
CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, payload TEXT NOT NULL, open INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS preparations (key TEXT PRIMARY KEY, preparation TEXT NOT NULL);
"""


def holds_steps(path: Path) -> bool:
    """Whether the journal at ``path`` has anything that a resume would take up; False where it cannot be read."""
    tables = ("replies", "verdicts", "reservations", "batches")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as journal:
            return any(journal.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)
    except sqlite3.Error:
        return False


class JournalBusy(RuntimeError):
    """Another driver has this journal open."""


@dataclass(frozen=True, slots=True)
class ReservationRow:
    """One promise of money, as stored."""

    id: int
    account: AccountRef
    worst_usd: Decimal
    settled_usd: Decimal | None
    state: ReservationState


def to_nano(usd: Decimal) -> int:
    """Whole nanodollars, rounded up, so that a promise never covers less than it should."""
    nano = usd * NANO
    whole = int(nano)
    return whole if whole == nano else whole + 1


class Journal:
    """Durable steps of one run. All methods may be called from one event loop only.

    Raises from any method: :class:`JournalError` when the file cannot be written.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        """Open or create ``path``; ``run_id`` is recorded as the payer of what is bought now.

        Raises:
            JournalBusy: another process has it open.
            JournalError: it cannot be opened.
        """
        self._run_id = run_id
        self._lock = _lock(path.with_suffix(".lock"))
        try:
            self._writer = GroupCommitWriter(path, SCHEMA)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise JournalError(f"the journal {path} cannot be opened: {error}") from error
        # Keys are held in memory so that a step which was never done costs no trip to the disk.
        with sqlite3.connect(path) as connection:
            self._replies = {row[0] for row in connection.execute("SELECT key FROM replies")}
            self._verdicts = {row[0] for row in connection.execute("SELECT key FROM verdicts")}
        connection.close()

    def close(self) -> None:
        """Write what is waiting, close the file, let others in."""
        self._writer.close()
        os.close(self._lock)

    # -- replies -------------------------------------------------------------------------------------------

    def reply_keys(self) -> frozenset[str]:
        """Keys of all journaled replies, as of now."""
        return frozenset(self._replies)

    async def reply(self, key: str) -> Reply | None:
        """The journaled reply to a request, or None."""
        if key not in self._replies:
            return None

        return (await self.stored_reply(key)).reply

    async def stored_reply(self, key: str) -> StoredReply:
        """A journaled reply with its request and payer; :class:`KeyError` when there is none."""
        stored = await self._writer.run(lambda c: select_reply(c, key))
        if stored is None:
            raise KeyError(key)
        return stored

    async def copy_reply(self, key: str, stored: StoredReply) -> None:
        """Store a reply that another run paid for."""
        await self._writer.run(lambda c: insert_reply(c, stored, replace=True))
        self._replies.add(key)

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
        """Store a paid reply and settle its reservation in one transaction; durable on return."""
        stored = StoredReply(
            key=key,
            problem=problem_id,
            sample=sample,
            turn=turn,
            request_json=canonical_json(request),
            reply_json=dump(reply),
            paid_by=self._run_id,
            created=time.time(),
        )

        def write(connection: sqlite3.Connection) -> None:
            insert_reply(connection, stored, replace=True)
            if reservation_id is not None:
                _settle(connection, reservation_id, "settled", usd)

        await self._writer.run(write)
        self._replies.add(key)

    # -- verdicts ------------------------------------------------------------------------------------------

    def verdict_keys(self) -> frozenset[str]:
        """Keys of all journaled executions, as of now."""
        return frozenset(self._verdicts)

    async def verdict(self, key: str) -> Execution | None:
        """The journaled execution of a program, or None."""
        if key not in self._verdicts:
            return None

        def read(connection: sqlite3.Connection) -> str:
            row = connection.execute("SELECT execution FROM verdicts WHERE key = ?", (key,)).fetchone()
            return str(row[0])

        return load_execution(await self._writer.run(read))

    async def put_verdict(self, key: str, job: Job, execution: Execution) -> None:
        """Store a final verdict; durable on return."""
        row = (key, job.problem_id, job.tests, job.program, dump(execution), time.time())

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO verdicts VALUES (?,?,?,?,?,?)", row)

        await self._writer.run(write)
        self._verdicts.add(key)

    # -- preparations --------------------------------------------------------------------------------------

    async def preparation(self, key: str) -> Preparation | None:
        """What the reference of a problem did, or None."""

        def read(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT preparation FROM preparations WHERE key = ?", (key,)).fetchone()
            return None if row is None else str(row[0])

        text = await self._writer.run(read)
        return None if text is None else load_preparation(text)

    async def put_preparation(self, key: str, preparation: Preparation) -> None:
        """Store what the reference of a problem did."""
        row = (key, dump(preparation))
        await self._writer.run(lambda c: c.execute("INSERT OR REPLACE INTO preparations VALUES (?,?)", row))

    # -- money ---------------------------------------------------------------------------------------------

    async def put_reservation(self, *, key: str, account: AccountRef, worst_usd: Decimal) -> int:
        """Promise ``worst_usd`` for a request that is about to be sent; durable on return. Returns its id."""
        row = (
            key,
            account.cell,
            account.trial,
            int(account.synthetic),
            to_nano(worst_usd),
            "reserved",
            time.time(),
        )

        def write(connection: sqlite3.Connection) -> int:
            cursor = connection.execute(
                "INSERT INTO reservations (key, cell, trial, synthetic, worst_nano, state, created)"
                " VALUES (?,?,?,?,?,?,?)",
                row,
            )
            return int(cursor.lastrowid or 0)

        return await self._writer.run(write)

    async def end_reservation(self, reservation_id: int, state: Literal["released", "unsettled"]) -> None:
        """Record that a promise was surely not charged, or may have been."""

        def write(connection: sqlite3.Connection) -> None:
            _settle(connection, reservation_id, state, None)

        await self._writer.run(write)

    async def reservations(self) -> list[ReservationRow]:
        """All promises; those still ``reserved`` by an earlier driver are turned ``unsettled`` first.

        Call it once, before the first reservation of this driver.
        """

        def read(connection: sqlite3.Connection) -> list[ReservationRow]:
            connection.execute("UPDATE reservations SET state = 'unsettled' WHERE state = 'reserved'")
            rows = connection.execute(
                "SELECT id, cell, trial, synthetic, worst_nano, settled_nano, state FROM reservations"
            )
            return [
                ReservationRow(
                    id=id_,
                    account=AccountRef(cell=cell, trial=trial, synthetic=bool(synthetic)),
                    worst_usd=worst / NANO,
                    settled_usd=None if settled is None else settled / NANO,
                    state=state,
                )
                for id_, cell, trial, synthetic, worst, settled, state in rows
            ]

        return await self._writer.run(read)

    # -- batches -------------------------------------------------------------------------------------------

    async def put_batch(self, batch_id: str, payload: str) -> None:
        """Remember a batch before it is first polled."""
        await self._writer.run(
            lambda c: c.execute("INSERT OR REPLACE INTO batches VALUES (?,?,1)", (batch_id, payload))
        )

    async def open_batches(self) -> Mapping[str, str]:
        """Batches that were submitted and not yet fetched: id to payload."""
        return await self._writer.run(
            lambda c: dict(c.execute("SELECT id, payload FROM batches WHERE open = 1").fetchall())
        )

    async def close_batch(self, batch_id: str) -> None:
        """All results of the batch are journaled."""
        await self._writer.run(lambda c: c.execute("UPDATE batches SET open = 0 WHERE id = ?", (batch_id,)))


def _settle(
    connection: sqlite3.Connection, reservation_id: int, state: ReservationState, usd: Decimal | None
) -> None:
    connection.execute(
        "UPDATE reservations SET state = ?, settled_nano = ? WHERE id = ?",
        (state, None if usd is None else to_nano(usd), reservation_id),
    )


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(f"{path.parent} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalBusy(f"{path.parent} is being written by another run; wait for it or end it") from error
    return descriptor
