"""Replies shared across runs: the same request as the same sample is bought once, whoever asks."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, Literal

from orchestrator.journal.codec import load_reply
from orchestrator.journal.rows import REPLY_COLUMNS, StoredReply, insert_reply, select_reply
from orchestrator.journal.writer import GroupCommitWriter, JournalError

__all__ = ["CacheMode", "ReplyCache"]

CacheMode = Literal["read", "write", "readwrite"]

SCHEMA: Final = f"CREATE TABLE IF NOT EXISTS replies ({REPLY_COLUMNS});"


class ReplyCache:
    """A SQLite file of replies; several runs may have it open at once."""

    def __init__(self, path: Path, mode: CacheMode) -> None:
        """Open or create ``path``.

        Raises:
            JournalError: it cannot be opened.
        """
        self._reads = mode != "write"
        self._writes = mode != "read"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = GroupCommitWriter(path, SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"the reply cache {path} cannot be opened: {error}") from error

    async def get(self, key: str) -> StoredReply | None:
        """The cached reply, or None (always None when the cache is not read)."""
        if not self._reads:
            return None
        return await self._writer.run(lambda c: select_reply(c, key))

    async def put(self, stored: StoredReply) -> None:
        """Keep a reply (nothing happens when the cache is not written, or holds it already)."""
        if self._writes and not load_reply(stored.reply_json).synthetic:
            await self._writer.run(lambda c: insert_reply(c, stored, replace=False))

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._writer.close()
