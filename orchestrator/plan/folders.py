"""Chooses where a run's files go, and refuses a place that cannot take them."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path

from orchestrator.config.errors import ConfigError, show
from orchestrator.config.paths import absolute
from orchestrator.config.schema import Config
from orchestrator.plan.model import Plan

__all__ = [
    "PLAN_FILE",
    "cache_file",
    "check_cache",
    "check_log",
    "check_results_uri",
    "choose_run_dir",
    "recorded_digest",
    "same_runs",
]

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
    check_results_uri(plan)
    return folder


def check_results_uri(plan: Plan) -> None:
    """Refuse a ``run.results_uri`` that tables cannot be written to, or where another run's are.

    Raises:
        ConfigError: naming the place and what would be right.
    """
    uri = plan.config.run.results_uri
    if uri is None:
        return
    from pyarrow import fs

    from orchestrator.track.tables import file_exists, open_filesystem, read_rows

    table = f"{uri.rstrip('/')}/results.parquet"
    own = _recorded(plan.run_dir, "run_id") if plan.resume else None
    try:
        filesystem, path = open_filesystem(uri)
        if own is not None:
            taken = file_exists(table) and any(row["run_id"] != own for row in read_rows(table, ["run_id"]))
        else:
            # A table under its temporary name is of a run under way, or of one that was killed and can be resumed.
            taken = file_exists(table) or file_exists(f"{table}.partial")
    except (OSError, ValueError) as error:
        why = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(
            f"run.results_uri={uri} is no place that tables can be written to, as s3://bucket/path or file:///path "
            f"would be: {why}"
        ) from None
    if taken:
        raise ConfigError(f"run.results_uri={uri} holds another run's results.parquet; name a new place")
    if isinstance(filesystem, fs.LocalFileSystem):
        _check_writable(Path(path), f"run.results_uri={uri}")


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


def cache_file(config: Config) -> Path:
    """The file of the replies that runs share: ``cache_path``, or ``.cache/replies.sqlite`` under this folder.

    Raises:
        ConfigError: ``cache_path`` begins with a user who has no home here.
    """
    if config.cache_path is None:
        return Path.cwd() / ".cache" / "replies.sqlite"
    return absolute(config.cache_path, "cache_path")


def check_cache(config: Config) -> None:
    """Refuse a ``cache_path`` that could not be opened, where replies are shared; nothing is made.

    Raises:
        ConfigError: it is a folder, or cannot be made or written to.
    """
    if config.cache == "off":
        return
    file = cache_file(config)
    given = f"cache_path={file}"
    if file.is_dir():
        raise ConfigError(f"{given} is a folder; name a file")
    _check_writable(file.parent, given)
    if file.exists() and not os.access(file, os.W_OK):
        raise ConfigError(f"{given} cannot be written to; name another file")


def recorded_digest(folder: Path) -> str | None:
    """The digest of the plan that a run's folder records; None where it is no run's folder."""
    return _recorded(folder, "digest")


def _recorded(folder: Path, name: str) -> str | None:
    try:
        recorded = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = recorded.get(name) if isinstance(recorded, dict) else None
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
