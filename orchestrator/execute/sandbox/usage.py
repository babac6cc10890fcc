"""What a family of processes uses, of processors, memory and scratch space, read from outside."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["Usage", "family_usage", "file_bytes"]

_BLOCK: Final = 512
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
            with open(f"/proc/{pid}/stat", "rb") as line:
                # The name, in parentheses, may hold anything; what follows is numbers from field 3 on.
                fields = line.read().rpartition(b")")[2].split()
        except OSError:
            continue
        cpu += sum(int(f) for f in fields[11:15])
        resident += max(0, int(fields[21]) * _PAGE - shared_bytes)
        tasks += int(fields[17])
    return Usage(cpu / _TICKS, resident, tasks)


def file_bytes(folder: str, pids: Iterable[int], most_files: int) -> int | None:
    """Return what the files beneath ``folder`` take up, and those that ``pids`` hold open without a name.

    None where there are more than ``most_files``. For folders without a quota of their own.
    """
    total = 0
    count = 0
    pending = [folder]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                count += 1
                if count > most_files:
                    return None
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
            for descriptor in descriptors:
                with contextlib.suppress(OSError):
                    held = descriptor.stat()
                    if stat.S_ISREG(held.st_mode) and held.st_nlink == 0:
                        total += held.st_blocks * _BLOCK
    return total
