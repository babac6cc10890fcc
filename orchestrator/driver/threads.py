"""Work in a thread that has to come to its end before anything else is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

__all__ = ["to_its_end"]

T = TypeVar("T")


async def to_its_end(work: Callable[[], T], *, on_cancel: Callable[[], None] = lambda: None) -> T:
    """Do ``work`` in a thread. Who is cancelled meanwhile waits for it: a thread cannot be stopped, and what it
    starts could not be ended before it stands. Who is cancelled again goes at once.

    Args:
        on_cancel: called when the wait begins.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        on_cancel()
        # Whatever it came to: nobody asks any more.
        await asyncio.gather(asyncio.shield(task), return_exceptions=True)
        raise
