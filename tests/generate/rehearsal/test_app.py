"""The server as the real SDK sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import anthropic
import pytest

from orchestrator.core.generation import Usage
from orchestrator.generate.rehearsal import FaultShares, ServerLimits
from tests.generate.rehearsal.parts import (
    MODEL,
    Running,
    ask,
    code,
    human_eval,
    passes,
    reply_text,
    serving,
    usage_of,
    with_feedback,
    write_human_eval,
)


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_human_eval(tmp_path_factory.mktemp("rehearsal") / "problems.jsonl")


@pytest.fixture(scope="module")
def running(problems: str) -> Iterator[Running]:
    with serving(problems, seed=3, broken_share=0.0) as server:
        yield server


def test_a_plain_reply_is_a_whole_message_with_a_right_program(running: Running) -> None:
    raw = running.client.messages.with_raw_response.create(**ask("HumanEval/2;0;0;0"))
    message = raw.parse()
    assert raw.headers["request-id"].startswith("req_")
    assert message._request_id == raw.headers["request-id"]
    assert (message.type, message.role, message.model, message.stop_reason) == (
        "message",
        "assistant",
        MODEL,
        "end_turn",
    )
    assert passes("HumanEval/2", code(reply_text(message)))
    assert message.usage.input_tokens == 3 + 4
    assert message.usage.output_tokens > 10


def thoughts(message: Any) -> list[tuple[str, str]]:
    return [(block.thinking, block.signature) for block in message.content if block.type == "thinking"]


def test_a_stream_says_the_same_as_a_plain_reply(running: Running) -> None:
    for task in range(6):
        asked = ask(f"HumanEval/{task};1;0;0", thinking={"type": "adaptive"})
        plain = running.client.messages.create(**asked)
        with running.client.messages.stream(**asked) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_message()
        assert final.id == plain.id
        assert final.stop_reason == plain.stop_reason
        assert [block.type for block in final.content] == [block.type for block in plain.content]
        assert reply_text(final) == reply_text(plain)
        assert thoughts(final) == thoughts(plain)
        assert usage_of(final) == usage_of(plain)
        assert kinds[0] == "message_start"
        assert kinds[-1] == "message_stop"


def test_stream_events_come_in_the_order_of_the_api(running: Running) -> None:
    stream = running.client.messages.create(
        **ask("HumanEval/10;0;0;0", thinking={"type": "enabled", "budget_tokens": 1024}), stream=True
    )
    events = list(stream)
    order: list[str] = []
    for event in events:
        name = event.type if event.type != "content_block_delta" else event.delta.type
        if not order or order[-1] != name:
            order.append(name)
    assert order == [
        "message_start",
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start, end = events[0], events[-2]
    assert start.type == "message_start"
    assert start.message.stop_reason is None
    assert start.message.content == []
    assert end.type == "message_delta"
    assert end.delta.stop_reason == "end_turn"
    assert end.usage.output_tokens > start.message.usage.output_tokens


def test_thinking_comes_first_and_is_left_out_of_the_text(running: Running) -> None:
    message = running.client.messages.create(
        **ask("HumanEval/4;0;0;0", thinking={"type": "enabled", "budget_tokens": 1024})
    )
    assert [block.type for block in message.content] == ["thinking", "text"]
    details = message.usage.output_tokens_details
    assert details is not None
    assert 0 < details.thinking_tokens < message.usage.output_tokens
    omitted = running.client.messages.create(
        **ask("HumanEval/4;0;0;0", thinking={"type": "enabled", "budget_tokens": 1024, "display": "omitted"})
    )
    assert omitted.content[0].to_dict()["thinking"] == ""
    assert omitted.usage == message.usage


def test_the_way_of_sending_and_the_attempt_change_nothing(problems: str) -> None:
    def texts(who: str, client: anthropic.Anthropic) -> str:
        return reply_text(client.messages.create(**ask(who)))

    ids = [f"HumanEval/{i};0;0" for i in range(12)]
    with serving(problems, seed=5) as first, serving(problems, seed=5) as second:
        forward = {step: texts(f"{step};0", first.client) for step in ids}
        backward = {step: texts(f"{step};{index}", second.client) for index, step in reversed(list(enumerate(ids)))}
    assert forward == backward


def test_feedback_is_told_by_a_second_user_message(problems: str) -> None:
    with serving(problems, broken_share=1.0, mend_share=1.0) as running:
        first = running.client.messages.create(**ask("HumanEval/2;0;0;0"))
        second = running.client.messages.create(**ask("HumanEval/2;0;1;0", **with_feedback()))
    assert not passes("HumanEval/2", code(reply_text(first)), cpu_s=1)
    assert passes("HumanEval/2", code(reply_text(second)))


def test_cached_prefixes_are_written_once_and_read_by_all_others(problems: str) -> None:
    system = [{"type": "text", "text": "s" * 4 * 512, "cache_control": {"type": "ephemeral"}}]
    short = [{"type": "text", "text": "s" * 4 * 511, "cache_control": {"type": "ephemeral"}}]
    with serving(problems) as running:
        create = running.client.messages.create
        # The reader comes first: which request writes must not depend on the order of arrival.
        reads = usage_of(create(**ask("HumanEval/1;0;0;0", system=system)))
        writes = usage_of(create(**ask("HumanEval/0;0;0;0", system=system)))
        later = usage_of(create(**ask("HumanEval/0;1;0;0", system=system)))
        none = usage_of(create(**ask("HumanEval/0;0;0;0", system=short)))
        charged = running.server.counts().charged
    assert (reads["cache_read_tokens"], reads["cache_write_tokens"], reads["input_tokens"]) == (512, 0, 7)
    assert (writes["cache_read_tokens"], writes["cache_write_tokens"], writes["input_tokens"]) == (0, 512, 7)
    assert (later["cache_read_tokens"], later["cache_write_tokens"]) == (512, 0)
    assert (none["cache_read_tokens"], none["cache_write_tokens"], none["input_tokens"]) == (0, 0, 511 + 7)
    total = Usage()
    for usage in (reads, writes, later, none):
        total = total + Usage(**usage)
    assert charged == total


def test_tokens_are_counted_as_they_are_charged(running: Running) -> None:
    body: dict[str, Any] = {"system": "s" * 41, "messages": [{"role": "user", "content": "Write it."}]}
    counted = running.client.messages.count_tokens(model=MODEL, **body)
    message = running.client.messages.create(**ask("HumanEval/3;0;0;0", system=body["system"]))
    assert counted.input_tokens == message.usage.input_tokens == 11 + 4 + 3


def test_models_are_listed_and_described(running: Running) -> None:
    listed = [model.id for model in running.client.models.list()]
    assert MODEL in listed
    model = running.client.models.retrieve(MODEL)
    assert model.line == "sonnet"
    assert model.capabilities is not None
    assert model.capabilities.effort.high.supported
    assert model.capabilities.thinking.types.adaptive.supported


def test_an_unknown_model_is_not_found(problems: str) -> None:
    with serving(problems, known_models=(MODEL, "claude-other")) as running:
        assert [model.id for model in running.client.models.list()] == [MODEL, "claude-other"]
        assert running.client.messages.create(**ask("HumanEval/0;0;0;0")).model == MODEL
        with pytest.raises(anthropic.NotFoundError) as refused:
            running.client.messages.create(**ask("HumanEval/0;0;0;0", model="claude-typo"))
        with pytest.raises(anthropic.NotFoundError):
            running.client.models.retrieve("claude-typo")
        with pytest.raises(anthropic.NotFoundError):
            running.client.messages.count_tokens(model="claude-typo", messages=[{"role": "user", "content": "x"}])
    assert refused.value.type == "not_found_error"
    assert "claude-typo" in str(refused.value)


@pytest.mark.parametrize(
    ("refuse", "error", "kind"),
    [
        ("authentication", anthropic.AuthenticationError, "authentication_error"),
        ("permission", anthropic.PermissionDeniedError, "permission_error"),
        ("spend_limit", anthropic.BadRequestError, "invalid_request_error"),
        ("bad_request", anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_every_request_is_refused_where_told_so(
    problems: str, refuse: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with serving(problems, refuse=refuse, refuse_after=2) as running:
        for _ in range(2):
            running.client.messages.create(**ask("HumanEval/0;0;0;0"))
        for _ in range(2):
            with pytest.raises(error) as refused:
                running.client.messages.create(**ask("HumanEval/0;0;0;0"))
        counts = running.server.counts()
    assert refused.value.type == kind
    assert refused.value.request_id
    assert counts.replies == 2
    assert counts.rejected == {refuse: 2}
    assert (refused.value.error_code == "enforced_spend_limit_reached") is (refuse == "spend_limit")


def test_only_the_right_key_is_let_in(problems: str) -> None:
    with serving(problems, api_key="right") as running:
        with pytest.raises(anthropic.AuthenticationError):
            running.client.messages.create(**ask("HumanEval/0;0;0;0"))
        for options in ({"api_key": "right"}, {"auth_token": "right"}):
            with anthropic.Anthropic(base_url=running.url, max_retries=0, **options) as client:
                assert client.messages.create(**ask("HumanEval/0;0;0;0")).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"extra_body": {"temperature": 0.5}}, "temperature"),
        ({"extra_headers": {"x-rehearsal-id": "HumanEval/0"}}, "x-rehearsal-id"),
        ({"extra_headers": {}}, "x-rehearsal-id"),
        ({"extra_headers": {"x-rehearsal-id": "HumanEval/999;0;0;0"}}, "HumanEval/999"),
    ],
)
def test_a_bad_request_is_told_what_is_bad(running: Running, change: dict[str, Any], words: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=words):
        running.client.messages.create(**{**ask("HumanEval/0;0;0;0"), **change})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"{}"])
def test_a_body_that_is_no_request_is_a_bad_request(running: Running, body: bytes) -> None:
    request = urllib.request.Request(f"{running.url}/v1/messages", data=body, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    assert json.load(refused.value)["error"]["type"] == "invalid_request_error"


def test_limits_turn_requests_away_and_say_when_to_return(problems: str) -> None:
    limits = ServerLimits(requests_per_minute=60, input_tokens_per_minute=100_000, bucket_s=2.0)
    with serving(problems, limits=limits) as running:
        raw = running.client.messages.with_raw_response.create(**ask("HumanEval/0;0;0;0"))
        assert raw.headers["anthropic-ratelimit-requests-limit"] == "60"
        assert raw.headers["anthropic-ratelimit-requests-remaining"] == "1"
        assert raw.headers["anthropic-ratelimit-input-tokens-limit"] == "100000"
        reset = datetime.fromisoformat(raw.headers["anthropic-ratelimit-requests-reset"])
        assert reset.timestamp() >= time.time() - 1

        def until_refused() -> None:
            for _ in range(10):
                running.client.messages.create(**ask("HumanEval/0;0;0;0"))

        with pytest.raises(anthropic.RateLimitError) as refused:
            until_refused()
        counts = running.server.counts()
    assert refused.value.response.headers["retry-after"] == "1"
    assert refused.value.type == "rate_limit_error"
    assert "60 requests per minute" in str(refused.value)
    assert counts.rejected == {"limit_requests": 1}
    assert counts.rejected_by_limits == 1
    assert counts.requests == counts.replies + 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limited", anthropic.RateLimitError),
        ("overloaded", anthropic.OverloadedError),
        ("server_error", anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_injected_errors_cost_nothing(
    problems: str, fault: str, error: type[anthropic.APIStatusError], stream: bool
) -> None:
    with serving(problems, faults=FaultShares(**{fault: 1.0}), retry_after_s=0.5) as running:
        with pytest.raises(error) as refused:
            running.client.messages.create(**ask("HumanEval/0;0;0;0"), stream=stream)
        counts = running.server.counts()
    assert counts.rejected == {fault: 1}
    assert counts.charged == Usage()
    assert ("retry-after" in refused.value.response.headers) is (fault == "rate_limited")


def test_a_dropped_stream_ends_in_the_middle_and_is_charged(problems: str) -> None:
    with serving(problems, faults=FaultShares(dropped=1.0), chunk_characters=20) as running:
        received: list[str] = []

        def read() -> None:
            with running.client.messages.stream(**ask("HumanEval/0;0;0;0")) as stream:
                received.extend(event.type for event in stream)

        with pytest.raises(Exception, match=r"incomplete|closed|disconnected") as broken:
            read()
        with pytest.raises(anthropic.APIConnectionError):
            running.client.messages.create(**ask("HumanEval/0;0;0;0"))
        counts = running.server.counts()
    assert not isinstance(broken.value, anthropic.APIStatusError)
    assert "content_block_delta" in received
    assert "message_stop" not in received
    assert counts.dropped == 2
    assert counts.replies == 0
    assert counts.charged.output_tokens > 0
    assert counts.in_flight == 0


def test_a_stalled_reply_is_silent_until_the_client_gives_up(problems: str) -> None:
    with serving(problems, faults=FaultShares(stalled=1.0)) as running:
        impatient = running.client.with_options(timeout=0.3)
        with pytest.raises(anthropic.APITimeoutError):
            impatient.messages.create(**ask("HumanEval/0;0;0;0"))
        received: list[str] = []

        def read() -> None:
            with impatient.messages.stream(**ask("HumanEval/0;0;0;0")) as stream:
                received.extend(event.type for event in stream)

        with pytest.raises(Exception, match="timed out"):
            read()
        assert "message_start" in received
        deadline = time.monotonic() + 10
        while (counts := running.server.counts()).in_flight and time.monotonic() < deadline:
            time.sleep(0.05)
    assert (counts.stalled, counts.abandoned, counts.in_flight, counts.replies) == (2, 2, 0, 0)


def test_faults_depend_on_the_attempt_so_trying_again_helps(problems: str) -> None:
    with serving(problems, faults=FaultShares(0.1, 0.1, 0.1)) as running:
        attempts = []
        for task in range(40):
            attempt = 0
            while True:
                try:
                    running.client.messages.create(**ask(f"HumanEval/{task};0;0;{attempt}"))
                    break
                except anthropic.APIStatusError:
                    attempt += 1
            attempts.append(attempt)
        counts = running.server.counts()
        # The SDK's own tries carry the same id and count themselves in a header.
        with anthropic.Anthropic(api_key="k", base_url=running.url, max_retries=5) as retrying:
            failing = attempts.index(1)
            assert retrying.messages.create(**ask(f"HumanEval/{failing};0;0;0")).stop_reason
    assert 2 <= sum(attempts) <= 40
    assert sum(counts.rejected.values()) == sum(attempts)
    assert set(counts.rejected) <= {"rate_limited", "overloaded", "server_error"}


def test_the_books_name_every_reply_and_what_was_answered_twice(problems: str) -> None:
    with serving(problems) as running:
        running.client.messages.create(**ask("HumanEval/0;0;0;0"))
        with running.client.messages.stream(**ask("HumanEval/0;0;0;1")) as stream:
            stream.until_done()
        running.client.messages.create(**ask("HumanEval/0;0;0;0", text="Something else."))
        running.client.messages.create(**ask("HumanEval/0;1;0;0"))
        replies = running.server.replies()
        counts = running.server.counts()
    assert sorted(replies.values()) == [1, 1, 2]
    assert sum(name.startswith(f"HumanEval/0;0;0|{MODEL}|") for name in replies) == 2
    assert (counts.requests, counts.replies, counts.repeated) == (4, 4, 1)
    assert sum(counts.kinds.values()) == 4


def test_many_at_once_each_get_their_own_answer(problems: str) -> None:
    async def together(running: Running) -> list[str]:
        async with running.aclient() as client:
            replies = await asyncio.gather(
                *(client.messages.create(**ask(f"HumanEval/{i};0;0;0")) for i in range(100))
            )
        return [reply_text(reply) for reply in replies]

    with serving(problems, broken_share=0.0, latency_low_s=0.2, latency_high_s=0.3) as running:
        texts = asyncio.run(together(running))
        counts = running.server.counts()
    assert all(f"def {human_eval()[f'HumanEval/{i}']['entry_point']}(" in text for i, text in enumerate(texts))
    assert counts.replies == 100
    assert counts.in_flight == 0
    assert counts.in_flight_peak > 10


def test_a_paused_reply_goes_on_where_it_stopped(problems: str) -> None:
    with serving(problems, paused_share=1.0, broken_share=0.0) as running:
        asked = ask("HumanEval/2;0;0;0", thinking={"type": "enabled", "budget_tokens": 1024})
        first = running.client.messages.create(**asked)
        assert first.stop_reason == "pause_turn"
        assert not passes("HumanEval/2", code(reply_text(first)))
        messages = [*asked["messages"], {"role": "assistant", "content": reply_text(first)}]
        second = running.client.messages.create(**{**asked, "messages": messages})
        with pytest.raises(anthropic.BadRequestError, match="prefill"):
            running.client.messages.create(
                **{**asked, "messages": [*asked["messages"], {"role": "assistant", "content": "Sure:"}]}
            )
    assert second.stop_reason == "end_turn"
    assert passes("HumanEval/2", code(reply_text(first) + reply_text(second)))
    assert usage_of(second)["input_tokens"] > usage_of(first)["input_tokens"]


def test_the_context_is_finite(problems: str) -> None:
    with serving(problems, context_tokens=100, broken_share=0.0) as running:
        create = running.client.messages.create
        cut = create(**ask("HumanEval/0;0;0;0", text="x" * 4 * 60))
        capped = create(**ask("HumanEval/0;0;0;0", text="x" * 4 * 60, max_tokens=20))
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long: 104 tokens > 100 maximum"):
            create(**ask("HumanEval/0;0;0;0", text="x" * 400))
    assert (cut.stop_reason, cut.usage.output_tokens) == ("model_context_window_exceeded", 36)
    assert (capped.stop_reason, capped.usage.output_tokens) == ("max_tokens", 20)


def test_a_stream_may_end_in_an_error_of_its_own(problems: str) -> None:
    with serving(problems, faults=FaultShares(stream_error=1.0), chunk_characters=20) as running:
        received: list[str] = []

        def read() -> None:
            with running.client.messages.stream(**ask("HumanEval/0;0;0;0")) as stream:
                received.extend(event.type for event in stream)

        with pytest.raises(anthropic.APIStatusError, match="Overloaded") as failed:
            read()
        assert running.client.messages.create(**ask("HumanEval/0;0;0;0")).stop_reason == "end_turn"
        counts = running.server.counts()
    assert failed.value.type == "overloaded_error"
    assert "content_block_delta" in received
    assert counts.rejected == {"stream_error": 1}
    assert counts.replies == 1


def test_the_log_outlives_servers_and_tells_what_was_charged_and_sent(problems: str, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with serving(problems, log=str(log), faults=FaultShares(dropped=0.5)) as running:
        for task in range(12):
            with contextlib.suppress(anthropic.APIConnectionError):
                running.client.messages.create(**ask(f"HumanEval/{task};0;0;3"))
        first = running.server.counts()
    with serving(problems, log=str(log)) as running:
        running.client.messages.create(**ask("HumanEval/5;1;0;0"))
        second = running.server.counts()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    admitted = [line for line in lines if line["event"] == "admitted"]
    replied = [line for line in lines if line["event"] == "replied"]
    assert len(admitted) == 13
    assert len(replied) == first.replies + second.replies < 13
    charged = Usage()
    for line in admitted:
        charged = charged + Usage(**line["usage"])
    assert charged == first.charged + second.charged
    assert admitted[0]["step"].startswith(f"HumanEval/0;0;0|{MODEL}|")
    assert {line["attempt"] for line in admitted} == {3, 0}
