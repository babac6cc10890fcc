"""What an executor is configured with, and which files of this machine its programs may read."""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.execute.sandbox.spec import BoxSpec

__all__ = ["ExecutorSettings", "Mechanism", "box_spec", "interpreter"]

Mechanism = Literal["namespaces", "landlock", "seccomp"]

SYSTEM: Final = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/alternatives",
)
"""Programs and libraries of the system; nothing under /etc that says who lives here."""
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
PRELOAD: Final = (
    "abc", "array", "bisect", "collections.abc", "contextlib", "copy", "enum", "functools",
    "heapq", "io", "itertools", "math", "numbers", "operator", "random", "re", "string", "struct",
    "time", "typing",
)  # fmt: skip
"""What solutions usually import. More would make every fork dearer."""
UID_BASE: Final = 700_000_000
"""Where root's boxes take their users from: far above any that is handed out, one for each executor."""
_NOBODY: Final = 65534


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """How a :class:`~orchestrator.execute.executor.PythonExecutor` confines what it runs."""

    isolation: str = "partial"
    """Least isolation to start with: ``full``, ``partial`` (Landlock or namespaces, with seccomp) or ``none``."""
    scratch_base: str | None = None
    """Folder for the boxes' own folders, best on a tmpfs; None: /dev/shm, or the temporary folder."""
    packages: tuple[str, ...] = ("numpy",)
    """Installed packages that programs may import; such a program gets a zygote that has imported it."""
    without: frozenset[Mechanism] = frozenset()
    """Mechanisms to leave out: to test and to measure what the others hold."""

    def __post_init__(self) -> None:
        if self.isolation not in ("full", "partial", "none"):
            raise ValueError(f"isolation must be full, partial or none, not {self.isolation!r}")


def interpreter() -> str:
    """Return the interpreter that boxes run: the real one, which a virtual environment only points to."""
    return os.path.realpath(sys.executable)


def box_base(settings: ExecutorSettings) -> str:
    """Return the folder in which boxes make theirs."""
    if settings.scratch_base is not None:
        return settings.scratch_base
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else tempfile.gettempdir()


def box_spec(
    settings: ExecutorSettings,
    *,
    role: Literal["zygote", "referee"],
    folder: str,
    package: str | None,
    scratch_bytes: int,
) -> BoxSpec:
    """Return the specification of one box.

    Args:
        settings: how to confine.
        role: a ``zygote`` (with ``package`` imported, if any) or a ``referee``.
        folder: the box's own folder on the host.
        package: one of ``settings.packages``.
        scratch_bytes: room for a program's files.
    """
    installed = _installed()
    library = sysconfig.get_paths()["stdlib"]
    read = [
        *SYSTEM,
        sys.base_prefix,
        sys.base_exec_prefix,
        library,
        os.path.dirname(os.path.realpath(interpreter())),
    ]
    # The package of this very program is hidden too, where it lies beneath something readable.
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    hidden = [*installed, *_beside(library), os.path.join(own, "orchestrator"), os.path.join(own, "tasks")]
    shown: list[str] = []
    if role == "referee":
        read += installed
        hidden = []
    elif package is not None:
        candidates = [os.path.join(place, name) for place in installed for name in (package, f"{package}.libs")]
        shown = [path for path in candidates if os.path.isdir(path)]
        read += shown
    plain = "namespaces" in settings.without
    uid, plain_uid = _user(plain), _user(plain=True)
    return BoxSpec(
        role=role,
        folder=folder,
        uid=uid,
        gid=os.getgid() if uid == os.getuid() else uid,
        plain_uid=plain_uid,
        plain_gid=os.getgid() if plain_uid == os.getuid() else plain_uid,
        preload=PRELOAD if package is None else (*PRELOAD, package),
        search=tuple(installed),
        keep_search=role == "referee",
        read=tuple(dict.fromkeys(read)),
        hidden=tuple(dict.fromkeys(hidden)),
        shown=tuple(shown),
        devices=DEVICES,
        scratch_bytes=scratch_bytes,
        without=tuple(sorted(settings.without)),
    )


def _installed() -> list[str]:
    """Folders of installed packages that this interpreter imports from."""
    return [p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages") and os.path.isdir(p)]


def _beside(library: str) -> list[str]:
    """Folders of installed packages that the readable trees hold besides, whoever uses them."""
    patterns = [f"{library}/*-packages"]
    patterns += [f"{root}/python3*/*-packages" for root in ("/usr/lib", "/usr/local/lib")]
    return sorted({path for pattern in patterns for path in glob.glob(pattern)})


def _user(plain: bool) -> int:
    """Whom candidates run as. Root's run as an ordinary user that nobody else is, where they can.

    ``plain``, without namespaces, such a user must be let in all the way to the standard library.
    """
    own = os.getuid()
    if own != 0 or not _open_to_all(os.path.realpath(os.__file__), "/" if plain else sys.base_prefix):
        return own
    with open("/proc/self/uid_map", encoding="ascii") as lines:
        ranges = [tuple(int(n) for n in line.split()) for line in lines]
    for wanted in (UID_BASE + os.getpid(), _NOBODY):
        if any(start <= wanted < start + length for start, _, length in ranges):
            return wanted
    return own


def _open_to_all(file: str, top: str) -> bool:
    """True when everybody may read ``file`` and enter every folder on the way to it from ``top``."""
    if not os.stat(file).st_mode & 0o004:
        return False
    folder = os.path.dirname(file)
    while os.stat(folder).st_mode & 0o001:
        if folder in (top, os.path.dirname(folder)):
            return True
        folder = os.path.dirname(folder)
    return False
