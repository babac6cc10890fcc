"""Candidates kept armed: their context exists, and they have seen no code."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.execute.gpu.family import Child, Family

__all__ = ["ArmingFailed", "Spares"]

_ARM_S: Final = 45.0
_KEPT: Final = 4096


class ArmingFailed(RuntimeError):
    """A candidate ended, or hung, before it was armed: the card (or the sandbox) does not let it."""


class Spares:
    """Arms candidates ahead of need, never while a program is being timed."""

    def __init__(self, family: Family, count: int, config: Mapping[str, Any], bounds: Mapping[str, Any]) -> None:
        """Arm nothing yet.

        Args:
            family: forks them.
            count: how many are kept, armed or on their way.
            config: for every candidate.
            bounds: of every candidate's sandbox.
        """
        self._family, self._count = family, max(count, 1)
        self._config, self._bounds = config, bounds
        self.tier = "bare"
        self._armed: list[Child] = []
        self._arming: list[Child] = []
        self.spans: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        """When each of the last was begun and armed (time.monotonic())."""

    @property
    def armed(self) -> int:
        """Candidates that wait for a program."""
        return len(self._armed)

    @property
    def arming(self) -> int:
        """Candidates on their way."""
        return len(self._arming)

    def restock(self) -> None:
        """Begin to arm what is missing."""
        while len(self._armed) + len(self._arming) < self._count:
            self.restock_one()

    def restock_one(self) -> None:
        """Begin to arm a single one."""
        self._arming.append(self._family.spawn("candidate", self.tier, self._config, self._bounds))

    def look(self) -> None:
        """Take note of candidates that have become armed.

        Raises:
            ArmingFailed: one ended or hangs.
        """
        for child in list(self._arming):
            if child.inbox:
                child.inbox.clear()
                self._family.mute(child)
                self._arming.remove(child)
                self._armed.append(child)
                self.spans.append((child.since, time.monotonic()))
            elif child.ending is not None or time.monotonic() - child.since > _ARM_S:
                self._arming.remove(child)
                said = child.output().strip().splitlines()
                self._family.end(child, "it did not arm")
                raise ArmingFailed(said[-1][:300] if said else "it ended without a word")
        for child in list(self._armed):
            if child.ending is not None:
                self._armed.remove(child)
                self._family.forget(child)

    def take(self) -> Child:
        """The longest armed candidate; waits for one if need be.

        Raises:
            ArmingFailed: none can be armed.
        """
        self.look()
        if not self._armed and not self._arming:
            self.restock_one()
        while not self._armed:
            self._family.turn(0.05)
            self.look()
        return self._armed.pop(0)

    def settle(self) -> None:
        """Wait until none is on its way."""
        while self._arming:
            self._family.turn(0.05)
            self.look()

    def discard(self) -> None:
        """End all."""
        for child in [*self._armed, *self._arming]:
            self._family.end(child, "not needed")
        self._armed.clear()
        self._arming.clear()
