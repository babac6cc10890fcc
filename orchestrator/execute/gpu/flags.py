"""Two shared pages of counters by which the referee starts a call and learns that it returned.

Orders are written by the referee alone: the page is sealed against further writable mappings before the
descriptor leaves the referee. Answers are written by the candidate and mean no more than "look now".
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Final

__all__ = ["DONE", "GO", "PREPARE", "READY", "TOUCH", "map_page", "new_page"]

PREPARE: Final = 0
"""Orders: number of the call to get ready for; -1 ends the calls."""
GO: Final = 1
"""Orders: number of the call to make."""
TOUCH: Final = 2
"""Orders: 1 where the call to get ready for is the built-in touch, 0 where it is the program."""
READY: Final = 0
"""Answers: number of the call that the candidate waits for, spinning."""
DONE: Final = 1
"""Answers: number of the call that returned, negative if it raised."""

_PAGE: Final = 4096
_F_SEAL_FUTURE_WRITE: Final = 0x0010


def new_page(read_only: bool) -> tuple[int, memoryview]:
    """A descriptor to hand on, and this side's writable view of the page as signed 64-bit words.

    Args:
        read_only: nobody who maps the descriptor from now on may write.
    """
    fd = os.memfd_create("flags", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _PAGE)
    view = memoryview(mmap.mmap(fd, _PAGE)).cast("q")
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    if read_only:
        seals |= _F_SEAL_FUTURE_WRITE
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd, view


def map_page(fd: int, write: bool) -> memoryview:
    """The words of a page that somebody else made. The descriptor may be closed after."""
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
    return memoryview(mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, protection)).cast("q")
