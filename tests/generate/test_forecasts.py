from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from orchestrator.core.generation import GenerationRequest, Message
from orchestrator.generate.attempts import Endpoint, FailureKind
from orchestrator.generate.forecasts import Counted, count_requests, prefix_warning, seconds_at_limits
from tests.generate.wire import Behaviour, Seen, Writer, answer, error, wire

REQUEST = GenerationRequest(
    "anthropic", "claude-sonnet-5-5", "short", (Message("user", "x"),), 10, cache_prefix=True
)


def test_the_binding_limit_sets_the_time() -> None:
    limits = {"requests": 1000.0, "input-tokens": 1e6, "output-tokens": 1e5}
    assert seconds_at_limits(5000, 1e6, 1e5, limits) == pytest.approx(240.0)
    assert seconds_at_limits(5000, 1e6, 1e6, limits) == pytest.approx(540.0)
    assert seconds_at_limits(500, 1, 1, limits) == 0.0
    assert seconds_at_limits(500, 1, 1, {}) is None


def test_a_prefix_that_is_too_short_is_named_with_numbers() -> None:
    warning = prefix_warning(REQUEST, 400)
    assert warning is not None
    assert "400 tokens" in warning
    assert "512" in warning
    assert prefix_warning(REQUEST, 512) is None
    assert prefix_warning(replace(REQUEST, model="claude-haiku-4-5"), 4000) is not None
    assert prefix_warning(replace(REQUEST, cache_prefix=False), 1) is None
    assert prefix_warning(replace(REQUEST, model="some-open-model"), 1) is None
    estimated = prefix_warning(REQUEST)
    assert estimated is not None
    assert "about" in estimated
    assert prefix_warning(replace(REQUEST, system="word " * 4000)) is None


@pytest.mark.parametrize(
    ("model", "shortest"),
    [
        ("claude-opus-5-5", 512),
        ("claude-haiku-5-5", 512),
        ("claude-opus-5", 512),
        ("claude-sonnet-5", 1024),
        ("claude-opus-4-8", 1024),
        ("claude-sonnet-4-6", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-opus-4-6", 4096),
    ],
)
def test_each_family_has_its_shortest_prefix(model: str, shortest: int) -> None:
    request = replace(REQUEST, model=model)
    assert prefix_warning(request, shortest - 1) is not None
    assert prefix_warning(request, shortest) is None


REQUESTS = [replace(REQUEST, messages=(Message("user", "x" * n),)) for n in (1, 2, 2, 3)]


def count(behave: Behaviour, limit_s: float = 30.0) -> tuple[Counted, int]:
    """What comes of counting, and how often the server was asked."""

    async def main() -> tuple[Counted, int]:
        async with wire(behave) as server:
            endpoint = Endpoint("anthropic", server.url, needs_key=False)
            return await count_requests(endpoint, REQUESTS, limit_s), len(server.seen)

    return asyncio.run(main())


def test_counting_asks_once_for_equal_requests() -> None:
    def behave(seen: Seen, writer: Writer) -> None:
        assert "max_tokens" not in seen.body
        answer(writer, 200, {"input_tokens": len(seen.body["messages"][0]["content"])})

    found, asked = count(behave)
    assert (asked, found.failure) == (3, None)
    assert [found.tokens[request] for request in REQUESTS] == [1, 2, 2, 3]


def test_who_cannot_count_is_asked_once() -> None:
    found, asked = count(lambda _, writer: error(writer, 404, "not_found_error", "no such route"))
    assert (asked, found.tokens) == (1, {})
    assert found.failure is not None
    assert found.failure.status == 404


def test_what_was_counted_before_a_refusal_is_kept() -> None:
    def behave(seen: Seen, writer: Writer) -> None:
        if len(seen.body["messages"][0]["content"]) == 1:
            answer(writer, 200, {"input_tokens": 7})
        else:
            error(writer, 429, "rate_limit_error", "slow down")

    found, _ = count(behave)
    assert found.tokens == {REQUESTS[0]: 7}
    assert found.failure is not None
    assert found.failure.kind is FailureKind.RATE_LIMITED


def test_who_does_not_answer_is_not_waited_for() -> None:
    async def behave(seen: Seen, writer: Writer) -> None:
        await asyncio.sleep(60)

    found, _ = count(behave, limit_s=0.2)
    assert found.failure is not None
    assert found.failure.kind is FailureKind.TIMEOUT


def test_without_a_key_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    found = asyncio.run(count_requests(Endpoint("anthropic", "http://127.0.0.1:9"), [REQUEST]))
    assert found.tokens == {}
    assert found.failure is not None
    assert "ANTHROPIC_API_KEY is not set" in found.failure.message
