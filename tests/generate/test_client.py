from __future__ import annotations

import asyncio
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.generation import GenerationRequest, Message, Usage
from orchestrator.generate.attempts import Attempt, AttemptResult, Endpoint, FailureKind, ModelFacts
from orchestrator.generate.batch_records import BatchEntry, CallResult
from orchestrator.generate.client import MessagesClient, MissingKey, read_key
from tests.generate.wire import Seen, Wire, Writer, answer, error, events, stream, wire

KEY = "sk-test-0123456789-secret"
REQUEST = GenerationRequest("anthropic", "claude-sonnet-5-5", "be brief", (Message("user", "hi"),), 100)


def endpoint(server: Wire, **changes: Any) -> Endpoint:
    return Endpoint("anthropic", server.url, **{"needs_key": False, **changes})


async def sent(
    behave: Any, request: GenerationRequest = REQUEST, deadline_s: float = 5.0, **changes: Any
) -> tuple[AttemptResult, Seen]:
    async with wire(behave) as server:
        client = MessagesClient(endpoint(server, **changes))
        try:
            result = await client.send(Attempt(request, deadline_s, "p;0;0;0"))
        finally:
            await client.close()
        assert len(server.seen) == 1, "an attempt is one request"
        return result, server.seen[0]


def run(behave: Any, *args: Any, **changes: Any) -> tuple[AttemptResult, Seen]:
    return asyncio.run(sent(behave, *args, **changes))


def failure_of(result: AttemptResult) -> Any:
    assert result.failure is not None
    return result.failure


def test_a_stream_becomes_text_usage_of_every_class_and_limits() -> None:
    def behave(_: Seen, writer: Writer) -> None:
        stream(
            writer,
            events("hello world"),
            request_id="req_7",
            anthropic_ratelimit_output_tokens_limit="400000",
            anthropic_ratelimit_output_tokens_remaining="390000",
            anthropic_ratelimit_output_tokens_reset="2026-01-01T00:00:30Z",
            date="Thu, 01 Jan 2026 00:00:00 GMT",
        )

    result, seen = run(behave)
    assert result.reply is not None
    assert result.reply.text == "hello world"
    assert result.reply.usage == Usage(11, 7, 5, 3)
    assert (result.reply.model, result.reply.request_id) == ("model-that-answered", "req_7")
    (window,) = result.windows
    assert (window.name, window.limit, window.remaining, window.reset_s) == ("output-tokens", 4e5, 3.9e5, 30.0)
    assert seen.body["stream"] is True
    assert set(seen.body) == {"model", "max_tokens", "messages", "system", "stream"}, "options only where asked"
    assert seen.headers["x-rehearsal-id"] == "p;0;0;0"


def test_a_plain_reply_reads_the_same() -> None:
    def behave(_: Seen, writer: Writer) -> None:
        body = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "thinking", "thinking": "x", "signature": "s"}, {"type": "text", "text": "plain"}],
            "stop_reason": "refusal",
            "usage": {"input_tokens": 4, "output_tokens": 2},
        }
        answer(writer, 200, body, request_id="req_8")

    result, seen = run(behave, stream=False)
    assert result.reply is not None
    assert (result.reply.text, result.reply.stop_reason) == ("plain", "refusal")
    assert result.reply.usage == Usage(4, 2)
    assert not seen.body.get("stream")


@pytest.mark.parametrize("geo", ["us", "global", "not_available", None])
def test_a_reply_says_where_it_was_computed(geo: str | None) -> None:
    bodies = events()
    bodies[0]["message"]["usage"]["inference_geo"] = geo
    streamed, _ = run(lambda _, writer: stream(writer, bodies))
    plain, _ = run(lambda _, writer: answer(writer, 200, bodies[0]["message"]), stream=False)
    for result in (streamed, plain):
        assert result.reply is not None
        assert result.reply.us_only is (geo == "us")


def test_options_are_sent_where_given() -> None:
    request = GenerationRequest(
        "anthropic",
        "m",
        "prefix",
        (Message("user", "a"),),
        50,
        effort="low",
        thinking="adaptive",
        cache_prefix=True,
    )
    _, seen = run(lambda _, writer: stream(writer, events()), request)
    assert seen.body["output_config"] == {"effort": "low"}
    assert seen.body["thinking"] == {"type": "adaptive"}
    assert seen.body["system"] == [{"type": "text", "text": "prefix", "cache_control": {"type": "ephemeral"}}]


def test_half_of_a_surrogate_pair_is_sent_as_a_question_mark() -> None:
    request = GenerationRequest("local:x", "m", "a\ud800b", (Message("user", "c\udfffd \u00e9"),), 50)
    result, seen = run(lambda _, writer: stream(writer, events()), request)
    assert result.reply is not None
    assert (seen.body["system"], seen.body["messages"][0]["content"]) == ("a?b", "c?d \u00e9")


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (429, "rate_limit_error", "too many requests", FailureKind.RATE_LIMITED),
        (529, "overloaded_error", "Overloaded", FailureKind.OVERLOADED),
        (500, "api_error", "Internal server error", FailureKind.SERVER_ERROR),
        (503, "api_error", "later", FailureKind.SERVER_ERROR),
        (401, "authentication_error", "invalid x-api-key", FailureKind.FATAL),
        (403, "permission_error", "not allowed", FailureKind.FATAL),
        (404, "not_found_error", "model: nope", FailureKind.FATAL),
        (402, "billing_error", "pay first", FailureKind.FATAL),
        (400, "invalid_request_error", "Your credit balance is too low to access the API", FailureKind.FATAL),
        (400, "invalid_request_error", "You have reached your specified API usage limits", FailureKind.FATAL),
        (400, "invalid_request_error", "max_tokens: must be positive", FailureKind.INVALID),
        (400, "invalid_request_error", "prompt is too long: 2 tokens > 1 maximum", FailureKind.CONTEXT_EXCEEDED),
        (
            400,
            "exceed_context_size_error",
            "the request exceeds the available context size, try increasing it",
            FailureKind.CONTEXT_EXCEEDED,
        ),
        (413, "request_too_large", "Request exceeds the maximum size", FailureKind.CONTEXT_EXCEEDED),
    ],
)
def test_error_answers_are_told_apart(status: int, kind: str, message: str, expected: FailureKind) -> None:
    result, _ = run(lambda _, writer: error(writer, status, kind, message, request_id="req_9", retry_after="7"))
    failure = failure_of(result)
    assert failure.kind is expected
    assert failure.message == message
    assert (failure.status, failure.request_id, failure.retry_after_s) == (status, "req_9", 7.0)
    assert not failure.may_have_charged
    assert message in failure.line()
    assert "req_9" in failure.line()


def test_the_limits_of_a_refusal_are_read_too() -> None:
    def behave(_: Seen, writer: Writer) -> None:
        error(
            writer,
            429,
            "rate_limit_error",
            "x",
            anthropic_ratelimit_requests_limit="50",
            anthropic_ratelimit_requests_remaining="0",
        )

    result, _ = run(behave)
    assert [(w.name, w.limit, w.remaining) for w in result.windows] == [("requests", 50.0, 0.0)]


@pytest.mark.parametrize("kept", [1, 7, 9])
def test_a_stream_that_ends_early_is_dropped_and_may_have_cost(kept: int) -> None:
    result, _ = run(lambda _, writer: stream(writer, events()[:kept], request_id="req_3"))
    failure = failure_of(result)
    assert failure.kind is FailureKind.DROPPED
    assert failure.may_have_charged
    assert failure.request_id == "req_3"


def test_a_cut_connection_is_dropped_and_may_have_cost() -> None:
    async def behave(_: Seen, writer: Writer) -> None:
        stream(writer, events()[:7], end=False)
        await writer.drain()
        writer.transport.abort()

    failure = failure_of(run(behave)[0])
    assert failure.kind is FailureKind.DROPPED
    assert failure.may_have_charged


def test_an_error_inside_a_stream_may_have_cost() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    failure = failure_of(run(lambda _, writer: stream(writer, [*events()[:7], overloaded]))[0])
    assert failure.kind is FailureKind.DROPPED
    assert failure.message == "Overloaded"
    assert failure.may_have_charged


def test_silence_is_a_timeout_by_stall_and_by_deadline() -> None:
    async def behave(_: Seen, writer: Writer) -> None:
        stream(writer, events()[:7], end=False)
        await writer.drain()
        await asyncio.sleep(3)

    for changes in ({"stall_s": 0.2}, {"deadline_s": 0.2}):
        result, _ = run(behave, **changes)  # type: ignore[arg-type]
        failure = failure_of(result)
        assert failure.kind is FailureKind.TIMEOUT
        assert failure.may_have_charged


def test_nothing_there_is_a_connection_failure_that_cost_nothing() -> None:
    async def attempt() -> AttemptResult:
        async with wire(lambda _, writer: writer.close()) as server:
            url = server.url
        client = MessagesClient(Endpoint("anthropic", url, needs_key=False))
        try:
            return await client.send(Attempt(REQUEST, 5.0))
        finally:
            await client.close()

    failure = failure_of(asyncio.run(attempt()))
    assert failure.kind is FailureKind.CONNECTION
    assert not failure.may_have_charged


def test_a_connection_lost_before_the_answer_may_have_cost() -> None:
    failure = failure_of(run(lambda _, writer: writer.transport.abort())[0])
    assert failure.kind is FailureKind.CONNECTION
    assert failure.may_have_charged


def test_an_answer_that_is_no_message_is_a_failure() -> None:
    failure = failure_of(run(lambda _, writer: answer(writer, 200, {"surprise": 1}), stream=False)[0])
    assert failure.kind is FailureKind.DROPPED
    assert "no message" in failure.message


def test_the_key_is_sent_and_appears_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def behave(seen: Seen, writer: Writer) -> None:
        error(writer, 401, "authentication_error", f"invalid key {KEY}")

    result, seen = run(behave, needs_key=True)
    assert KEY in str(seen.headers)
    assert failure_of(result).kind is FailureKind.FATAL
    assert KEY not in repr(result)
    assert KEY not in caplog.text
    assert "[key]" in failure_of(result).message


def test_a_client_and_its_endpoint_do_not_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    client = MessagesClient(Endpoint("anthropic", "http://127.0.0.1:9"))
    assert KEY not in repr(client)
    try:
        raise RuntimeError(repr(client))
    except RuntimeError:
        assert KEY not in traceback.format_exc()
    asyncio.run(client.close())


def test_rehearsal_and_local_servers_never_get_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", KEY)
    _, seen = run(lambda _, writer: stream(writer, events()))
    assert KEY not in str(seen.headers)


def test_the_environment_does_not_say_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    async def main() -> None:
        async with wire(lambda _, writer: stream(writer, events())) as server:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
            # Nothing goes out of this machine.
            for name in ("https_proxy", "HTTPS_PROXY"):
                monkeypatch.setenv(name, server.url)
            client = MessagesClient(Endpoint("anthropic"))
            result = await client.send(Attempt(REQUEST, 5.0))
            await client.close()
        assert result.reply is None
        assert [seen.line.split()[:2] for seen in server.seen] == [["CONNECT", "api.anthropic.com:443"]]

    asyncio.run(main())


def test_what_a_proxy_does_not_let_out_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    async def main() -> None:
        async with wire(lambda _, writer: answer(writer, 403, {})) as server:
            for name in ("https_proxy", "HTTPS_PROXY"):
                monkeypatch.setenv(name, server.url)
            client = MessagesClient(Endpoint("anthropic"))
            failure = failure_of(await client.send(Attempt(REQUEST, 5.0)))
            await client.close()
        assert [seen.line.split()[0] for seen in server.seen] == ["CONNECT"]
        assert (failure.kind, failure.may_have_charged) == (FailureKind.CONNECTION, False)

    asyncio.run(main())


def test_where_the_key_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(MissingKey, match="ANTHROPIC_API_KEY"):
        read_key(Endpoint("anthropic"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "  from-env\n")
    assert read_key(Endpoint("anthropic")) == "from-env"
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert read_key(Endpoint("anthropic", key_file=str(file))) == "from-file"
    file.write_text("\n")
    with pytest.raises(MissingKey, match="empty"):
        read_key(Endpoint("anthropic", key_file=str(file)))
    with pytest.raises(MissingKey, match="cannot be read"):
        read_key(Endpoint("anthropic", key_file=str(tmp_path / "none")))


def test_a_call_that_is_not_answered_in_time_may_have_been_done() -> None:
    async def main() -> None:
        async with wire(lambda _, writer: stream(writer, events())) as server:
            client = MessagesClient(endpoint(server))
            result = await client._call(asyncio.Event().wait, bool, limit_s=0.01)
            await client.close()
        assert result.failure is not None
        assert result.failure.kind is FailureKind.TIMEOUT
        assert result.failure.may_have_charged

    asyncio.run(main())


@pytest.mark.parametrize("key", [f"{KEY}\nsecond-line", f"{KEY} x", f"{KEY}\u00e9", f"{KEY}\x00", f"{KEY}\x7f"])
def test_what_no_header_can_carry_is_no_key_and_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    file = tmp_path / "key"
    file.write_text(key, encoding="utf-8")
    with pytest.raises(MissingKey, match="does not hold one API key") as refused:
        read_key(Endpoint("anthropic", key_file=str(file)))
    assert KEY not in str(refused.value)
    # No environment can hold a zero byte.
    monkeypatch.setenv("ANTHROPIC_API_KEY", key.replace("\0", "\1"))
    with pytest.raises(MissingKey, match="ANTHROPIC_API_KEY does not hold one API key") as refused:
        read_key(Endpoint("anthropic"))
    assert KEY not in str(refused.value)


def test_a_key_file_that_is_not_text_is_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff\xfe" + KEY.encode("utf-16-le"))
    with pytest.raises(MissingKey, match="is not text"):
        read_key(Endpoint("anthropic", key_file=str(file)))


def test_what_our_own_side_refuses_to_send_is_not_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.generate.client.REHEARSAL_HEADER", "no header\n")

    async def main() -> None:
        async with wire(lambda _, writer: stream(writer, events())) as server:
            client = MessagesClient(endpoint(server))
            result = await client.send(Attempt(REQUEST, 5.0, "p;0;0;0"))
            await client.close()
        assert not server.seen
        assert "LocalProtocolError" in failure_of(result).message
        assert not failure_of(result).may_have_charged

    asyncio.run(main())


def test_the_rehearsal_id_goes_to_a_loopback_address_only() -> None:
    from orchestrator.generate.requests import is_loopback

    assert is_loopback("http://127.0.0.1:8000")
    assert is_loopback("http://[::1]:8000/v1")
    assert is_loopback("http://localhost:1")
    for other in (None, "https://api.anthropic.com", "http://127.0.0.1.example.com", "http://10.0.0.1", "nonsense"):
        assert not is_loopback(other)


def test_a_large_batch_may_take_its_time_to_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MessagesClient._call, "__defaults__", (0.05,))
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    made = {"id": "b", "processing_status": "in_progress", "created_at": "2026-01-01T00:00:00Z"}

    async def slow(_: Seen, writer: Writer) -> None:
        await asyncio.sleep(0.3)
        answer(writer, 200, {**made, "request_counts": counts})

    async def main() -> None:
        async with wire(slow) as server:
            client = MessagesClient(endpoint(server))
            result = await client.create_batch([BatchEntry("a", REQUEST)])
            await client.close()
        assert result.value is not None
        assert (result.value.batch_id, result.value.archived) == ("b", False)

    asyncio.run(main())


@pytest.mark.parametrize("body", ["<html>sign in</html>", {"surprise": 1}])
def test_a_call_that_is_answered_with_something_else_is_a_failure_and_no_exception(body: Any) -> None:
    async def main() -> None:
        async with wire(lambda _, writer: answer(writer, 200, body)) as server:
            client = MessagesClient(endpoint(server))
            results: list[CallResult[Any]] = [
                await client.count_tokens(REQUEST),
                await client.create_batch([BatchEntry("a", REQUEST)]),
                await client.batch_status("b"),
                await client.cancel_batch("b"),
            ]
            await client.close()
        for result in results:
            assert result.failure is not None
            assert (result.failure.kind, result.failure.may_have_charged) == (FailureKind.DROPPED, True)

    asyncio.run(main())


def test_an_entry_that_failed_on_the_side_of_the_provider_is_worth_another_try() -> None:
    kinds = {
        "timeout_error": True,
        "api_error": True,
        "overloaded_error": True,
        "invalid_request_error": False,
        "billing_error": False,
    }
    ended = {"id": "b", "type": "message_batch", "processing_status": "ended", "results_url": "/results"}

    def behave(seen: Seen, writer: Writer) -> None:
        if "/results" not in seen.line:
            answer(writer, 200, ended)
            return
        bodies = [{"type": "error", "error": {"type": kind, "message": "no"}} for kind in kinds]
        results = [{"type": "errored", "error": body} for body in bodies]
        lines = [json.dumps({"custom_id": name, "result": r}) for name, r in zip(kinds, results, strict=True)]
        data = "\n".join(lines).encode()
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)

    async def main() -> None:
        async with wire(behave) as server:
            client = MessagesClient(endpoint(server))
            result = await client.batch_outcomes("b")
            await client.close()
        assert result.value is not None
        assert {outcome.custom_id: outcome.again for outcome in result.value} == kinds
        assert not any(outcome.failure and outcome.failure.may_have_charged for outcome in result.value)

    asyncio.run(main())


def test_a_server_that_describes_its_model_in_its_own_way_is_no_problem() -> None:
    async def main() -> None:
        async with wire(lambda _, writer: answer(writer, 200, {"id": "m", "object": "model"})) as server:
            client = MessagesClient(endpoint(server))
            result = await client.probe("m")
            await client.close()
        assert result.failure is None
        assert result.value == ModelFacts()

    asyncio.run(main())
