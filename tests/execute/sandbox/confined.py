"""Running a function in a forked child and looking at how it ended, for tests of one mechanism at a time."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

__all__ = ["in_child"]


def in_child(body: Callable[[], object]) -> str:
    """Run ``body`` in a fork; return the text of what it returned, or the traceback of what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            text = str(body())
        except BaseException:  # noqa: BLE001 - the fork must not go on as the test.
            text = traceback.format_exc()
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as said:
        text = said.read()
    os.waitpid(pid, 0)
    return text
