"""One HTTP attempt: what an actor is asked to do, and what it reports. Plain data that crosses processes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.core.generation import GenerationRequest, Usage

__all__ = [
    "ANTHROPIC_URL",
    "Attempt",
    "AttemptReply",
    "AttemptResult",
    "Endpoint",
    "Failure",
    "FailureKind",
    "ModelFacts",
    "Window",
]


ANTHROPIC_URL: Final = "https://api.anthropic.com"


class FailureKind(StrEnum):
    """Why an attempt brought no reply."""

    RATE_LIMITED = "rate_limited"
    """429: the account's limit; ``retry_after_s`` says when to come back."""
    OVERLOADED = "overloaded"
    """529: the provider is busy; it says nothing about the account's limit."""
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    """The deadline passed, or no byte came for the stall time."""
    CONNECTION = "connection"
    """No connection could be made or the request did not get through."""
    DROPPED = "dropped"
    """The connection ended, or an error was sent, after the reply had begun."""
    CONTEXT_EXCEEDED = "context_exceeded"
    """The conversation is longer than the model reads: the model's limit, not ours."""
    INVALID = "invalid"
    """400 and its like: this request will never be answered."""
    FATAL = "fatal"
    """401, 402, 403, 404, or a spend limit: no request of this kind will be answered."""
    ACTOR_DIED = "actor_died"
    """The process that sent it is gone."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server of the Messages API and how to talk to it. Holds where the key is found, never the key."""

    provider: str
    """As in :class:`GenerationRequest`."""
    base_url: str | None = None
    """None: Anthropic's API, whatever ANTHROPIC_BASE_URL says, since replies are known by their ``provider``."""
    needs_key: bool = True
    """False for rehearsal and local servers: a constant that is no secret is sent in its place."""
    key_file: str | None = None
    """A file on the node that generates; None: the environment there."""
    stream: bool = True
    stall_s: float = 120.0
    """Streaming: the longest silence between two bytes (the API sends pings)."""
    synthetic: bool = False
    """No model answers here."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to be sent once."""

    request: GenerationRequest
    deadline_s: float
    rehearsal_id: str = ""
    """Sent as ``x-rehearsal-id``, to a loopback address only."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a server says of a model. None: it does not say."""

    efforts: frozenset[str] | None = None
    """Values of ``effort`` that it takes; empty where it has none."""
    thinking: frozenset[str] | None = None
    """Values of ``thinking`` that it takes."""
    max_tokens: int | None = None
    """Longest reply."""


@dataclass(frozen=True, slots=True)
class AttemptReply:
    """A whole reply."""

    text: str
    stop_reason: str
    usage: Usage
    model: str
    request_id: str
    us_only: bool = False
    """Computed in the United States only, which costs more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no reply."""

    kind: FailureKind
    message: str
    """The API's own words where it gave any; one line, without any key."""
    status: int | None = None
    request_id: str = ""
    retry_after_s: float | None = None
    may_have_charged: bool = False
    """The provider may have generated (and billed) tokens that we never saw the end of."""

    def line(self) -> str:
        """One line for tables and errors, with what support asks for."""
        parts = [f"{self.status} " if self.status else "", self.kind.value, f": {self.message}"]
        if self.request_id:
            parts.append(f" (request id {self.request_id})")
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Window:
    """One family of ``anthropic-ratelimit-*`` headers."""

    name: str
    """``requests``, ``input-tokens``, ``output-tokens`` or ``tokens``."""
    limit: float
    """Per minute."""
    remaining: float
    reset_s: float
    """Seconds from the response until it is full again."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What happened: exactly one of ``reply`` and ``failure`` is set."""

    reply: AttemptReply | None
    failure: Failure | None
    windows: tuple[Window, ...] = ()
    windows_age_s: float = 0.0
    """How long before the end of the attempt the headers arrived."""
    latency_s: float = 0.0
    slot: str = ""
    """Who sent it, where there are several."""

    def __post_init__(self) -> None:
        if (self.reply is None) == (self.failure is None):
            raise ValueError("an attempt has either a reply or a failure")
