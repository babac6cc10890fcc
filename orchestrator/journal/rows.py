"""One stored reply, in the journal's table and in the cache's."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass
from typing import Final

from orchestrator.core.generation import Reply
from orchestrator.journal.codec import load_reply

__all__ = ["REPLY_COLUMNS", "StoredReply", "insert_reply", "select_reply"]

REPLY_COLUMNS: Final = (
    "key TEXT PRIMARY KEY, problem TEXT NOT NULL, sample INTEGER NOT NULL, turn INTEGER NOT NULL,"
    " request TEXT NOT NULL, reply TEXT NOT NULL, paid_by TEXT NOT NULL, created REAL NOT NULL"
)


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply as stored."""

    key: str
    problem: str
    sample: int
    turn: int
    request_json: str
    reply_json: str
    paid_by: str
    """Id of the run that bought it."""
    created: float
    """Epoch seconds."""

    @property
    def reply(self) -> Reply:
        """The reply itself."""
        return load_reply(self.reply_json)


def insert_reply(connection: sqlite3.Connection, stored: StoredReply, *, replace: bool) -> None:
    """Write the row; without ``replace`` an older one stays."""
    verb = "REPLACE" if replace else "IGNORE"
    connection.execute(f"INSERT OR {verb} INTO replies VALUES (?,?,?,?,?,?,?,?)", astuple(stored))


def select_reply(connection: sqlite3.Connection, key: str) -> StoredReply | None:
    """Read the row, or None."""
    row = connection.execute("SELECT * FROM replies WHERE key = ?", (key,)).fetchone()
    return None if row is None else StoredReply(*row)
