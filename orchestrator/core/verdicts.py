"""The closed set of verdicts."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["GRADED", "Verdict"]


class Verdict(StrEnum):
    """What became of one trial or one execution.

    Only :data:`GRADED` verdicts say something about the system under test; the other two are ours
    (``infrastructure``) or nobody's (``not_run``) and enter neither a rate's numerator nor its denominator.
    """

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    ERROR = "error"
    """Exception, early exit, or the entry point is missing."""
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    NO_CODE = "no_code"
    """The reply holds no program: refusal, cut off, prose only."""
    REJECTED = "rejected"
    """The program broke a rule of the problem."""
    INFRASTRUCTURE = "infrastructure"
    """Our failure, after retries; never counted against the model."""
    NOT_RUN = "not_run"
    """Budget used up, or cancelled."""


GRADED: Final[frozenset[Verdict]] = frozenset(Verdict) - {Verdict.INFRASTRUCTURE, Verdict.NOT_RUN}
"""Verdicts that count in rates."""
