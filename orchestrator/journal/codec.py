"""Replies and executions as JSON text, and back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from orchestrator.core.execution import ExampleOutcome, Execution, Preparation
from orchestrator.core.generation import Reply, Usage
from orchestrator.core.gpu import GpuFeedback, GpuMeasures
from orchestrator.core.problems import Limits
from orchestrator.core.verdicts import Verdict

__all__ = [
    "dump",
    "load_execution",
    "load_preparation",
    "load_reply",
]


def dump(value: Any) -> str:
    """JSON text of a dataclass; bytes become hex. Surrogates survive (ASCII escapes)."""
    return json.dumps(dataclasses.asdict(value), separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"cannot journal a {type(value).__name__}")


def load_reply(text: str) -> Reply:
    """The reply that :func:`dump` wrote."""
    fields = json.loads(text)
    return Reply(**{**fields, "usage": Usage(**fields["usage"])})


def load_execution(text: str) -> Execution:
    """The execution that :func:`dump` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields["verdict"] = Verdict(fields["verdict"])
    fields["outcomes"] = tuple(ExampleOutcome(**o) for o in fields["outcomes"])
    if fields["gpu"] is not None:
        fields["gpu"] = GpuMeasures(**fields["gpu"])
    if fields["gpu_feedback"] is not None:
        feedback: dict[str, Any] = fields["gpu_feedback"]
        feedback["lines"] = tuple(feedback["lines"])
        fields["gpu_feedback"] = GpuFeedback(**feedback)
    return Execution(**fields)


def load_preparation(text: str) -> Preparation:
    """The preparation that :func:`dump` wrote."""
    fields = json.loads(text)
    return Preparation(
        **{
            **fields,
            "verdict": Verdict(fields["verdict"]),
            "limits": Limits(**fields["limits"]),
            "dropped_examples": tuple(fields["dropped_examples"]),
            "recording": bytes.fromhex(fields["recording"]),
        }
    )
