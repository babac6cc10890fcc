"""What a family of processes uses, read from outside."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["Usage", "family_usage"]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """Sums over a family at one moment."""

    cpu_s: float
    """User + system, children that were waited for included; in steps of a clock tick (10 ms)."""
    resident_bytes: int
    """Above ``shared_bytes`` a process, which each got from the zygote."""
    tasks: int
    """Processes and threads."""


def family_usage(pids: Iterable[int], shared_bytes: int = 0) -> Usage:
    """Sum up these processes; those that are gone count nothing."""
    cpu = 0
    resident = 0
    tasks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as stat:
                # The name, in parentheses, may hold anything; what follows is numbers from field 3 on.
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue
        cpu += sum(int(f) for f in fields[11:15])
        resident += max(0, int(fields[21]) * _PAGE - shared_bytes)
        tasks += int(fields[17])
    return Usage(cpu / _TICKS, resident, tasks)
