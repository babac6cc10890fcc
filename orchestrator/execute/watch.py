"""The watch over a running program: what it uses, what it prints, and which limit it passes."""

from __future__ import annotations

import os
from typing import Final, Literal

from orchestrator.core.problems import Limits
from orchestrator.execute.boxes import SCRATCH_BYTES, SCRATCH_FILES, Box, BoxFailed
from orchestrator.execute.sandbox import process
from orchestrator.execute.sandbox.usage import Usage, family_usage, file_bytes

__all__ = ["Output", "Stop", "Watch", "counts_processes"]

Stop = Literal["cpu", "wall", "memory", "tasks", "files", "referee"]
"""Why a candidate was stopped: its own limits, or (``referee``) that the tests did not end on its answers."""

_READS: Final = 32
"""Reads of one pipe's worth in a row: a program may write as fast as this reads."""
_REFEREE_CPU_S: Final = 10.0
"""What the tests may use on any answers; ten times what they used on the reference's, if that is more."""


class Watch:
    """Looks at a candidate and at the referee from outside, and says when a limit is passed."""

    def __init__(self, zygote: Box, referee: Box, pidfd: int, limits: Limits, *, referee_cpu_s: float) -> None:
        self.limits = limits
        self.most = Usage(0.0, 0, 0)
        """The most that any look saw."""
        self._zygote = zygote
        self._referee = referee
        self._pidfd = pidfd
        self._pid: int | None = None
        self._count = not counts_processes(zygote)
        self._referee_began = process.cpu_seconds(referee.pid) or 0.0
        self._referee_limit = max(_REFEREE_CPU_S, 10 * referee_cpu_s)

    def look(self, elapsed_s: float) -> Stop | None:
        """Return which limit is passed, if any."""
        # Orphans become the zygote's children, so its descendants are all there is. A family that is too large
        # already grows while it is read: what is beyond the limit is left out.
        most = self.limits.processes + 1 if self._count else None
        if self._pid is None:
            self._pid = process.host_pid(self._pidfd)
        family = {self._pid, *process.descendants(self._zygote.pid, most)}
        now = family_usage(family, self._zygote.standing.resident_bytes)
        cpu = max(now.cpu_s, process.cpu_seconds(self._pid) or 0.0)
        self.most = Usage(
            max(self.most.cpu_s, cpu),
            max(self.most.resident_bytes, now.resident_bytes),
            max(self.most.tasks, now.tasks),
        )
        if now.resident_bytes > self.limits.memory_bytes:
            return "memory"
        if self.most.cpu_s > 2 * self.limits.cpu_s:
            return "cpu"
        if elapsed_s > self.limits.wall_s:
            return "wall"
        # A family that was cut off is too large also where some are gone by the time they are looked at.
        if self._count and max(now.tasks, len(family)) > self.limits.processes:
            return "tasks"
        if not self._zygote.standing.namespaces:
            # Without a mount of its own the scratch folder has no quota, and lies in the memory of all.
            used = file_bytes(self._zygote.scratch, family, SCRATCH_FILES)
            if used is None or used > SCRATCH_BYTES:
                return "files"
        return None

    def referee_overdue(self) -> bool:
        """True when the tests have used more than they may on any answers.

        Raises:
            BoxFailed: the referee is gone.
        """
        used = process.cpu_seconds(self._referee.pid)
        if used is None:
            raise BoxFailed("the referee ended by itself")
        return used - self._referee_began > self._referee_limit


class Output:
    """What a program prints: kept up to a cap, drained beyond it."""

    def __init__(self, descriptor: int, cap: int) -> None:
        self._descriptor = descriptor
        self._cap = cap
        self._kept = bytearray()

    def drain(self) -> bool:
        """Read some of what is there; False at the end of the stream."""
        # A program may write as fast as this reads, so each call reads only so much.
        for _ in range(_READS):
            try:
                got = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return True
            if not got:
                return False
            self._kept += got[: self._cap - len(self._kept)]
        return True

    def text(self) -> str:
        """What was kept."""
        return self._kept.decode("utf-8", "replace")


def counts_processes(zygote: Box) -> bool:
    """True where the kernel holds candidates to RLIMIT_NPROC: as a user that nobody else is."""
    return zygote.standing.uid != 0 and (zygote.standing.namespaces or zygote.standing.uid != os.getuid())
