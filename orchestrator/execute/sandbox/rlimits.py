"""Resource limits of one candidate."""

from __future__ import annotations

import math
import resource
from typing import NamedTuple

__all__ = ["ResourceLimits", "apply", "pairs"]


class ResourceLimits(NamedTuple):
    """What the kernel itself enforces; None leaves a limit as it is."""

    cpu_s: float | None = None
    """Seconds after which the kernel kills; a backstop above what the supervisor stops at."""
    address_space_bytes: int | None = None
    """RLIMIT_AS, everything included."""
    data_bytes: int | None = None
    """RLIMIT_DATA, where big reservations of address space are normal."""
    file_bytes: int | None = None
    open_files: int | None = None
    processes: int | None = None
    """Counted per user and user namespace; the kernel does not hold root to it."""
    stack_bytes: int | None = 8 << 20
    """Set, so that deep recursion ends at the same depth on every machine."""


def pairs(limits: ResourceLimits) -> list[tuple[int, int]]:
    """Return which limit is to be set to what; what is above this process's hard limit becomes the hard limit.

    Core dumps are always off.
    """
    cpu = None if limits.cpu_s is None else math.ceil(limits.cpu_s)
    wanted = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, limits.address_space_bytes),
        (resource.RLIMIT_DATA, limits.data_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_STACK, limits.stack_bytes),
    )
    found: list[tuple[int, int]] = []
    for which, value in wanted:
        if value is not None:
            hard = resource.getrlimit(which)[1]
            found.append((which, value if hard == resource.RLIM_INFINITY else min(value, hard)))
    return found


def apply(limits: ResourceLimits) -> None:
    """Set soft and hard limits alike (as PID 1 of a namespace a process ignores what a soft limit sends)."""
    for which, value in pairs(limits):
        resource.setrlimit(which, (value, value))
