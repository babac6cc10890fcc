"""A client of the Messages API that sends every request exactly once and says what happened."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orchestrator.core.generation import GenerationRequest
from orchestrator.generate.answers import read_facts, read_outcome, read_status
from orchestrator.generate.attempts import (
    ANTHROPIC_URL,
    Attempt,
    AttemptReply,
    AttemptResult,
    Endpoint,
    Failure,
    FailureKind,
    ModelFacts,
    Window,
)
from orchestrator.generate.batch_records import BatchEntry, BatchOutcome, BatchStatus, CallResult
from orchestrator.generate.requests import (
    REHEARSAL_HEADER,
    US_ONLY,
    is_loopback,
    message_parameters,
    read_message,
    read_usage,
    read_windows,
    status_failure,
)

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

__all__ = ["IN_FLIGHT_PER_CLIENT", "MessagesClient", "MissingKey", "read_key"]

IN_FLIGHT_PER_CLIENT: Final = 200
"""More requests than this on one client are slower, not faster: its event loop and pool become the limit."""

_CONNECT_S: Final = 10.0
_SHORT_CALL_S: Final = 60.0
_LARGE_CALL_S: Final = 600.0
"""For the requests and results of a whole batch, each sent as one body."""
_NO_SECRET: Final = "no-key-needed"
T = TypeVar("T")


class MissingKey(RuntimeError):
    """The node that generates has no API key."""


def read_key(endpoint: Endpoint) -> str:
    """The key to send, read on the node that calls this: from the endpoint's file, else the environment.

    Raises:
        MissingKey: there is none, the file cannot be read, or what it holds is no key.
    """
    if not endpoint.needs_key:
        return _NO_SECRET
    if endpoint.key_file is not None:
        try:
            key = Path(endpoint.key_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise MissingKey(f"the key file {endpoint.key_file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise MissingKey(f"the key file {endpoint.key_file} is not text") from None
        if not key:
            raise MissingKey(f"the key file {endpoint.key_file} is empty")
        return _checked(key, f"the key file {endpoint.key_file}")
    key = os.environ.get("ANTHROPIC_API_KEY", "").strip()
    if not key:
        raise MissingKey("ANTHROPIC_API_KEY is not set on the node that generates, and model.key_file is not given")
    return _checked(key, "ANTHROPIC_API_KEY")


def _checked(key: str, source: str) -> str:
    """The key as it is, if an HTTP header can carry it: errors about one that cannot would quote it."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise MissingKey(
            f"{source} does not hold one API key: that is one line of printable ASCII characters without spaces"
        )
    return key


class MessagesClient:
    """One client of one server. Belongs to one event loop.

    Nothing here raises for what a server, a network or a model does: that is what results say. The key is held
    by the SDK's client only; no result, message or exception carries it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises:
        MissingKey: a key is needed and there is none here.
        """
        self._endpoint = endpoint
        self._key = read_key(endpoint)
        self._loopback = is_loopback(endpoint.base_url)
        self._client = _sdk_client(endpoint, self._key, loopback=self._loopback)

    def __repr__(self) -> str:
        return f"MessagesClient({self._endpoint!r})"

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def send(self, attempt: Attempt) -> AttemptResult:
        """Send one request once, within its deadline."""
        progress = _Progress(start=time.monotonic())
        headers = {}
        if attempt.rehearsal_id and self._loopback:
            headers[REHEARSAL_HEADER] = attempt.rehearsal_id
        try:
            async with asyncio.timeout(attempt.deadline_s):
                if self._endpoint.stream:
                    reply = await self._streamed(attempt, headers, progress)
                else:
                    reply = await self._plain(attempt, headers, progress)
        except TimeoutError:
            failure = Failure(
                FailureKind.TIMEOUT,
                f"no whole reply within {attempt.deadline_s:g} s",
                request_id=progress.request_id,
                may_have_charged=True,
            )
            return progress.result(None, failure)
        except Exception as error:  # noqa: BLE001 - every failure of a request is reported, none may end the actor
            return progress.result(None, self._failure(error, progress))
        return progress.result(reply, None)

    async def probe(self, model: str) -> CallResult[ModelFacts]:
        """Ask for the model's description, which costs nothing."""
        return await self._call(lambda: self._client.models.retrieve(model), read_facts)

    async def count_tokens(self, request: GenerationRequest) -> CallResult[int]:
        """Ask for the server's own count of the request's input tokens, which costs nothing."""
        parameters = message_parameters(request)
        del parameters["max_tokens"]
        return await self._call(
            lambda: self._client.messages.count_tokens(**parameters), lambda count: int(count.input_tokens)
        )

    # -- batches ---------------------------------------------------------------------------------------------

    async def create_batch(self, entries: Sequence[BatchEntry]) -> CallResult[BatchStatus]:
        """Submit a Message Batch."""
        requests: list[Any] = [
            {"custom_id": entry.custom_id, "params": self._entry_parameters(entry)} for entry in entries
        ]
        create = self._client.messages.batches.create
        return await self._call(lambda: create(requests=requests), read_status, limit_s=_LARGE_CALL_S)

    async def batch_status(self, batch_id: str) -> CallResult[BatchStatus]:
        """Ask how far a batch is."""
        return await self._call(lambda: self._client.messages.batches.retrieve(batch_id), read_status)

    async def cancel_batch(self, batch_id: str) -> CallResult[BatchStatus]:
        """Ask the server to stop a batch."""
        return await self._call(lambda: self._client.messages.batches.cancel(batch_id), read_status)

    async def recent_batches(self, limit: int) -> CallResult[list[BatchStatus]]:
        """The account's latest batches, newest first."""

        async def call() -> Any:
            return await self._client.messages.batches.list(limit=limit)

        return await self._call(call, lambda page: [read_status(batch) for batch in page.data])

    async def batch_outcomes(self, batch_id: str) -> CallResult[list[BatchOutcome]]:
        """All results of a batch that ended."""

        async def call() -> list[BatchOutcome]:
            lines = await self._client.messages.batches.results(batch_id)
            return [read_outcome(line.custom_id, line.result, self._key) async for line in lines]

        return await self._call(call, list, limit_s=_LARGE_CALL_S)

    # --------------------------------------------------------------------------------------------------------

    def _entry_parameters(self, entry: BatchEntry) -> dict[str, Any]:
        parameters = message_parameters(entry.request)
        if entry.rehearsal_id and self._loopback:
            parameters["metadata"] = {"user_id": entry.rehearsal_id}
        return parameters

    async def _call(
        self, call: Callable[[], Awaitable[Any]], read: Callable[[Any], T], limit_s: float = _SHORT_CALL_S
    ) -> CallResult[T]:
        progress = _Progress(start=time.monotonic())
        try:
            async with asyncio.timeout(limit_s):
                answer = await call()
            # The SDK hands on whatever came, also a page of HTML: reading that is a failure of the call too.
            progress.began = True
            return CallResult(read(answer))
        except TimeoutError:
            failure = Failure(FailureKind.TIMEOUT, f"no answer within {limit_s:g} s", may_have_charged=True)
            return CallResult(None, failure)
        except Exception as error:  # noqa: BLE001 - as in send
            return CallResult(None, self._failure(error, progress))

    async def _plain(self, attempt: Attempt, headers: dict[str, str], progress: _Progress) -> AttemptReply:
        response = await self._client.messages.with_raw_response.create(
            **message_parameters(attempt.request), extra_headers=headers, timeout=attempt.deadline_s
        )
        progress.headers_arrived(response.headers)
        body = await response.json()
        return read_message(body, progress.request_id)

    async def _streamed(self, attempt: Attempt, headers: dict[str, str], progress: _Progress) -> AttemptReply:
        stream = await self._client.messages.create(
            **message_parameters(attempt.request), extra_headers=headers, stream=True
        )
        async with stream:
            progress.headers_arrived(stream.response.headers)
            return await _collect(stream, progress)

    def _failure(self, error: Exception, progress: _Progress) -> Failure:
        """What an exception of the SDK or of its transport means for the step, and for the money."""
        import anthropic
        import httpx2

        if isinstance(error, anthropic.APIStatusError):
            if not progress.began:
                progress.windows = read_windows(error.response.headers)
            return status_failure(
                error.status_code,
                error.body,
                error.response.headers,
                began=progress.began,
                secret=self._key if self._endpoint.needs_key else "",
            )
        # The SDK wraps errors before the answer, and not those within a stream.
        cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) and error.__cause__ else error
        # Before a connection stood, through a proxy or not, nothing can have been generated; nor from what our own
        # side did not send.
        unconnected = httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError
        never_sent = isinstance(cause, unconnected | httpx2.LocalProtocolError)
        timed_out = isinstance(cause, httpx2.TimeoutException) or isinstance(error, anthropic.APITimeoutError)
        if progress.began and not timed_out:
            kind = FailureKind.DROPPED
        elif timed_out and not never_sent:
            kind = FailureKind.TIMEOUT
        else:
            kind = FailureKind.CONNECTION
        words = " ".join(f"{type(cause).__name__}: {cause}".split()).rstrip(":")
        if self._endpoint.needs_key:
            words = words.replace(self._key, "[key]")
        return Failure(kind, words, request_id=progress.request_id, may_have_charged=not never_sent)


@dataclass(slots=True)
class _Progress:
    """How far one attempt got."""

    start: float
    began: bool = False
    windows: tuple[Window, ...] = ()
    headers_at: float | None = None
    request_id: str = ""

    def headers_arrived(self, headers: Mapping[str, str]) -> None:
        self.began = True
        self.headers_at = time.monotonic()
        self.windows = read_windows(headers)
        self.request_id = headers.get("request-id", "")

    def result(self, reply: AttemptReply | None, failure: Failure | None) -> AttemptResult:
        now = time.monotonic()
        age = 0.0 if self.headers_at is None else now - self.headers_at
        return AttemptResult(reply, failure, self.windows, age, now - self.start)


def _sdk_client(endpoint: Endpoint, key: str, *, loopback: bool) -> AsyncAnthropic:
    import anthropic
    import httpx2

    limits = httpx2.Limits(
        max_connections=2 * IN_FLIGHT_PER_CLIENT, max_keepalive_connections=2 * IN_FLIGHT_PER_CLIENT
    )
    timeout = httpx2.Timeout(endpoint.stall_s, connect=_CONNECT_S)
    # A server on this machine is never reached through the proxy that the environment names.
    http_client = (
        httpx2.AsyncClient(limits=limits, timeout=timeout, trust_env=False, follow_redirects=False)
        if loopback
        else anthropic.DefaultAsyncHttpxClient(limits=limits, timeout=timeout)
    )
    return anthropic.AsyncAnthropic(
        api_key=key,
        base_url=endpoint.base_url or ANTHROPIC_URL,
        # The limiter in the driver retries, once for the whole run: two layers of retries multiply.
        max_retries=0,
        timeout=timeout,
        http_client=http_client,
        open_telemetry=False,
    )


class _Incomplete(Exception):
    """The stream ended before the message did."""


async def _collect(events: AsyncIterator[Any], progress: _Progress) -> AttemptReply:
    """Put the final message together from the events; only text is kept of the content."""
    texts: list[str] = []
    model = ""
    stop_reason = ""
    usage: dict[str, Any] = {}
    whole = False
    async for event in events:
        if event.type == "content_block_delta":
            if event.delta.type == "text_delta":
                texts.append(event.delta.text)
        elif event.type == "content_block_start":
            if event.content_block.type == "text":
                texts.append(event.content_block.text)
        elif event.type == "message_start":
            model = event.message.model
            usage.update(_given(event.message.usage))
        elif event.type == "message_delta":
            stop_reason = event.delta.stop_reason or stop_reason
            # Counts in this event are cumulative: they replace, they do not add.
            usage.update(_given(event.usage))
        elif event.type == "message_stop":
            whole = True
    if not whole:
        raise _Incomplete("the stream ended before the message did")
    return AttemptReply(
        text="".join(texts),
        stop_reason=stop_reason or "end_turn",
        usage=read_usage(usage),
        model=model,
        request_id=progress.request_id,
        us_only=usage.get("inference_geo") == US_ONLY,
    )


_USAGE_FIELDS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "inference_geo",
)


def _given(usage: Any) -> dict[str, Any]:
    values = {name: getattr(usage, name, None) for name in _USAGE_FIELDS}
    return {name: value for name, value in values.items() if value is not None}
