"""Figures as sentences give them: shares, p-values, times and sizes."""

from __future__ import annotations

from orchestrator.core.comparison import ALPHA

__all__ = ["in_bytes", "in_seconds", "in_times", "p_text", "percent"]

SAME = 1e-9
"""Sums of shares miss 0 and 1 by less than this."""


def percent(share: float, digits: int = 1) -> str:
    """``84.1%``, with as many more digits as it takes not to call 9,999 of 10,000 100.0%, or 1 of them 0.0%."""
    text = f"{share:.{digits}%}"
    if SAME < share < 1 - SAME:
        while float(text[:-1]) in (0.0, 100.0):
            digits += 1
            text = f"{share:.{digits}%}"
    return text


def p_text(value: float) -> str:
    """``p = 0.031``, or ``p < 0.001``; near 0.05 with the digits that say on which side it lies."""
    if value < 0.001:
        return "p < 0.001"
    close = round(value, 3) == ALPHA != value
    return f"p = {value:.5f}" if close else f"p = {value:.3f}"


def in_seconds(value: float) -> str:
    """``0.7 s``, or ``14.4 ms``."""
    return f"{value:.3g} s" if value >= 0.1 else f"{value * 1e3:.3g} ms"


def in_bytes(value: float) -> str:
    """``2.1 GB``, or ``0.7 MB``."""
    return f"{value / 1e9:.3g} GB" if value >= 1e8 else f"{value / 1e6:.3g} MB"


def in_times(value: float) -> str:
    """``5 times``."""
    return f"{value:.3g} times"
