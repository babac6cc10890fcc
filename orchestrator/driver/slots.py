"""What an execution slot is to the driver, how it dies, and which places programs must not run at any more."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, Protocol

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Problem

__all__ = ["Places", "PoolBroken", "Slot", "SlotDied", "Stopped"]

STRIKES: Final = 3
"""Different programs in a row that a place's executor failed on before the place is held to be the cause."""


class SlotDied(Exception):
    """The slot is gone (actor, node or executor); the step may or may not have run."""

    def __init__(self, reason: str, *, suspect: bool = False, lost: bool = False) -> None:
        """``suspect``: its machine is there and its executor failed; ``lost``: its card must not be used again."""
        super().__init__(reason)
        self.suspect = suspect
        self.lost = lost


class PoolBroken(RuntimeError):
    """No slot can be started any more."""


class Stopped(Exception):
    """The sweep is stopping: the step was not started."""


class Slot(Protocol):
    """One place to run programs, one at a time."""

    @property
    def node(self) -> str:
        """Where it is: slots with the same value share a machine."""

    @property
    def place(self) -> str:
        """What fails together, as people would name it: a card, or a machine."""

    @property
    def failure(self) -> str:
        """Why nothing can run on its card; empty where all is well."""

    @property
    def isolation(self) -> str:
        """What its executor enforces."""

    @property
    def card(self) -> str:
        """What its GPU says of itself; empty without one."""

    async def prepare(self, problem: Problem, seed: int) -> Preparation:
        """Run the reference. Raises :class:`SlotDied`."""

    async def run(self, problem: Problem, preparation: Preparation, job: Job) -> Execution:
        """Run a program. Raises :class:`SlotDied`."""

    async def park(self) -> None:
        """End what it runs and keep what it holds, so that nobody else is given it. Raises :class:`SlotDied`."""

    async def close(self) -> None:
        """Give the slot back."""


class Places:
    """Cards and machines that are out, and why.

    A place that fails at once is free again at once, so that left alone it would draw all work to itself.
    """

    def __init__(self) -> None:
        self._strikes: defaultdict[str, set[int]] = defaultdict(set)
        self._out: dict[str, str] = {}

    def __contains__(self, place: str) -> bool:
        return place in self._out

    def reason(self, place: str) -> str:
        """Why a place is out."""
        return self._out[place]

    def worked(self, place: str) -> None:
        """A program got its verdict there."""
        self._strikes.pop(place, None)

    def failed(self, place: str, step: int, error: SlotDied, *, others: bool) -> None:
        """A slot died there while it worked on ``step``.

        Suspicion alone takes nothing out where there are no ``others``: every program gets its tries then, and the
        run its end.
        """
        if error.lost:
            self.lost(place, str(error))
        elif error.suspect:
            self._strikes[place].add(step)
            if others and len(self._strikes[place]) >= STRIKES:
                self.lost(place, f"{STRIKES} programs in a row could not be judged there, the last: {error}")

    def lost(self, place: str, reason: str) -> None:
        """Nothing may run there any more."""
        self._out.setdefault(place, reason)
