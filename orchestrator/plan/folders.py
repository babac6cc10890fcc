"""Chooses where a run's files go, and refuses a folder that cannot take them."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path

from orchestrator.config.errors import ConfigError, show
from orchestrator.config.paths import absolute
from orchestrator.plan.model import Plan

__all__ = ["PLAN_FILE", "check_log", "choose_run_dir", "recorded_digest", "same_runs"]

PLAN_FILE = "plan.json"


def choose_run_dir(plan: Plan, now: datetime) -> Path:
    """``run.dir``, or ``runs/<sweep>-<time>`` under the current folder; absolute, and not made yet.

    Raises:
        ConfigError: it cannot be written to, or holds another run or other files.
    """
    asked = plan.config.run.dir
    if asked is None:
        stem = Path.cwd() / "runs" / f"{plan.name}-{now.astimezone():%Y%m%d-%H%M%S}"
        folder, number = stem, 2
        while folder.exists():
            folder, number = stem.with_name(f"{stem.name}-{number}"), number + 1
    else:
        folder = absolute(asked, "run.dir")
    _check_writable(folder, f"run.dir={folder}")
    if folder.is_dir() and any(folder.iterdir()):
        digest = recorded_digest(folder)
        if digest is None:
            raise ConfigError(f"run.dir={folder} holds other files; name a new or an empty folder")
        if digest == plan.digest:
            raise ConfigError(f"run.dir={folder} holds this same plan already; resume={folder} continues it")
        raise ConfigError(f"run.dir={folder} holds a run of another plan; name a new folder")
    return folder


def check_log(log: str) -> None:
    """Refuse a ``rehearsal.log`` that the rehearsal server could not open; nothing is made.

    Raises:
        ConfigError: it is a folder, lies in none, or cannot be written to.
    """
    file, given = Path(log).absolute(), f"rehearsal.log={show(log)}"
    if file.is_dir():
        raise ConfigError(f"{given} is a folder; name a file")
    if not file.exists():
        if not file.parent.is_dir():
            raise ConfigError(f"{given} cannot be made, because {file.parent} is not a folder")
        _check_writable(file.parent, given)
    elif not os.access(file, os.W_OK):
        raise ConfigError(f"{given} cannot be written to; name another file")


def recorded_digest(folder: Path) -> str | None:
    """The digest of the plan that a run's folder records; None where it is no run's folder."""
    try:
        recorded = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = recorded.get("digest") if isinstance(recorded, dict) else None
    return found if isinstance(found, str) else None


def same_runs(plan: Plan) -> list[Path]:
    """Folders beside the plan's own that record an identical plan, the latest last."""
    beside = plan.run_dir.parent
    if not beside.is_dir():
        return []
    found = [
        folder for folder in beside.iterdir() if folder != plan.run_dir and recorded_digest(folder) == plan.digest
    ]
    return sorted(found, key=lambda folder: (folder / PLAN_FILE).stat().st_mtime)


def _check_writable(folder: Path, given: str) -> None:
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise ConfigError(f"{given} cannot be made, because {nearest} is not a folder")
    try:
        # Asking the permission bits is not enough: root passes them on file systems that take nothing.
        Path(tempfile.mkdtemp(prefix=".writable-", dir=nearest)).rmdir()
    except OSError:
        raise ConfigError(f"{given} cannot be written to, because {nearest} is read-only") from None
