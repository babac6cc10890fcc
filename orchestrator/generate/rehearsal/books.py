"""Where the server writes down what it does."""

from __future__ import annotations

import json
import os
import time
from collections import Counter

from orchestrator.core.generation import Usage
from orchestrator.generate.rehearsal.composing import Composed
from orchestrator.generate.rehearsal.counts import ServerCounts

__all__ = ["Books"]


class Books:
    """Keeps the counts, which steps have been answered, and the log.

    A line of the log is ``{"at", "event", "step", "attempt", "usage"}``: seconds since the epoch, ``admitted`` (and
    so charged) or ``replied`` (sent to the last byte), what was asked, which try, and its tokens by class.
    """

    def __init__(self, log: str | None = None) -> None:
        """Raises:
        OSError: the log cannot be opened.
        """
        self.counts = ServerCounts()
        self.replies: Counter[str] = Counter()
        """Complete replies by ``<problem>;<sample>;<turn>|<model>|<digest of what was asked>``."""
        # A descriptor, open as long as the process lives, and one write a line: a kill loses nothing.
        self._log = None if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def begin(self) -> None:
        """A request is admitted and being answered."""
        self.counts.in_flight += 1
        self.counts.in_flight_peak = max(self.counts.in_flight_peak, self.counts.in_flight)

    def end(self) -> None:
        """The request is no longer being answered."""
        self.counts.in_flight -= 1

    def reject(self, reason: str) -> None:
        """A request was answered with an error."""
        self.counts.rejected[reason] = self.counts.rejected.get(reason, 0) + 1

    def admit(self, composed: Composed, attempt: int, *, batch: bool = False) -> None:
        """Charge a request that will be answered, or a batch entry that succeeded."""
        if batch:
            self.counts.batch_charged = self.counts.batch_charged + composed.usage
        else:
            self.counts.charged = self.counts.charged + composed.usage
        kind = composed.answer.kind
        self.counts.kinds[kind] = self.counts.kinds.get(kind, 0) + 1
        self._write("admitted", composed, attempt)

    def replied(self, composed: Composed, attempt: int) -> None:
        """A step was answered in full."""
        self.replies[composed.step] += 1
        if self.replies[composed.step] > 1:
            self.counts.repeated += 1
        self._write("replied", composed, attempt)

    def entry(self, result: str) -> None:
        """A batch entry ended."""
        self.counts.batch_entries[result] = self.counts.batch_entries.get(result, 0) + 1

    def _write(self, event: str, composed: Composed, attempt: int) -> None:
        if self._log is None:
            return
        usage: Usage = composed.usage
        line = {
            "at": time.time(),
            "event": event,
            "step": composed.step,
            "attempt": attempt,
            "usage": {name: getattr(usage, name) for name in Usage.__slots__},
        }
        os.write(self._log, json.dumps(line).encode() + b"\n")
