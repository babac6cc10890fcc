"""How strongly candidates are isolated: what the machine refuses, and whether that is enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["IsolationMissing", "describe", "refused"]


class IsolationMissing(RuntimeError):
    """The machine gives less isolation than the configuration requires."""


def refused(required: str, report: Mapping[str, Any]) -> dict[str, str]:
    """What was refused of each tier, strongest first; empty texts for what works.

    Args:
        required: ``full``, ``partial`` or ``none``.
        report: the zygote's: ``tiers`` and ``missing``.

    Raises:
        IsolationMissing: it is known already that the requirement cannot be met.
    """
    found: dict[str, str] = dict(report["tiers"])
    lacking = list(report["missing"])
    spaces = not found["spaces"] or not found["root"]
    if required == "full" and (lacking or not spaces):
        raise IsolationMissing(f"isolation=full is required; missing: {', '.join([*lacking, found['spaces']])}")
    if required == "partial" and ("seccomp" in lacking or ("Landlock" in lacking and not spaces)):
        raise IsolationMissing("seccomp and one of Landlock and namespaces are required")
    return found


def describe(required: str, report: Mapping[str, Any], tier: str, found: Mapping[str, str]) -> str:
    """``full``, or ``partial (what is missing)``, for candidates armed in ``tier``.

    Raises:
        IsolationMissing: ``full`` was required.
    """
    lacking = [f"no {name}" for name in report["missing"]]
    if tier == "bare":
        lacking.append(f"no namespaces: {found['spaces'] or found['root']}")
    elif tier == "spaces":
        lacking.append(f"no private file tree: {found['root']}")
    said = f"partial ({'; '.join(lacking)})" if lacking else "full"
    if required == "full" and lacking:
        raise IsolationMissing(f"isolation=full is required, found {said}")
    return said
