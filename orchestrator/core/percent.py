"""Shares as text that never reads as none or all where it is neither."""

from __future__ import annotations

__all__ = ["percent"]

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
