"""Message Batches: created, processed in the background of time, ended, canceled, read."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.generate.rehearsal.books import Books
from orchestrator.generate.rehearsal.composing import Composed, Composer
from orchestrator.generate.rehearsal.draws import RequestId, draw
from orchestrator.generate.rehearsal.errors import ApiError
from orchestrator.generate.rehearsal.settings import RehearsalSettings

__all__ = ["BatchBook"]

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_EXPIRES_S = 24 * 3600.0
_BREATH = 100
"""Entries that are worked on before other requests get their turn."""


@dataclass
class _Batch:
    id: str
    created: float
    """Seconds since the epoch, like all times here."""
    ends: float
    requests: list[dict[str, Any]]
    cancelled: float | None = None
    charged: bool = False
    """Its entries are in the books, perhaps in those of an earlier server."""
    results: list[str] = field(default_factory=list)
    """What became of each entry; empty until the batch has been settled."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class BatchBook:
    """All batches of the server.

    An entry says who asks in ``params.metadata.user_id`` (the form of ``x-rehearsal-id``). Entries are not subject
    to faults or limits; some expire or end in an error, by the shares in the settings. Which ones depends on the
    attempt in the entry's id, so that asking again helps.
    """

    def __init__(self, settings: RehearsalSettings, composer: Composer, books: Books) -> None:
        self._settings = settings
        self._composer = composer
        self._books = books
        self._batches: dict[str, _Batch] = {}
        self._state = Path(settings.batch_state) if settings.batch_state else None
        if self._state is not None and self._state.exists():
            self._load(self._state)

    def create(self, body: Any) -> _Batch:
        """Begin a batch.

        Raises:
            ApiError: 400 for a bad body, 413 for too many entries.
        """
        requests = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(requests, list) or not requests:
            raise _bad("requests: at least one request is required")
        if len(requests) > self._settings.batch_most_requests:
            most = self._settings.batch_most_requests
            raise ApiError(413, f"requests: at most {most:,} requests are allowed in a batch", "bad_request")
        seen: set[str] = set()
        for index, request in enumerate(requests):
            name = request.get("custom_id") if isinstance(request, dict) else None
            if not isinstance(name, str) or not _CUSTOM_ID.fullmatch(name):
                raise _bad(f"requests.{index}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
            if name in seen:
                raise _bad(f"requests.{index}.custom_id: Duplicate custom_id {name!r}")
            seen.add(name)
            if not isinstance(request.get("params"), dict):
                raise _bad(f"requests.{index}.params: Field required")
        now = time.time()
        batch = _Batch(
            id=f"msgbatch_rehearsal{len(self._batches) + 1:06d}",
            created=now,
            ends=now + self._settings.batch_delay_s,
            requests=requests,
        )
        self._batches[batch.id] = batch
        self._books.counts.batches += 1
        self._save({"id": batch.id, "created": batch.created, "ends": batch.ends, "requests": requests})
        return batch

    def get(self, batch_id: str) -> _Batch:
        """The batch of that id.

        Raises:
            ApiError: 404.
        """
        batch = self._batches.get(batch_id)
        if batch is None:
            raise ApiError(404, f"Message Batch {batch_id} not found.", "unknown_batch")
        return batch

    def cancel(self, batch: _Batch) -> None:
        """Ask for the end of a batch; what was processed until now keeps its result.

        Raises:
            ApiError: 400 if it has ended.
        """
        now = time.time()
        if now >= batch.ends:
            raise _bad(f"Batch {batch.id} has already ended and can not be canceled.")
        if batch.cancelled is None:
            batch.cancelled = now
            # Like the API, the server takes a moment between the wish and the end.
            batch.ends = min(batch.ends, now + 0.1 * self._settings.batch_delay_s)
            self._save({"id": batch.id, "cancelled": now, "ends": batch.ends})

    def page(self, query: Mapping[str, str]) -> tuple[list[_Batch], bool]:
        """Batches, newest first, and whether there are more beyond them.

        Raises:
            ApiError: 400 for a bad limit, 404 for an unknown cursor.
        """
        order = list(reversed(self._batches.values()))
        limit = query.get("limit", "20")
        if not limit.isdigit() or not 1 <= int(limit) <= 1000:
            raise _bad("limit: Input should be between 1 and 1000")
        size = int(limit)
        if "before_id" in query:
            place = order.index(self.get(query["before_id"]))
            return order[max(0, place - size) : place], place > size
        start = order.index(self.get(query["after_id"])) + 1 if "after_id" in query else 0
        return order[start : start + size], start + size < len(order)

    async def settle_all(self) -> None:
        """Bring the books up to date with every batch that has ended."""
        for batch in list(self._batches.values()):
            await self.settle(batch)

    async def settle(self, batch: _Batch) -> None:
        """Work out and charge what became of each entry, if the batch has ended and that was not done yet."""
        async with batch.lock:
            if batch.results or time.time() < batch.ends:
                return
            results: list[str] = []
            for index, request in enumerate(batch.requests):
                result, composed = self._outcome(batch, request)
                results.append(result)
                if not batch.charged:
                    self._books.entry(result)
                if composed is not None and not batch.charged:
                    attempt = RequestId.parse(self._who_text(request)).attempt
                    self._books.admit(composed, attempt, batch=True)
                    self._books.replied(composed, attempt)
                if index % _BREATH == _BREATH - 1:
                    await asyncio.sleep(0)
            batch.results = results
            if not batch.charged:
                batch.charged = True
                self._save({"id": batch.id, "charged": True})

    async def lines(self, batch: _Batch) -> AsyncIterator[bytes]:
        """The results of an ended batch as JSON lines, in the order in which they were done.

        Raises:
            ApiError: 400 if it has not ended.
        """
        await self.settle(batch)
        if not batch.results:
            raise _bad(f"Batch {batch.id} is still in progress, results are not available yet.")
        order = sorted(batch.requests, key=lambda request: self._done_share(batch, request))
        for index, request in enumerate(order):
            line = {"custom_id": request["custom_id"], "result": self._result(batch, request)}
            yield json.dumps(line).encode() + b"\n"
            if index % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)

    def describe(self, batch: _Batch, base_url: str) -> dict[str, Any]:
        """The MessageBatch object. Its counts speak of the end: until then, all entries are processing."""
        tally = Counter(batch.results)
        ended = bool(batch.results)
        status = "ended" if ended else "in_progress" if batch.cancelled is None else "canceling"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": {
                "processing": 0 if ended else len(batch.requests),
                "succeeded": tally["succeeded"],
                "errored": tally["errored"],
                "canceled": tally["canceled"],
                "expired": tally["expired"],
            },
            "created_at": _stamp(batch.created),
            "expires_at": _stamp(batch.created + _EXPIRES_S),
            "ended_at": _stamp(batch.ends) if ended else None,
            "cancel_initiated_at": None if batch.cancelled is None else _stamp(batch.cancelled),
            "archived_at": None,
            "results_url": f"{base_url}/v1/messages/batches/{batch.id}/results" if ended else None,
        }

    def _outcome(self, batch: _Batch, request: Mapping[str, Any]) -> tuple[str, Composed | None]:
        """What becomes of an entry: a result's type, with the message where it succeeded."""
        if batch.cancelled is not None:
            done = batch.created + self._done_share(batch, request) * self._settings.batch_delay_s
            if done > batch.cancelled:
                return "canceled", None
        try:
            composed = self._compose(request)
        except ApiError:
            return "errored", None
        point = draw(self._settings.seed, "batch", self._who_text(request))
        if point < self._settings.batch_expired_share:
            return "expired", None
        if point < self._settings.batch_expired_share + self._settings.batch_errored_share:
            return "errored", None
        return "succeeded", composed

    def _result(self, batch: _Batch, request: Mapping[str, Any]) -> dict[str, Any]:
        kind, composed = self._outcome(batch, request)
        if composed is not None:
            return {"type": kind, "message": composed.message}
        if kind != "errored":
            return {"type": kind}
        error = ApiError(500, "Internal server error", "server_error")
        try:
            self._compose(request)
        except ApiError as refused:
            error = refused
        return {"type": kind, "error": error.body(f"req_{batch.id}")}

    def _compose(self, request: Mapping[str, Any]) -> Composed:
        body = self._composer.check(request["params"])
        if body.get("stream"):
            raise _bad("stream: streaming is not supported in batches")
        try:
            who = RequestId.parse(self._who_text(request))
        except ValueError as error:
            raise _bad(f"metadata.user_id: {error}") from error
        return self._composer.compose(body, who, batch=True)

    @staticmethod
    def _who_text(request: Mapping[str, Any]) -> str:
        metadata = request["params"].get("metadata")
        return str(metadata.get("user_id", "")) if isinstance(metadata, dict) else ""

    def _done_share(self, batch: _Batch, request: Mapping[str, Any]) -> float:
        """When an entry is done, as a share (0..1) of the batch's time."""
        return draw(self._settings.seed, "done", batch.id, request["custom_id"])

    def _save(self, line: Mapping[str, Any]) -> None:
        if self._state is not None:
            with self._state.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _load(self, state: Path) -> None:
        with state.open(encoding="utf-8") as lines:
            for line in lines:
                data = json.loads(line)
                if "requests" in data:
                    self._batches[data["id"]] = _Batch(**data)
                else:
                    batch = self._batches[data.pop("id")]
                    for name, value in data.items():
                        setattr(batch, name, value)


def _bad(message: str) -> ApiError:
    return ApiError(400, message, "bad_request")


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
