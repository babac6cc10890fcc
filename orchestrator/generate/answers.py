"""What the API's answers about models and batches say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from orchestrator.generate.attempts import Failure, FailureKind, ModelFacts
from orchestrator.generate.batch_records import BatchOutcome, BatchStatus
from orchestrator.generate.requests import read_message, status_failure

__all__ = ["read_facts", "read_outcome", "read_status"]

_ON_THEIR_SIDE: Final = frozenset(
    {FailureKind.SERVER_ERROR, FailureKind.OVERLOADED, FailureKind.RATE_LIMITED, FailureKind.TIMEOUT}
)


def read_facts(model: Any) -> ModelFacts:
    """A model's description, read leniently: other servers give theirs in their own way, or hardly at all."""
    capabilities = getattr(model, "capabilities", None)
    efforts = thinking = None
    effort = getattr(capabilities, "effort", None)
    if effort is not None:
        levels = ("low", "medium", "high", "xhigh", "max")
        efforts = frozenset(name for name in levels if effort.supported and _supported(effort, name))
    types = getattr(getattr(capabilities, "thinking", None), "types", None)
    if types is not None:
        thinking = frozenset(name for name in ("adaptive", "disabled") if _supported(types, name))
    return ModelFacts(efforts, thinking, getattr(model, "max_tokens", None))


def _supported(capabilities: Any, name: str) -> bool:
    return bool(getattr(getattr(capabilities, name, None), "supported", False))


def read_status(batch: Any) -> BatchStatus:
    """How far a batch is."""
    counts = batch.request_counts
    return BatchStatus(
        batch_id=batch.id,
        ended=batch.processing_status == "ended",
        created_unix_s=batch.created_at.timestamp(),
        total=counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired,
        processing=counts.processing,
        archived=batch.archived_at is not None,
    )


def read_outcome(custom_id: str, result: Any, secret: str) -> BatchOutcome:
    """What became of one request of a batch.

    Args:
        custom_id: its id there.
        result: the API's word.
        secret: never to be quoted from it.
    """
    if result.type == "succeeded":
        return BatchOutcome(custom_id, read_message(result.message.to_dict(), result.message.id), None)
    if result.type == "errored":
        body = result.error.to_dict()
        # An error in a batch has a type but no status; 400 stands for "no better known", and server-side types
        # are recognised by their name. Nothing is charged for it, not even where it timed out.
        failure = replace(status_failure(400, body, {}, secret=secret), may_have_charged=False)
        return BatchOutcome(custom_id, None, failure, again=failure.kind in _ON_THEIR_SIDE)
    words = "the provider's time limit passed first" if result.type == "expired" else "it was cancelled"
    return BatchOutcome(custom_id, None, Failure(FailureKind.SERVER_ERROR, words), again=True)
