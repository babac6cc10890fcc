"""What is asked of a model, and what came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.core.digests import digest

__all__ = ["REFUSAL", "GenerationRequest", "Message", "Reply", "Usage"]

REFUSAL: Final = "refusal"
"""The stop reason of a reply that the model or the API's filters broke off."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; text only."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """The canonical request: everything that determines the distribution of the reply, and nothing else.

    How it is sent (streamed, batched, retried) is not part of it.
    """

    provider: str
    """Who answers: ``anthropic``, ``rehearsal:<digest>``, ``local:<base_url>`` or ``samples:<digest>``.

    It keeps synthetic replies from ever answering for real ones."""
    model: str
    """The API's model id."""
    system: str
    messages: tuple[Message, ...]
    max_tokens: int
    effort: str | None = None
    thinking: str | None = None
    """``adaptive``, ``disabled`` or None for the model's default."""
    cache_prefix: bool = False
    """Mark the system prompt with ``cache_control``."""

    def key(self, sample: int) -> str:
        """The journal key of the reply to this request as sample ``sample`` (from 0)."""
        return "g-" + digest(self, sample)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by class as the API reports them: the four classes are disjoint.

    Total input = ``input_tokens`` + ``cache_read_tokens`` + ``cache_write_tokens``.
    """

    input_tokens: int = 0
    """Uncached input."""
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """One paid answer, as journaled."""

    text: str
    """The text blocks, joined; thinking left out."""
    stop_reason: str
    """``end_turn``, ``max_tokens``, ``refusal``, ..."""
    usage: Usage
    model: str
    """The model id that the API returned."""
    request_id: str
    latency_s: float
    """From sending to the last byte (batches: from submission to result)."""
    synthetic: bool
    """True when no model wrote it."""
    batch: bool = False
    """Bought at the batch price."""
    usd: float | None = None
    """What it cost; None when the price is unknown. Set by the ledger."""
    slot: str = ""
    """The generation actor that got it, e.g. ``generation-anthropic-0``; empty where no actor was asked."""
