"""What a candidate may say on its line, checked on the trusted side and rebuilt from what is known of it.

A program shares its process with what speaks for it, so anything can come: what is kept must fit into the referee's
own messages, and must not surprise whoever reads it later.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

__all__ = ["FRAMES", "FRAME_TEXT", "MESSAGE_TEXT", "TYPE_TEXT", "BadReply", "clipped", "failure", "number"]

TYPE_TEXT: Final = 100
"""Most characters of an exception's type."""
MESSAGE_TEXT: Final = 6000
"""Most characters of its message."""
FRAMES: Final = 8
"""Most of the program's own frames, the innermost."""
FRAME_TEXT: Final = 300
"""Most characters of one of them."""
_PHASES: Final = ("compile", "load", "run", "rule")
_WIDTH: Final = 4
"""Bytes of JSON that a character may take on average; some take twelve, and a whole text of them is cut shorter."""
_WIDEST: Final = 12


class BadReply(ValueError):
    """A candidate's message is none that it should ever send."""


def clipped(text: str, most: int) -> str:
    """At most ``most`` characters of ``text``, and few enough that they stay small as JSON too.

    A half of a surrogate pair, which no file or database takes, becomes a question mark.
    """
    kept = text[:most].encode("utf-8", "replace").decode()
    return kept if len(json.dumps(kept)) <= _WIDTH * most else kept[: _WIDTH * most // _WIDEST]


def number(value: object) -> float:
    """A value that stands for seconds, or for "yes".

    Raises:
        BadReply: it is no number, not finite, or below zero.
    """
    if not isinstance(value, bool | int | float):
        raise BadReply("an answer that nobody asked for")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found) or found < 0:
        raise BadReply("a number that is no time")
    return found


def failure(said: dict[str, Any]) -> dict[str, Any]:
    """The report of an exception, with the keys that a candidate sends and nothing else.

    Raises:
        BadReply: a part of it is of another kind.
    """
    phase, frames, oom = said.get("phase", "run"), said.get("frames", []), said.get("oom", False)
    kind, message = said.get("type", "Error"), said.get("message", "")
    if phase not in _PHASES or not isinstance(oom, bool) or not isinstance(frames, list):
        raise BadReply("a failure that is not told as it should be")
    if not all(isinstance(text, str) for text in (kind, message, *frames)):
        raise BadReply("a failure that is not told in text")
    return {
        "phase": phase,
        "type": clipped(kind, TYPE_TEXT),
        "message": clipped(message, MESSAGE_TEXT),
        "frames": [clipped(frame, FRAME_TEXT) for frame in frames[-FRAMES:]],
        "oom": oom,
    }
