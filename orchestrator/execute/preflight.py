"""What isolation this machine gives, in words."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.execute.boxes import Standing

__all__ = ["Isolation", "IsolationRefused", "describe"]


class IsolationRefused(RuntimeError):
    """This machine gives less isolation than is required."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How candidates are confined."""

    text: str
    """``full``, ``partial (what is missing)`` or ``none``: part of every verdict's key."""
    level: int
    """2 full, 1 partial, 0 less than both Landlock or namespaces with seccomp."""
    lines: tuple[str, ...]
    """One mechanism a line, for people."""

    def require(self, wanted: str) -> None:
        """Refuse to go on with less than ``wanted``: ``full``, ``partial`` or ``none``.

        Raises:
            IsolationRefused: with what is missing.
        """
        if self.level < {"full": 2, "partial": 1, "none": 0}[wanted]:
            raise IsolationRefused(f"isolation.require={wanted}, but this machine gives: {self.text}")


def describe(standing: Standing) -> Isolation:
    """Say how the box that stands is isolated."""
    missing: list[str] = []
    if not standing.namespaces:
        missing.append("no namespaces")
    if not standing.landlock:
        missing.append("no Landlock")
    if not standing.seccomp:
        missing.append("no seccomp")
    if not missing:
        text, level = "full", 2
    elif standing.seccomp and (standing.namespaces or standing.landlock):
        text, level = f"partial ({', '.join(missing)})", 1
    else:
        text, level = f"none ({', '.join(missing)})", 0
    why = f" (refused: {standing.refused})" if standing.refused else ""
    lines = (
        f"namespaces (user, PID, network, mount, IPC): {'yes' if standing.namespaces else 'no' + why}",
        f"Landlock: {f'ABI {standing.landlock}' if standing.landlock else 'no'}",
        f"seccomp: {'yes' if standing.seccomp else 'no'}",
        f"candidates run as: {'root without capabilities' if standing.uid == 0 else f'user {standing.uid}'}",
    )
    return Isolation(text, level, lines)
