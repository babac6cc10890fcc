"""Emptying a scratch folder, whatever a program left in it."""

from __future__ import annotations

import contextlib
import os

__all__ = ["empty_folder"]


def empty_folder(path: str) -> None:
    """Remove everything beneath ``path``; the folder itself stays.

    Folders within folders are first moved up, so that no depth of nesting takes more than one level of calls or a
    path longer than the kernel takes. Links are removed, never followed. What cannot be removed is left.

    Raises:
        OSError: ``path`` cannot be listed.
    """
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        stuck: set[str] = set()
        while True:
            names = [name for name in os.listdir(top) if name not in stuck]
            if not names:
                return
            for name in names:
                _remove(top, name)
                if _exists(top, name):
                    stuck.add(name)
    finally:
        os.close(top)


def _remove(top: int, name: str) -> None:
    # A failure says which it is (a folder, one with content) or that it is stuck: the caller looks again.
    for attempt in (os.unlink, os.rmdir):
        with contextlib.suppress(OSError):
            attempt(name, dir_fd=top)
            return
    try:
        os.chmod(name, 0o700, dir_fd=top)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    except OSError:
        return
    try:
        for entry in os.listdir(inner):
            try:
                os.unlink(entry, dir_fd=inner)
            except OSError:
                _move_up(inner, entry, top)
    finally:
        os.close(inner)
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=top)


def _move_up(inner: int, entry: str, top: int) -> None:
    with contextlib.suppress(OSError):
        # Moving a folder writes its entry for the parent, so it must be writable itself.
        os.chmod(entry, 0o700, dir_fd=inner)
        os.rename(entry, os.urandom(8).hex(), src_dir_fd=inner, dst_dir_fd=top)


def _exists(top: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=top)
    except OSError:
        return False
    return True
