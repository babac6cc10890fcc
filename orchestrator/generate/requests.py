"""How a canonical request looks to the Messages API, and how its answers are read. No I/O."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.core.generation import GenerationRequest, Usage
from orchestrator.generate.attempts import AttemptReply, Failure, FailureKind, Window

__all__ = [
    "REHEARSAL_HEADER",
    "US_ONLY",
    "is_loopback",
    "message_parameters",
    "read_message",
    "read_usage",
    "read_windows",
    "retry_after_s",
    "status_failure",
]

REHEARSAL_HEADER: Final = "x-rehearsal-id"
US_ONLY: Final = "us"
"""What ``usage.inference_geo`` says of a reply that was computed in the United States only."""

_WINDOWS: Final = ("requests", "input-tokens", "output-tokens", "tokens")
_LONGEST_MESSAGE: Final = 500

# The wordings of "this conversation is longer than I can read": Anthropic's API and llama.cpp's server.
_TOO_LONG: Final = re.compile(
    r"prompt is too long|exceed(s|_context_size)?\b.{0,40}\bcontext|context (window|length|size).{0,40}exceed"
    r"|exceeds the available context",
    re.IGNORECASE,
)
# A 400 that is about the account and not about the request.
_SPEND_LIMIT: Final = re.compile(
    r"credit balance|spend(ing)? limit|usage limits?\b|billing|out of credits", re.IGNORECASE
)
# Stable codes in ``error.details``, whose messages may be worded in any way.
_FATAL_CODES: Final = re.compile(r"\w*spend_limit_reached|organization_on_hold")
_FATAL_STATUS: Final = frozenset({401, 402, 403, 404})
_FATAL_TYPES: Final = frozenset({"authentication_error", "permission_error", "billing_error", "not_found_error"})


def message_parameters(request: GenerationRequest) -> dict[str, Any]:
    """The body of ``POST /v1/messages`` for ``request``; options appear only where they were asked for."""
    parameters: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": [{"role": message.role, "content": _sendable(message.text)} for message in request.messages],
    }
    if request.system:
        system = _sendable(request.system)
        block: dict[str, Any] = {"type": "text", "text": system}
        if request.cache_prefix:
            block["cache_control"] = {"type": "ephemeral"}
        parameters["system"] = [block] if request.cache_prefix else system
    if request.effort is not None:
        parameters["output_config"] = {"effort": request.effort}
    if request.thinking is not None:
        parameters["thinking"] = {"type": request.thinking}
    return parameters


def _sendable(text: str) -> str:
    """The text with a question mark for half of a surrogate pair, which a reply may hold and no request can."""
    return text.encode("utf-8", "replace").decode("utf-8")


def is_loopback(base_url: str | None) -> bool:
    """Whether ``base_url`` surely names this machine: a loopback address, or ``localhost``."""
    if base_url is None:
        return False
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_message(body: Mapping[str, Any], request_id: str) -> AttemptReply:
    """A reply from a whole message object; text blocks only (thinking may come first, or between).

    Raises:
        ValueError: the object is not a message.
    """
    content = body.get("content")
    if not isinstance(content, list) or not isinstance(body.get("usage"), Mapping):
        raise ValueError("the answer is no message: it has no content or no usage")
    text = "".join(str(b.get("text", "")) for b in content if isinstance(b, Mapping) and b.get("type") == "text")
    return AttemptReply(
        text=text,
        stop_reason=str(body.get("stop_reason") or "end_turn"),
        usage=read_usage(body["usage"]),
        model=str(body.get("model", "")),
        request_id=request_id,
        us_only=body["usage"].get("inference_geo") == US_ONLY,
    )


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Usage by class. The API's ``input_tokens`` leaves cached tokens out, so the classes are disjoint."""
    return Usage(
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
        cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
        cache_write_tokens=int(usage.get("cache_creation_input_tokens") or 0),
    )


def read_windows(headers: Mapping[str, str], now: datetime | None = None) -> tuple[Window, ...]:
    """The ``anthropic-ratelimit-*`` headers. Families that are missing or malformed are left out.

    ``now`` is the server's time; by default its ``date`` header, so that clocks need not agree.
    """
    moment = now or _server_time(headers)
    windows = []
    for name in _WINDOWS:
        try:
            limit = float(headers[f"anthropic-ratelimit-{name}-limit"])
            remaining = float(headers[f"anthropic-ratelimit-{name}-remaining"])
        except (KeyError, ValueError):
            continue
        reset_s = 0.0
        text = headers.get(f"anthropic-ratelimit-{name}-reset", "")
        try:
            reset_s = max(0.0, (datetime.fromisoformat(text) - moment).total_seconds())
        except (TypeError, ValueError):
            # A reset that cannot be read is no reason to leave limit and remaining unused.
            reset_s = 0.0
        if limit > 0:
            windows.append(Window(name, limit, max(0.0, remaining), reset_s))
    return tuple(windows)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: ``retry-after-ms``, or ``retry-after`` as seconds or as a date."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            return max(0.0, float(text) * scale)
        except ValueError:
            if name == "retry-after-ms":
                continue
        try:
            return max(0.0, (parsedate_to_datetime(text) - _server_time(headers)).total_seconds())
        except (TypeError, ValueError):
            continue
    return None


def status_failure(
    status: int, body: object, headers: Mapping[str, str], *, began: bool = False, secret: str = ""
) -> Failure:
    """What an error answer means.

    Args:
        status: the HTTP status.
        body: the decoded body, or its text.
        headers: of the answer.
        began: the error came inside a stream whose reply had begun, so tokens may have been charged.
        secret: the key, taken out of the message should the server repeat it.
    """
    kind_name, message = _error_words(body)
    wait_s = retry_after_s(headers)
    kind = _kind(status, kind_name, message, comes_back=wait_s is not None)
    if _FATAL_CODES.fullmatch(_error_code(body)):
        # Not a limit by the minute, though some come as 429: no request of the account will be answered.
        kind = FailureKind.FATAL
    if began and kind not in (FailureKind.FATAL, FailureKind.CONTEXT_EXCEEDED):
        kind = FailureKind.DROPPED
    if secret:
        message = message.replace(secret, "[key]")
    return Failure(
        kind=kind,
        message=message,
        status=status,
        request_id=headers.get("request-id", "") or _body_request_id(body),
        retry_after_s=wait_s,
        # A gateway that gave up waiting does not know whether the model went on.
        may_have_charged=began or kind is FailureKind.TIMEOUT,
    )


def _kind(status: int, kind_name: str, message: str, *, comes_back: bool) -> FailureKind:
    if status == 429 or kind_name == "rate_limit_error":
        # A spend limit may be told as 429 too, but without a time to come back: waiting would not help.
        spent = not comes_back and _SPEND_LIMIT.search(message)
        return FailureKind.FATAL if spent else FailureKind.RATE_LIMITED
    if status == 529 or kind_name == "overloaded_error":
        return FailureKind.OVERLOADED
    if status in (408, 504) or kind_name == "timeout_error":
        return FailureKind.TIMEOUT
    if status >= 500 or kind_name == "api_error" or status == 409:
        return FailureKind.SERVER_ERROR
    if status == 413 or _TOO_LONG.search(message):
        return FailureKind.CONTEXT_EXCEEDED
    if status in _FATAL_STATUS or kind_name in _FATAL_TYPES or _SPEND_LIMIT.search(message):
        return FailureKind.FATAL
    return FailureKind.INVALID


def _error_words(body: object) -> tuple[str, str]:
    """The error's type and message, on one line."""
    if isinstance(body, Mapping):
        error = body.get("error", body)
        if isinstance(error, Mapping):
            return str(error.get("type", "")), _one_line(str(error.get("message", "")))
        return "", _one_line(str(error))
    text = body if isinstance(body, str) else ""
    try:
        decoded = json.loads(text)
    except ValueError:
        return "", _one_line(text or "no message")
    return _error_words(decoded) if isinstance(decoded, Mapping) else ("", _one_line(text))


def _error_code(body: object) -> str:
    """The error's stable code; empty where it has none."""
    for name in ("error", "details", "error_code"):
        body = body.get(name) if isinstance(body, Mapping) else None
    return body if isinstance(body, str) else ""


def _body_request_id(body: object) -> str:
    return str(body.get("request_id") or "") if isinstance(body, Mapping) else ""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + " ..."


def _server_time(headers: Mapping[str, str]) -> datetime:
    try:
        return parsedate_to_datetime(headers["date"])
    except (KeyError, TypeError, ValueError):
        return datetime.now(UTC)
