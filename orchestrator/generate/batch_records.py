"""Records of Message Batches that cross processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestrator.core.generation import GenerationRequest
from orchestrator.generate.attempts import AttemptReply, Failure

__all__ = ["BatchEntry", "BatchOutcome", "BatchStatus", "CallResult"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallResult(Generic[T]):
    """The answer of a call that costs nothing by itself, or why there is none."""

    value: T | None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """One request of a batch."""

    custom_id: str
    request: GenerationRequest
    rehearsal_id: str = ""
    """Sent as ``metadata.user_id``, to a loopback address only."""


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is."""

    batch_id: str
    ended: bool
    created_unix_s: float
    total: int
    """Requests in it, whatever became of them."""
    processing: int
    """Of these, not finished; the API counts none as finished before the whole batch has ended."""
    archived: bool = False
    """Its results are gone: the API keeps them for 29 days."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one request of a batch: exactly one of ``reply`` and ``failure`` is set."""

    custom_id: str
    reply: AttemptReply | None
    failure: Failure | None
    again: bool = False
    """Expired, cancelled, failed on the provider's side, or lost there: worth another try. Not charged, unless the
    failure says that it may have been."""
