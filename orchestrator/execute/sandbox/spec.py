"""What a sandbox process is told when it starts; plain data, as one line of JSON on its standard input.

Here and in the other modules that a zygote carries, records are named tuples: ``dataclasses`` would bring
``inspect`` and two megabytes with it, for every fork to copy the tables of.
"""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

__all__ = ["BoxSpec"]


class BoxSpec(NamedTuple):
    """One box: a keeper outside, and inside a zygote that forks candidates, or a referee."""

    role: Literal["zygote", "referee"]
    folder: str
    """The box's own folder on the host; the keeper removes it in the end."""
    uid: int
    """Whom the box runs as; other than the caller's only where the caller is root."""
    gid: int
    plain_uid: int
    """Whom it runs as where the kernel refuses namespaces: the interpreter may then be readable to fewer."""
    plain_gid: int
    preload: tuple[str, ...]
    """Modules imported before confinement; one that is not installed is left out."""
    search: tuple[str, ...]
    """Folders to import ``preload`` from, besides the standard library."""
    keep_search: bool
    """Leave ``search`` on the path once confined (the referee's tests may import what is installed)."""
    read: tuple[str, ...]
    """Host paths that may be read and executed."""
    hidden: tuple[str, ...]
    """Folders beneath them that may not (installed packages hold the suites' answers)."""
    shown: tuple[str, ...]
    """Folders beneath hidden ones that may be read after all."""
    devices: tuple[str, ...]
    scratch_bytes: int
    without: tuple[str, ...]
    """Mechanisms left out: ``namespaces``, ``landlock``, ``seccomp``."""

    def dump(self) -> bytes:
        """Serialise, as one line."""
        return json.dumps(self._asdict()).encode() + b"\n"

    @classmethod
    def load(cls, text: bytes) -> BoxSpec:
        """Parse what :meth:`dump` made."""
        fields: dict[str, Any] = json.loads(text)
        fields.update({k: tuple(v) for k, v in fields.items() if isinstance(v, list)})
        return cls(**fields)
