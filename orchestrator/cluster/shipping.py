"""This program's sources on their way to a cluster's nodes: nothing but modules, small, known by their hash."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from orchestrator.cluster.probe import code_digest

__all__ = ["PACKAGES", "Shipment", "pack", "shipped_by_the_job"]

PACKAGES: Final = ("orchestrator", "tasks")
"""What nodes import. Suites' data, configurations, runs and keys stay with the driver; problems go as objects."""

_SAME_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Of every file in the archive, so that equal sources are equal archives."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """An archive with the sources."""

    path: Path
    files: int
    digest: str
    """SHA-256 over the sources: the same that the nodes report of the code that they run."""
    size: int
    """Bytes of the archive."""

    def __str__(self) -> str:
        return f"{self.files} modules, {self.size / 1024:.0f} KiB, sha256 {self.digest[:12]}"


def pack(folder: Path) -> Shipment:
    """Write the sources of this very process into an archive in ``folder``.

    Only ``*.py`` files of :data:`PACKAGES` are taken, wherever those are installed, so that nothing that lies
    beside them (runs, a repository, keys) can be taken along.
    """
    path = folder / f"orchestrator-{code_digest()[:16]}.zip"
    files = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            root = Path(next(iter(import_module(package).__path__)))
            for source in sorted(root.rglob("*.py")):
                name = f"{package}/{source.relative_to(root)}"
                entry = zipfile.ZipInfo(name, _SAME_TIME)
                # Readable to all: a sandbox process may run as another user.
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, source.read_bytes(), zipfile.ZIP_DEFLATED)
                files += 1
    return Shipment(path, files, code_digest(), path.stat().st_size)


def shipped_by_the_job() -> bool:
    """Whether ``ray job submit`` started this driver with a folder of its own, which Ray would not replace."""
    from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

    config = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR) or "{}")
    return bool((config.get("runtime_env") or {}).get("working_dir"))
