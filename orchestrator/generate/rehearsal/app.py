"""The HTTP side of the rehearsal server. Imported in the server's own process only: it needs aiohttp."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from orchestrator.generate.rehearsal.batches import BatchBook
from orchestrator.generate.rehearsal.books import Books
from orchestrator.generate.rehearsal.buckets import Buckets
from orchestrator.generate.rehearsal.composing import Composed, Composer
from orchestrator.generate.rehearsal.draws import RequestId, draw
from orchestrator.generate.rehearsal.errors import ApiError
from orchestrator.generate.rehearsal.events import error_event, stream_events
from orchestrator.generate.rehearsal.faults import Interruption, interruption, raise_injected, raise_refusal
from orchestrator.generate.rehearsal.models import describe_model, list_models
from orchestrator.generate.rehearsal.problems import ProblemBook
from orchestrator.generate.rehearsal.settings import RehearsalSettings
from orchestrator.generate.rehearsal.tokens import count_input

__all__ = ["make_app"]

_MOST_BODY_BYTES = 256 << 20
"""The API's own limit on a batch."""
_OPENING_SHARE = 0.4
"""Of a reply's time that passes before the first event of its stream."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Server:
    """Handlers and what they share."""

    def __init__(self, settings: RehearsalSettings, problems: ProblemBook) -> None:
        self.settings = settings
        self.books = Books(settings.log)
        self.composer = Composer(settings, problems)
        self.batches = BatchBook(settings, self.composer, self.books)
        self.buckets = Buckets(settings.limits, asyncio.get_running_loop().time())
        self._numbers = itertools.count(1)

    def routes(self) -> list[web.RouteDef]:
        """All endpoints. Those under ``/rehearsal`` are the server's own and ask for no key."""
        guard = self._guarded
        return [
            web.post("/v1/messages", guard(self.create_message)),
            web.post("/v1/messages/count_tokens", guard(self.count_tokens)),
            web.get("/v1/models", guard(self.models)),
            web.get("/v1/models/{model}", guard(self.model)),
            web.post("/v1/messages/batches", guard(self.create_batch)),
            web.get("/v1/messages/batches", guard(self.list_batches)),
            web.get("/v1/messages/batches/{batch}", guard(self.retrieve_batch)),
            web.get("/v1/messages/batches/{batch}/results", guard(self.batch_results)),
            web.post("/v1/messages/batches/{batch}/cancel", guard(self.cancel_batch)),
            web.get("/rehearsal/counts", self.counts),
            web.get("/rehearsal/replies", self.replies),
        ]

    def _guarded(self, handler: _Handler) -> _Handler:
        """Let in who has the key, and turn an :class:`ApiError` into its response."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            request_id = f"req_rehearsal{next(self._numbers):08d}"
            request["id"] = request_id
            served = self.books.counts.requests
            if request.path == "/v1/messages":
                self.books.counts.requests += 1
            try:
                self._admit_key(request)
                raise_refusal(self.settings, served)
                return await handler(request)
            except ApiError as error:
                self.books.reject(error.reason)
                return web.Response(
                    status=error.status,
                    body=error.encoded(request_id),
                    content_type="application/json",
                    headers={"request-id": request_id, **error.headers},
                )

        return guarded

    def _admit_key(self, request: web.Request) -> None:
        wanted = self.settings.api_key
        if wanted is None:
            return
        given = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if given != wanted:
            raise ApiError(401, "invalid x-api-key", "authentication")

    async def create_message(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages."""
        body = self.composer.check(await _json(request))
        try:
            who = RequestId.parse(request.headers.get("x-rehearsal-id", ""))
        except ValueError as error:
            raise ApiError(400, f"x-rehearsal-id: {error}", "bad_request") from error
        # Tries that the SDK makes of its own carry the same id, and count themselves.
        retries = request.headers.get("x-stainless-retry-count", "0")
        who = RequestId(who.problem, who.sample, who.turn, who.attempt + (int(retries) if retries.isdigit() else 0))
        settings, model = self.settings, str(body["model"])
        raise_injected(settings, model, who)
        composed = self.composer.compose(body, who)
        now = asyncio.get_running_loop().time()
        self.buckets.admit(composed.limited_input_tokens, composed.usage.output_tokens, now)
        self.books.admit(composed, who.attempt)
        headers = {"request-id": request["id"], **self.buckets.headers(now)}
        spread = settings.latency_high_s - settings.latency_low_s
        delay = settings.latency_low_s + spread * draw(settings.seed, model, who.step, "delay")
        fault = interruption(settings, model, who, streamed=bool(body.get("stream")))
        with self._answering():
            if body.get("stream"):
                response = await self._stream(request, composed, headers, delay, fault)
            else:
                response = await self._plain(request, composed, headers, delay, fault)
            if fault is None:
                self.books.counts.replies += 1
                self.books.replied(composed, who.attempt)
        return response

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self.books.begin()
        try:
            yield
        except (asyncio.CancelledError, ConnectionError):
            self.books.counts.abandoned += 1
            raise
        finally:
            self.books.end()

    async def _plain(
        self,
        request: web.Request,
        composed: Composed,
        headers: dict[str, str],
        delay: float,
        fault: Interruption | None,
    ) -> web.StreamResponse:
        await asyncio.sleep(delay)
        response = web.Response(
            body=json.dumps(composed.message).encode(), content_type="application/json", headers=headers
        )
        if fault is not None:
            await self._interrupt(request, fault)
            return response
        await response.prepare(request)
        await response.write_eof()
        return response

    async def _stream(
        self,
        request: web.Request,
        composed: Composed,
        headers: dict[str, str],
        delay: float,
        fault: Interruption | None,
    ) -> web.StreamResponse:
        pieces = stream_events(composed.message, self.settings.chunk_characters)
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **headers}
        )
        await asyncio.sleep(delay * _OPENING_SHARE)
        await response.prepare(request)
        pause = delay * (1.0 - _OPENING_SHARE) / max(1, len(pieces) - 1)
        for index, piece in enumerate(pieces):
            if fault is not None and index == max(1, len(pieces) // 2):
                if fault == "stream_error":
                    await response.write(error_event(ApiError(529, "Overloaded", "stream_error"), request["id"]))
                    self.books.reject("stream_error")
                    await response.write_eof()
                else:
                    await self._interrupt(request, fault)
                return response
            if index:
                await asyncio.sleep(pause)
            await response.write(piece)
        await response.write_eof()
        return response

    async def _interrupt(self, request: web.Request, fault: Interruption) -> None:
        """Cut the connection, at once or after a long silence."""
        if fault == "stalled":
            self.books.counts.stalled += 1
            await asyncio.sleep(self.settings.stall_s)
        else:
            self.books.counts.dropped += 1
        if request.transport is not None:
            request.transport.close()

    async def count_tokens(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages/count_tokens."""
        body = await _json(request)
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            raise ApiError(400, "model: Field required", "bad_request")
        self.composer.check_model(body["model"])
        self.composer.check_messages(body.get("messages"))
        self.books.counts.count_tokens += 1
        return self._json_response(request, {"input_tokens": count_input(body).total})

    async def models(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/models."""
        return self._json_response(request, list_models(self.settings))

    async def model(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/models/{id}."""
        return self._json_response(request, describe_model(self.settings, request.match_info["model"]))

    async def create_batch(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages/batches."""
        batch = self.batches.create(await _json(request))
        return self._json_response(request, self.batches.describe(batch, _base_url(request)))

    async def list_batches(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/messages/batches."""
        page, more = self.batches.page(request.query)
        for batch in page:
            await self.batches.settle(batch)
        data = [self.batches.describe(batch, _base_url(request)) for batch in page]
        ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        return self._json_response(
            request, {"data": data, "has_more": more, "first_id": ends[0], "last_id": ends[1]}
        )

    async def retrieve_batch(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/messages/batches/{id}."""
        batch = self.batches.get(request.match_info["batch"])
        await self.batches.settle(batch)
        return self._json_response(request, self.batches.describe(batch, _base_url(request)))

    async def cancel_batch(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages/batches/{id}/cancel."""
        batch = self.batches.get(request.match_info["batch"])
        self.batches.cancel(batch)
        return self._json_response(request, self.batches.describe(batch, _base_url(request)))

    async def batch_results(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/messages/batches/{id}/results."""
        batch = self.batches.get(request.match_info["batch"])
        lines = self.batches.lines(batch)
        # The first line is made before the response begins, so that a refusal still gets its status.
        first = await anext(lines)
        response = web.StreamResponse(headers={"content-type": "application/binary", "request-id": request["id"]})
        await response.prepare(request)
        await response.write(first)
        async for line in lines:
            await response.write(line)
        await response.write_eof()
        return response

    async def counts(self, request: web.Request) -> web.StreamResponse:
        """GET /rehearsal/counts: the server's books, ended batches included."""
        await self.batches.settle_all()
        return web.json_response(self.books.counts.to_dict())

    async def replies(self, request: web.Request) -> web.StreamResponse:
        """GET /rehearsal/replies: complete replies by what was asked."""
        await self.batches.settle_all()
        return web.json_response(dict(self.books.replies))

    def _json_response(self, request: web.Request, data: dict[str, Any]) -> web.Response:
        return web.Response(
            body=json.dumps(data).encode(),
            content_type="application/json",
            headers={"request-id": request["id"]},
        )


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise ApiError(400, f"The request body is not valid JSON: {error}", "bad_request") from error


def _base_url(request: web.Request) -> str:
    return f"http://{request.host}"


def make_app(settings: RehearsalSettings, problems: ProblemBook) -> web.Application:
    """The application; call it inside a running event loop."""
    app = web.Application(client_max_size=_MOST_BODY_BYTES)
    app.add_routes(_Server(settings, problems).routes())
    return app
