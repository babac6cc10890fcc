"""Feedback as the text that goes back to a model: bounded, structured, from feedback tests only."""

from __future__ import annotations

from typing import Final

from orchestrator.core.execution import ExampleOutcome, Feedback
from orchestrator.core.verdicts import Verdict

__all__ = ["feedback_text"]

MOST_EXAMPLES: Final = 5
"""Failing examples shown: more adds tokens that are paid for again on every later turn."""
MOST_CHARACTERS: Final = 600
"""Of one value or of the output."""


def feedback_text(feedback: Feedback) -> str:
    """Say in plain words what happened when the program was tried.

    Nothing here can hold a scoring test, unless an oracle tells: all other :class:`Feedback` is made from feedback
    tests alone.
    """
    if feedback.verdict is Verdict.NO_CODE:
        return f"No program could be taken from your reply: {feedback.reason}."
    parts: list[str] = []
    failing = [o for o in feedback.outcomes if not o.passed]
    if feedback.verdict is Verdict.PASSED:
        parts.append("Your program passed the tests that were tried.")
    elif failing:
        total = len(feedback.outcomes)
        parts.append(f"Your program failed {len(failing)} of {total} examples from the task.")
        parts.extend(_example(outcome) for outcome in failing[:MOST_EXAMPLES])
        if len(failing) > MOST_EXAMPLES:
            parts.append(f"({len(failing) - MOST_EXAMPLES} further failing examples are left out.)")
    elif feedback.gpu is not None:
        parts.append("Your program failed.")
    else:
        parts.append(f"Your program could not be used: {clip(feedback.reason)}")
    if failing and feedback.verdict in (Verdict.TIMEOUT, Verdict.OUT_OF_MEMORY, Verdict.ERROR):
        parts.append(f"It ended with: {clip(feedback.reason)}")
    if feedback.gpu is not None:
        parts.extend(feedback.gpu.lines)
    if feedback.output.strip():
        parts.append(f"It printed:\n{clip(feedback.output.strip())}")
    return "\n".join(parts)


def _example(outcome: ExampleOutcome) -> str:
    return f"- {clip(outcome.call)}\n  expected: {clip(outcome.expected)}\n  got: {clip(outcome.got)}"


def clip(text: str) -> str:
    """At most :data:`MOST_CHARACTERS`, the middle left out."""
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]} ... ({len(text) - 2 * half} characters left out) ... {text[-half:]}"
