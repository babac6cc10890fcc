from __future__ import annotations

import pytest

from orchestrator.core.generation import Usage
from orchestrator.generate.attempts import AttemptResult, Failure, FailureKind
from orchestrator.generate.requests import read_message, read_usage, read_windows, retry_after_s, status_failure

NOON = {"date": "Thu, 01 Jan 2026 12:00:00 GMT"}


def test_cached_tokens_are_counted_once() -> None:
    usage = read_usage({"input_tokens": 10, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 30})
    assert usage == Usage(10, 0, 200, 30)
    assert read_usage({"input_tokens": None, "output_tokens": 5}) == Usage(0, 5)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT", **NOON}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT", **NOON}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "later"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_limits_that_are_missing_or_malformed_are_left_out() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "not a time",
        "anthropic-ratelimit-input-tokens-limit": "many",
        "anthropic-ratelimit-input-tokens-remaining": "5",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-tokens-limit": "0",
        "anthropic-ratelimit-tokens-remaining": "0",
    }
    (window,) = read_windows(headers)
    assert (window.name, window.limit, window.remaining, window.reset_s) == ("requests", 50.0, 49.0, 0.0)


def test_a_spend_limit_told_as_429_stops_and_a_rate_limit_waits() -> None:
    spent = {"error": {"type": "rate_limit_error", "message": "You have reached your spend limit"}}
    assert status_failure(429, spent, {}).kind is FailureKind.FATAL
    assert status_failure(429, spent, {"retry-after": "5"}).kind is FailureKind.RATE_LIMITED
    plain = {"error": {"type": "rate_limit_error", "message": "would exceed your rate limit of 50 requests"}}
    assert status_failure(429, plain, {}).kind is FailureKind.RATE_LIMITED


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "enforced_spend_limit_reached", FailureKind.FATAL),
        (429, "contract_spend_limit_reached", FailureKind.FATAL),
        (400, "organization_on_hold", FailureKind.FATAL),
        (429, "ramp_limit_exceeded", FailureKind.RATE_LIMITED),
        (400, "something_new", FailureKind.INVALID),
    ],
)
def test_a_code_says_what_words_may_not(status: int, code: str, kind: FailureKind) -> None:
    error_type = "rate_limit_error" if status == 429 else "invalid_request_error"
    body = {"error": {"type": error_type, "message": "No.", "details": {"error_code": code}}}
    assert status_failure(status, body, {"retry-after": "5"}).kind is kind


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"type": "api_error", "message": "two\nlines"}}, "two lines"),
        ({"error": "text"}, "text"),
        ("<html>bad gateway</html>", "<html>bad gateway</html>"),
        ('{"error": {"message": "inner"}}', "inner"),
        (None, "no message"),
        ("x" * 2000, "x" * 500 + " ..."),
    ],
)
def test_any_body_gives_one_line(body: object, message: str) -> None:
    failure = status_failure(502, body, {})
    assert (failure.message, failure.kind) == (message, FailureKind.SERVER_ERROR)


def test_a_gateway_that_gave_up_may_have_charged() -> None:
    failure = status_failure(504, None, {})
    assert (failure.kind, failure.may_have_charged) == (FailureKind.TIMEOUT, True)


def test_the_key_is_taken_out_of_whatever_the_server_repeats() -> None:
    failure = status_failure(401, {"error": {"message": "bad key sk-1"}}, {}, secret="sk-1")
    assert failure.message == "bad key [key]"


def test_what_is_no_message_is_said_so() -> None:
    for body in ({}, {"content": []}, {"content": "text", "usage": {}}):
        with pytest.raises(ValueError, match="no message"):
            read_message(body, "r")


def test_a_result_is_either_a_reply_or_a_failure() -> None:
    with pytest.raises(ValueError, match="either"):
        AttemptResult(None, None)
    assert AttemptResult(None, Failure(FailureKind.TIMEOUT, "x")).reply is None
