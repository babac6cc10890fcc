"""A step that waits for an execution slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from orchestrator.driver.slots import Slot

__all__ = ["Waiting", "Work"]

Work = Callable[[Slot], Awaitable[object]]


@dataclass(order=True, slots=True)
class Waiting:
    """A step, and who waits for it. Sorted by priority, then by age."""

    order: tuple[int, int]
    work: Work = field(compare=False)
    done: asyncio.Future[object] = field(compare=False)
    tries: int = field(default=0, compare=False)
    tried: set[str] = field(default_factory=set, compare=False)
    """Places where its slot died."""

    def give(self, result: object) -> None:
        """Tell who waits, if anybody still does."""
        if not self.done.done():
            self.done.set_result(result)

    def refuse(self, error: Exception) -> None:
        """Tell who waits, if anybody still does, that there will be no result."""
        if not self.done.done():
            self.done.set_exception(error)
