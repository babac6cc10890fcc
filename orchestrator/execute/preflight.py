"""What isolation this machine gives: which mechanisms stand, and what a program can still do that it should not.

``python -m orchestrator.execute.preflight`` prints it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.core.problems import Limits
from orchestrator.execute.boxes import Standing
from orchestrator.execute.sandbox import escapes
from orchestrator.execute.sandbox.syscalls import NUMBERS, number
from orchestrator.execute.settings import ExecutorSettings
from orchestrator.execute.supervisor import RefereeJob, Supervisor

__all__ = ["IsolationRefused", "IsolationReport", "describe", "preflight", "try_escapes"]

_LIMITS: Final = Limits(cpu_s=10, wall_s=60)


class IsolationRefused(RuntimeError):
    """This machine gives less isolation than is required."""


@dataclass(frozen=True, slots=True)
class IsolationReport:
    """How candidates are confined here."""

    text: str
    """``full``, ``partial (what is missing)`` or ``none (...)``: part of every verdict's key."""
    level: int
    """2: full; 1: seccomp, with Landlock or namespaces; 0: less than that."""
    lines: tuple[str, ...]
    """For people: one line a mechanism, one on the escapes that were tried."""

    def require(self, wanted: str) -> None:
        """Refuse to go on with less than ``wanted``: ``full``, ``partial`` or ``none``.

        Raises:
            IsolationRefused: with what is missing.
        """
        if self.level < {"full": 2, "partial": 1, "none": 0}[wanted]:
            raise IsolationRefused(f"isolation.require={wanted}, but this machine gives: {self.text}")


def preflight(settings: ExecutorSettings | None = None) -> IsolationReport:
    """Start a sandbox, try to get out of it, and say what this machine gives. Leaves nothing behind.

    Raises:
        BoxFailed: a sandbox process did not start.
    """
    supervisor = Supervisor(settings or ExecutorSettings())
    try:
        return describe(supervisor.zygote(None).standing, try_escapes(supervisor))
    finally:
        supervisor.close()


def try_escapes(supervisor: Supervisor) -> dict[str, str]:
    """Make every attempt of :mod:`orchestrator.execute.sandbox.escapes` in one candidate; return those that worked.

    Raises:
        RuntimeError: the attempts themselves could not be made.
    """
    # The interpreter's own module stands for any file: it belongs to somebody else and can be named here.
    program = Path(escapes.__file__).read_text(encoding="utf-8")
    outside: dict[str, str | int] = {
        "pid": os.getpid(),
        "file": str(Path(__file__)),
        "folder": str(Path(sys.executable).parent),
    }
    outside.update({f"nr_{name}": nr for name in NUMBERS if (nr := number(name)) is not None})
    examples = [[f"attempt({name!r}, outside)", repr(escapes.REFUSED)] for name in escapes.names()]
    job = RefereeJob(
        key="preflight",
        tests={"setup": f"outside = {outside!r}", "source": None, "examples": examples, "calls": []},
        entry="attempt",
        program=program,
        test_seed="",
        batch=False,
        record=False,
        discard=True,
        referee_cpu_s=0.0,
    )
    seen = supervisor.run(job, _LIMITS, None)
    if len(seen.outcomes) != len(examples):
        raise RuntimeError(f"the isolation could not be tried: {seen.reply} {seen.stop}")
    return {escapes.names()[index]: got for index, passed, got in seen.outcomes if not passed}


def describe(standing: Standing, escaped: dict[str, str]) -> IsolationReport:
    """Say how a box that stands so isolates, with what a program in it could still do."""
    missing = [
        text
        for there, text in (
            (standing.namespaces, "no namespaces"),
            (standing.landlock, "no Landlock"),
            (standing.seccomp, "no seccomp"),
        )
        if not there
    ]
    missing += [f"can {name}" for name in sorted(escaped)]
    if not missing:
        text, level = "full", 2
    elif standing.seccomp and (standing.namespaces or standing.landlock):
        text, level = f"partial ({', '.join(missing)})", 1
    else:
        text, level = f"none ({', '.join(missing)})", 0
    why = f" ({standing.refused})" if standing.refused else ""
    tried = len(escapes.names())
    lines = (
        f"namespaces (user, PID, network, mount, IPC): {'yes' if standing.namespaces else 'no' + why}",
        f"Landlock: {f'ABI {standing.landlock}' if standing.landlock else 'no'}",
        f"seccomp: {'yes' if standing.seccomp else 'no'}",
        f"candidates run as: {'root without capabilities' if standing.uid == 0 else f'user {standing.uid}'}",
        f"escapes tried: {tried}, refused: {tried - len(escaped)}",
        *(f"  open: {name}: {got}" for name, got in sorted(escaped.items())),
    )
    return IsolationReport(text, level, lines)


if __name__ == "__main__":
    found = preflight(ExecutorSettings(isolation="none"))
    print("\n".join([f"isolation: {found.text}", *found.lines]))
