from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from orchestrator.core.generation import GenerationRequest, Message
from orchestrator.generate.attempts import Endpoint
from orchestrator.generate.forecasts import count_all, prefix_warning, seconds_at_limits
from tests.generate.wire import Seen, Writer, answer, error, wire

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
    warning = prefix_warning(REQUEST, 900)
    assert warning is not None
    assert "900 tokens" in warning
    assert "1,024" in warning
    assert prefix_warning(REQUEST, 1024) is None
    assert prefix_warning(replace(REQUEST, model="claude-haiku-4-5"), 4000) is not None
    assert prefix_warning(replace(REQUEST, cache_prefix=False), 1) is None
    assert prefix_warning(replace(REQUEST, model="some-open-model"), 1) is None
    estimated = prefix_warning(REQUEST)
    assert estimated is not None
    assert "about" in estimated
    assert prefix_warning(replace(REQUEST, system="word " * 4000)) is None


def test_counting_asks_once_for_equal_requests() -> None:
    async def main() -> tuple[int | None, int]:
        def behave(seen: Seen, writer: Writer) -> None:
            answer(writer, 200, {"input_tokens": len(seen.body["messages"][0]["content"])})

        async with wire(behave) as server:
            requests = [replace(REQUEST, messages=(Message("user", "x" * n),)) for n in (1, 2, 2, 3)]
            total = await count_all(Endpoint("anthropic", server.url, needs_key=False), requests)
            return total, len(server.seen)

    assert asyncio.run(main()) == (8, 3)


def test_a_server_that_cannot_count_makes_the_sum_unknown() -> None:
    async def main() -> int | None:
        async with wire(lambda _, writer: error(writer, 404, "not_found_error", "no such route")) as server:
            return await count_all(Endpoint("anthropic", server.url, needs_key=False), [REQUEST] * 3)

    assert asyncio.run(main()) is None


def test_without_a_key_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert asyncio.run(count_all(Endpoint("anthropic", "http://127.0.0.1:9"), [REQUEST])) is None
