"""What the report refuses, in one sentence."""

from __future__ import annotations

__all__ = ["ReportError"]


class ReportError(Exception):
    """Bad input to the report. Its text is one sentence that says what is wrong and what to do."""
