"""Executors of one host take turns at what they would slow each other down at.

At making contexts, for one, which the driver does step by step for all cards together. Two executors that begin
together wait for each other at every step: both take twice as long, and stay in step from then on. One after the
other, the first judges a program while the second makes its context. Measured on a host with two H200: a context
makes some 600 calls of the driver, which take 116 ms in all alone, and 240 ms beside another.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["Turn", "context_turn", "cpu_turn"]

_PATIENCE_S: Final = 2.0
_LOOK_S: Final = 0.05


class Turn:
    """One executor's part in taking turns."""

    def __init__(self, name: str, patience_s: float | None = None) -> None:
        """Hold nothing yet.

        Args:
            name: tells those apart who take turns.
            patience_s: go ahead after so long a wait, with no turn; None: wait as long as it takes.
        """
        # An abstract socket: free again when nobody holds it open any more, so also when its holders are gone.
        self._name = f"\0orchestrator-{name}"
        self._patience_s = patience_s
        self._held: socket.socket | None = None
        self._since: float | None = None

    @property
    def fds(self) -> tuple[int, ...]:
        """What holds a turn that has been taken: for who does the work, and closes it when that is done."""
        return () if self._held is None else (self._held.fileno(),)

    def take(self) -> bool:
        """Whether to go ahead: it is this executor's turn now, or it has waited long enough. Never blocks."""
        if self._held is not None:
            return True
        now = time.monotonic()
        self._since = self._since if self._since is not None else now
        mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mine.bind(self._name)
        except OSError as error:
            mine.close()
            # On a system without such sockets nobody takes turns.
            taken = error.errno == errno.EADDRINUSE
            if taken and (self._patience_s is None or now - self._since < self._patience_s):
                return False
        else:
            self._held = mine
        self._since = None
        return True

    def leave(self) -> None:
        """Let go of it: it is over when those who were handed it have closed it too."""
        if self._held is not None:
            self._held.close()
            self._held = None


def context_turn() -> Turn:
    """At making contexts. Waiting only saves time: a holder that hangs is not waited for long."""
    return Turn("context", _PATIENCE_S)


@contextmanager
def cpu_turn() -> Iterator[None]:
    """At timing on all cores of this machine, among this user's executors: waits for it and holds it."""
    turn = Turn(f"cpu-timing-{os.getuid()}")
    while not turn.take():
        time.sleep(_LOOK_S)
    try:
        yield
    finally:
        turn.leave()
