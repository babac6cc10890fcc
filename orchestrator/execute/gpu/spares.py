"""Candidates kept armed: their context exists, and they have seen no code."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from orchestrator.execute.gpu import wire
from orchestrator.execute.gpu.family import Child, Family
from orchestrator.execute.gpu.turns import Turn

__all__ = ["ArmingFailed", "Spares"]

_ARM_S: Final = 45.0
_KEPT: Final = 4096
_TURN_S: Final = 0.005
"""Between two looks whether it is this executor's turn."""
_BACKOFF_S: Final = 0.25
"""Between the failure of one to arm and the next try."""
_EVENT_S: Final = 0.05
"""Between two looks where whatever happens wakes us."""


class ArmingFailed(RuntimeError):
    """A candidate ended, or hung, before it was armed: the card (or the sandbox) does not let it."""


class Spares:
    """Arms candidates ahead of need, never while a program is being timed, and in turn with the host's others.

    A candidate is forked, confined and opens the driver first, which needs no turn; then it waits for the word to
    make its context.
    """

    def __init__(
        self,
        family: Family,
        count: int,
        config: Mapping[str, Any],
        bounds: Mapping[str, Any],
        turn: Turn | None = None,
    ) -> None:
        """Arm nothing yet.

        Args:
            family: forks them.
            count: how many are kept, armed or on their way.
            config: for every candidate.
            bounds: of every candidate's sandbox.
            turn: to be waited for before contexts are made; None: nothing is waited for.
        """
        self._family, self._count = family, max(count, 1)
        self._config, self._bounds = config, bounds
        self._turn = turn
        self.tier = "bare"
        self.patience_s = 0.0
        """For how long arming is tried again where it fails: a program may have filled the card, or just have ended
        that did."""
        self._failed, self._failed_at = "", -math.inf
        self._forked: list[Child] = []
        """Not told to arm; those that are ready for it have said so."""
        self._arming: list[Child] = []
        self._armed: list[Child] = []
        self.spans: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        """When each of the last was told to arm and was armed (time.monotonic())."""

    @property
    def armed(self) -> int:
        """Candidates that wait for a program."""
        return len(self._armed)

    @property
    def arming(self) -> int:
        """Candidates that are making their context."""
        return len(self._arming)

    @property
    def tick_s(self) -> float:
        """How long to wait at most before :meth:`restock` may have something to do."""
        return _TURN_S if any(child.inbox for child in self._forked) else _EVENT_S

    def restock(self, count: int | None = None) -> None:
        """Fork what is missing (of ``count``, or all that are kept), and arm it if it is this executor's turn."""
        if self._failed and time.monotonic() < self._failed_at + _BACKOFF_S:
            return
        wanted = self._count if count is None else count
        while len(self._armed) + len(self._arming) + len(self._forked) < wanted:
            self._forked.append(self._family.spawn("candidate", self.tier, self._config, self._bounds))
        ready = [child for child in self._forked if child.inbox]
        turn = self._turn
        if not ready or (turn is not None and not turn.take()):
            return
        try:
            for child in ready:
                child.inbox.clear()
                child.since = time.monotonic()
                self._forked.remove(child)
                self._arming.append(child)
                # One that has died meanwhile is noticed by its end.
                with suppress(OSError):
                    wire.send(child.chan, {"arm": True}, () if turn is None else turn.fds)
        finally:
            if turn is not None:
                # They hold it until they have their contexts, whatever this process is doing then.
                turn.leave()

    def look(self) -> None:
        """Take note of candidates that have become armed, or could not."""
        for child in list(self._arming):
            if child.inbox:
                child.inbox.clear()
                self._family.mute(child)
                self._arming.remove(child)
                self._armed.append(child)
                self._failed = ""
                self.spans.append((child.since, time.monotonic()))
        for waited in (self._arming, self._forked):
            for child in list(waited):
                late = not child.inbox and time.monotonic() - child.since > _ARM_S
                if child.ending is not None or late:
                    waited.remove(child)
                    said = child.output().strip().splitlines()
                    self._family.end(child, "it did not arm")
                    self._failed = said[-1][:300] if said else "it ended without a word"
                    self._failed_at = time.monotonic()
        for child in list(self._armed):
            if child.ending is not None:
                self._armed.remove(child)
                self._family.forget(child)

    def take(self) -> Child:
        """The longest armed candidate; waits for one if need be.

        Raises:
            ArmingFailed: none can be armed, for longer than ``patience_s``.
        """
        self._wait(1)
        return self._armed.pop(0)

    def fill(self, count: int | None = None) -> None:
        """Have ``count`` armed, or all that are kept, and none on its way.

        Raises:
            ArmingFailed: one can't be armed, for longer than ``patience_s``.
        """
        self._wait(self._count if count is None else count)
        self.settle()

    def settle(self) -> None:
        """Wait until none is at work on its way to being armed; tells none to arm."""
        while self._arming or any(not child.inbox for child in self._forked):
            self._family.turn(_EVENT_S)
            self.look()

    def _wait(self, count: int) -> None:
        began = time.monotonic()
        self.look()
        while len(self._armed) < count:
            if self._failed and self._failed_at >= began and time.monotonic() - began >= self.patience_s:
                raise ArmingFailed(self._failed)
            self.restock(count)
            self._family.turn(self.tick_s)
            self.look()
