"""Which of the reference's calls may be sent ahead: those that tell a program nothing of the answers before them.

A program has whatever was sent ahead in its own memory, where it may look. Tests that give an answer back
(``y = candidate(x); assert candidate(y) == y``) would so tell it what the reference answered, and with that what is
expected. An answer is known again as it was, whole or in part; what tests compute from one is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from orchestrator.execute.sandbox.protocol import dump

__all__ = ["Ahead"]

_LEAST_BYTES: Final = 4
"""Of a value as it is sent: what is shorter comes up by chance, and is guessed as soon as found."""
_TAG_BYTES: Final = len('{"t":}')


class Ahead:
    """Follows the reference through the tests and counts the calls up to the first that holds an answer."""

    def __init__(self) -> None:
        self.calls = 0
        """How many may be sent ahead."""
        self._over = False
        self._given: set[bytes] = set()
        self._answers: set[bytes] = set()

    def called(self, data: Any) -> None:
        """Take note of a call (its encoded arguments)."""
        if self._over:
            return
        parts = set(_parts(data))
        if parts & self._answers:
            self._over = True
            return
        self.calls += 1
        self._given |= parts

    def answered(self, text: bytes) -> None:
        """Take note of what came back (a frame's text); what had been given before is no news to a program."""
        if not self._over:
            self._answers |= set(_parts(json.loads(text))) - self._given


def _parts(data: Any) -> Iterator[bytes]:
    """The text of a value and of every value in it, where there is enough of it."""
    pending = [data]
    while pending:
        part = pending.pop()
        if part is None or isinstance(part, bool):
            continue
        text = dump(part)
        if len(text) < _LEAST_BYTES + _TAG_BYTES * isinstance(part, dict):
            continue
        yield text
        if isinstance(part, list):
            pending += part
        elif isinstance(part, dict):
            pending += part.values()
