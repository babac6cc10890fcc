"""Finds what a program left behind: processes, files, shared memory.

The grading process is made the reaper of all orphans beneath it, so that whatever a program started is found among
its descendants, however it hid.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

__all__ = ["Leftovers", "adopt_orphans", "descendants"]

_PR_SET_CHILD_SUBREAPER = 36
_KEY = 0x686F7374
"""The key under which the corpus makes System V objects."""
_NAMES = ("orchestrator-hostile", "for-the-next-program")
"""Names of files that the corpus tries to leave, besides those with the run's own mark."""
_SETTLED_S = 0.5
"""A number of processes that has not changed for so long will not."""
_PATIENCE_S = 10.0
"""For ending processes to end: a bound for a failing test, not a measure of speed."""


def adopt_orphans() -> None:
    """Make this process the one to which orphans beneath it fall.

    Raises:
        OSError: the kernel refused.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


class Leftovers:
    """Compares with the state when it was made: an executor that is ready, and nothing else."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._folder = folder
        self._marks = (mark, *_NAMES)
        self._processes = _settled_number()
        self._files = self._seen_files()

    def found(self) -> list[str]:
        """What is there that was not; processes are given a moment to end.

        It waits for as many as there were: while the executor has yet to fork the candidate that it keeps at the
        ready, one too many would not be seen.
        """
        until = time.monotonic() + _PATIENCE_S
        number, since = -1, time.monotonic()
        while True:
            left, now = self._look(), time.monotonic()
            if not left and len(descendants()) == self._processes:
                return left
            if len(descendants()) != number:
                number, since = len(descendants()), now
            elif not left and now > since + _SETTLED_S:
                # Fewer than there were, and none on its way for so long: one was counted that was about to end, or
                # the machine is slow to fork the next. Nothing is left in either case.
                return left
            if now > until:
                return left
            time.sleep(0.005)

    def _look(self) -> list[str]:
        processes = descendants()
        left = []
        if len(processes) > self._processes:
            named = [f"{pid} {_command(pid)}" for pid in processes]
            left.append(f"{len(processes)} processes where {self._processes} were: {'; '.join(named)}")
        left += sorted(self._seen_files() - self._files)
        for kind in ("shm", "sem", "msg"):
            table = Path("/proc/sysvipc", kind)
            keys = [line.split()[0] for line in table.read_text().splitlines()[1:]] if table.exists() else []
            if str(_KEY) in keys:
                left.append(f"System V {kind} with the corpus's key")
        return left

    def _seen_files(self) -> set[str]:
        """Files in the executor's folders, inside and outside its namespaces, and the corpus's names elsewhere."""
        seen = {str(path) for path in _walk(self._folder)}
        for pid in descendants():
            seen |= {f"{path}" for path in _walk(Path(f"/proc/{pid}/root/box"))}
        for folder in ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", str(Path.home()), "."):
            seen |= {path for path in _names(folder) if any(mark in os.path.basename(path) for mark in self._marks)}
        return {_without_pid(path) for path in seen}


def _without_pid(path: str) -> str:
    """A replaced process of the executor's has another number, and so its folders."""
    parts = path.split("/")
    if parts[1:2] == ["proc"] and parts[3:4] == ["root"]:
        parts[2] = "*"
    return "/".join("*" if part.startswith(("orchestrator-", "box-")) else part for part in parts)


def _names(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []


def _walk(folder: Path) -> list[Path]:
    found: list[Path] = []
    for here, folders, files in os.walk(folder):
        found += [Path(here, name) for name in (*folders, *files)]
    return found


def descendants() -> list[int]:
    """Every live process beneath this one (a zombie is no more than an entry for who started it)."""
    found, queue = [], [os.getpid()]
    while queue:
        for task in _names(f"/proc/{queue.pop()}/task"):
            children = [int(child) for child in _text(f"{task}/children").split()]
            queue += children
            found += [child for child in children if ") Z " not in _text(f"/proc/{child}/stat")]
    return sorted(found)


def _settled_number() -> int:
    """How many descendants there are once that has not changed for half a second."""
    number, since = len(descendants()), time.monotonic()
    while time.monotonic() < since + _SETTLED_S:
        time.sleep(0.02)
        now = len(descendants())
        if now != number:
            number, since = now, time.monotonic()
    return number


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80]
    except OSError:
        return "?"
