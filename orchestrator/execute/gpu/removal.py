"""Removes folders that programs could write to, whatever they left there."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["remove_tree"]

_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(top: Path) -> None:
    """Remove ``top`` and everything in it; what can't be removed stays.

    A program may nest folders deeper than a stack, a path or a table of open files goes, and may have taken the
    rights off them. So folders are never descended into: those that one holds are moved up beside it.
    """
    with suppress(OSError):
        fd = _open(os.fspath(top), None)
        try:
            _clear(fd)
        finally:
            os.close(fd)
        top.rmdir()


def _clear(top: int) -> None:
    """Remove all that the folder ``top`` holds."""
    # No program can have guessed the names that its folders get here.
    prefix, moved = secrets.token_hex(8), 0
    left = _empty(top)
    while left:
        name = left.pop()
        with suppress(OSError):
            fd = _open(name, top)
            try:
                for inner in _empty(fd):
                    with suppress(OSError):
                        # Moving a folder takes the right to write to it.
                        os.close(_open(inner, fd))
                        target = f"{prefix}-{moved}"
                        os.rename(inner, target, src_dir_fd=fd, dst_dir_fd=top)
                        left.append(target)
                        moved += 1
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=top)


def _empty(folder: int) -> list[str]:
    """Remove what is no folder and return the names of those that are."""
    with os.scandir(folder) as found:
        entries = list(found)
    folders = []
    for entry in entries:
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


def _open(name: str, folder: int | None) -> int:
    """A descriptor of a folder, no link, after all rights on it were taken."""
    place = os.open(name, os.O_PATH | _FOLDER, dir_fd=folder)
    try:
        # By its descriptor: what the name stands for may be changed by a process that lives on.
        os.chmod(f"/proc/self/fd/{place}", 0o700)
        return os.open(".", os.O_RDONLY | _FOLDER, dir_fd=place)
    finally:
        os.close(place)
