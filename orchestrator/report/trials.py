"""What happened in single trials: the turns, with the texts that were exchanged."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.report.load import Run

__all__ = ["TrialKey", "Turn", "read_turns"]

TrialKey = tuple[str, str, int]
"""Cell, problem, sample."""
LIGHT = ("cell", "problem", "sample")
FULL = (
    *LIGHT, "turn", "kind", "program", "reply", "messages", "stop_reason", "model_id", "request_id",
    "input_tokens", "output_tokens", "usd", "verdict", "reason", "feedback", "cpu_s", "wall_s", "synthetic",
    "resumed",
)  # fmt: skip


@dataclass(slots=True)
class Turn:
    """One round of a trial; what did not happen in it stays empty."""

    turn: int
    sent: list[dict[str, str]] = field(default_factory=list)
    """The conversation that was sent: {role, text}."""
    reply: str | None = None
    stop_reason: str | None = None
    model_id: str | None = None
    request_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None
    program: str | None = None
    feedback_verdict: str | None = None
    feedback_reason: str | None = None
    feedback: str | None = None
    """The text that went back to the model."""
    scoring_verdict: str | None = None
    scoring_reason: str | None = None
    cpu_s: float | None = None
    wall_s: float | None = None


def read_turns(run: Run, wanted: Iterable[TrialKey]) -> dict[TrialKey, list[Turn]]:
    """The turns of these trials, by trial, in order. A trial without steps is absent."""
    keys = set(wanted)
    light = enumerate(run.steps(LIGHT))
    positions = [i for i, step in light if any(key in keys for key in _keys(step))]
    found: defaultdict[TrialKey, dict[int, Turn]] = defaultdict(dict)
    for step in run.steps(FULL, positions):
        number = int(step.get("turn") or 1)
        for key in _keys(step):
            if key in keys:
                _add(found[key].setdefault(number, Turn(number)), step)
    return {key: [turns[n] for n in sorted(turns)] for key, turns in found.items()}


def _keys(step: dict[str, Any]) -> list[TrialKey]:
    return [(cell, str(step.get("problem")), int(step.get("sample") or 0)) for cell in step["cell"]]


def _add(turn: Turn, step: dict[str, Any]) -> None:
    kind = step.get("kind")
    if step.get("program") is not None:
        turn.program = step["program"]
    if kind == "generation":
        turn.sent = _messages(step.get("messages"))
        for name in ("reply", "stop_reason", "model_id", "request_id", "input_tokens", "output_tokens", "usd"):
            setattr(turn, name, step.get(name))
    elif kind == "feedback":
        turn.feedback_verdict, turn.feedback_reason = step.get("verdict"), step.get("reason")
        turn.feedback = step.get("feedback")
    elif kind in ("scoring", "reference"):
        turn.scoring_verdict, turn.scoring_reason = step.get("verdict"), step.get("reason")
        turn.cpu_s, turn.wall_s = step.get("cpu_s"), step.get("wall_s")


def _messages(value: Any) -> list[dict[str, str]]:
    if not value:
        return []
    try:
        found = json.loads(value)
    except ValueError:
        return [{"role": "user", "text": str(value)}]
    if not isinstance(found, list):
        return []
    return [{"role": str(m.get("role")), "text": str(m.get("text"))} for m in found if isinstance(m, dict)]
