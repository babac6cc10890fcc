"""One thread that owns a SQLite connection and commits what is waiting in groups.

A commit costs one fsync however many rows it holds, so thousands of durable writes a second neither block the
event loop nor wait for a disk each.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

__all__ = ["GroupCommitWriter", "JournalError"]

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]
Waiting = tuple[Operation, asyncio.AbstractEventLoop, "asyncio.Future[Any]"]

MOST_IN_A_GROUP: Final = 512
"""Keeps one commit, and so the wait of the first in the group, in the low milliseconds."""


class JournalError(RuntimeError):
    """The journal cannot be written (disk full, read-only, removed); the sweep must stop."""


class GroupCommitWriter:
    """Runs operations on one SQLite file, in order, in its own thread."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._failure: str | None = None
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # FULL: a reply that was answered for is still there after a power cut.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(schema)
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``operation`` in the writer's thread; what it wrote is on disk when this returns.

        Raises:
            JournalError: nothing of the operation was written.
        """
        if self._failure is not None:
            raise JournalError(self._failure)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put((operation, loop, future))
        # Cancelling the caller must not undo a write that is on its way.
        return await asyncio.shield(future)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
            self._connection.close()
            # Whoever comes later is told so: nobody is left who could answer.
            self._failure = self._failure or f"the journal {self._path} is closed"

    def _work(self) -> None:
        open_ = True
        while open_:
            group: list[Waiting] = []
            first = self._queue.get()
            while True:
                if first is None:
                    open_ = False
                    break
                group.append(first)
                if len(group) >= MOST_IN_A_GROUP:
                    break
                try:
                    first = self._queue.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._commit(group)

    def _commit(self, group: list[Waiting]) -> None:
        outcomes: list[tuple[Waiting, Any, BaseException | None]] = []
        try:
            if self._failure is not None:
                raise JournalError(self._failure)
            self._connection.execute("BEGIN IMMEDIATE")
            for waiting in group:
                # A savepoint each: one that fails for its own sake takes nobody with it.
                self._connection.execute("SAVEPOINT step")
                try:
                    outcomes.append((waiting, waiting[0](self._connection), None))
                except sqlite3.OperationalError:
                    raise
                except Exception as error:  # noqa: BLE001 - handed to the one who asked
                    self._connection.execute("ROLLBACK TO step")
                    outcomes.append((waiting, None, error))
                self._connection.execute("RELEASE step")
            self._connection.execute("COMMIT")
        except (sqlite3.Error, JournalError) as error:
            if self._failure is None:
                self._failure = f"the journal {self._path} cannot be written: {error}"
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failure = JournalError(self._failure)
            outcomes = [(waiting, None, failure) for waiting in group]
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
        for (_, loop, future), value, problem in outcomes:
            by_loop.setdefault(loop, []).append((future, value, problem))
        for loop, answers in by_loop.items():
            try:
                loop.call_soon_threadsafe(_answer, answers)
            except RuntimeError:
                # The loop was closed: nobody waits any more, and the rows are on disk.
                continue


def _answer(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    # None of them is cancelled: who asked waits for it behind a shield.
    for future, value, error in answers:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
