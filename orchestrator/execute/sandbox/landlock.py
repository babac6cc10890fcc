"""Landlock: which files, ports and processes a process may reach, asked for by the process itself.

A ruleset is a file descriptor made once; :func:`restrict_self` puts the calling process (and all that it starts
later) under it for good. Needs no privilege beyond no-new-privileges.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Sequence
from enum import IntFlag
from typing import Final

from orchestrator.execute.sandbox.syscalls import syscall

__all__ = ["SCOPES_ABI", "Access", "abi", "expand", "restrict_self", "ruleset", "scope_ruleset"]

SCOPES_ABI: Final = 6
"""From this ABI on, signals and abstract sockets can be kept inside the domain."""
_TCP_ABI: Final = 4
_RULE_PATH_BENEATH: Final = 1
_CREATE_RULESET_VERSION: Final = 1


class Access(IntFlag):
    """File rights, with the kernel's own bit positions."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_READ: Final = Access.EXECUTE | Access.READ_FILE | Access.READ_DIR
_NEVER_IN_SCRATCH: Final = Access.MAKE_CHAR | Access.MAKE_BLOCK | Access.MAKE_SOCK | Access.IOCTL_DEV
_DEVICE: Final = Access.READ_FILE | Access.WRITE_FILE | Access.READ_DIR | Access.IOCTL_DEV | Access.TRUNCATE
_ON_FILES: Final = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
# How many of the rights above each ABI knows; a right that the kernel does not know makes it refuse the ruleset.
_RIGHTS_OF_ABI: Final = {1: 13, 2: 14, 3: 15, 4: 15}


def abi() -> int:
    """Return the Landlock ABI version of this kernel; 0 where there is no Landlock."""
    try:
        return syscall("landlock_create_ruleset", ctypes.c_void_p(None), 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def ruleset(
    *,
    read: Iterable[str] = (),
    write: Iterable[str] = (),
    devices: Iterable[str] = (),
    listed: Iterable[str] = (),
    sockets: Iterable[str] = (),
    tcp: bool = False,
    scoped: bool = True,
    version: int | None = None,
) -> int:
    """Make a ruleset and return its descriptor (close-on-exec).

    Args:
        read: files and folders that may be read and executed, with all that is beneath.
        write: scratch folders, where files, folders, links and pipes may be made.
        devices: device nodes (or folders of them) that may be opened and get ioctls.
        listed: folders whose names may be listed, with those beneath, and nothing more.
        sockets: scratch folders where named sockets may be made besides.
        tcp: leave TCP bind and connect alone; otherwise they are refused (ABI 4 on).
        scoped: keep signals and abstract sockets inside the domain (ABI 6 on).
        version: the ABI to use; None asks the kernel.

    Paths that do not exist are left out, which refuses them.

    Raises:
        OSError: the kernel has no Landlock, or refused the ruleset.
    """
    version = abi() if version is None else version
    handled = Access((1 << _RIGHTS_OF_ABI.get(version, 16)) - 1)
    net = 3 if version >= _TCP_ABI and not tcp else 0
    scope = 3 if version >= SCOPES_ABI and scoped else 0
    fd = _create(int(handled), net, scope, version)
    try:
        for paths, access in (
            (read, _READ),
            (write, ~_NEVER_IN_SCRATCH),
            (devices, _DEVICE),
            (listed, Access.READ_DIR),
            (sockets, Access.MAKE_SOCK),
        ):
            for path in paths:
                _add(fd, path, handled & access)
    except BaseException:
        os.close(fd)
        raise
    return fd


def scope_ruleset() -> int:
    """Make a ruleset that only scopes signals and abstract sockets, for a second, cheap layer on a child.

    With it the child can no longer signal the parent that shares its first layer.

    Raises:
        OSError: the kernel's ABI is below 6.
    """
    return _create(0, 0, 3, SCOPES_ABI)


def restrict_self(fd: int) -> None:
    """Put the calling thread's process under the ruleset, for good. Needs no-new-privileges."""
    syscall("landlock_restrict_self", fd, 0)


def expand(roots: Sequence[str], hidden: Sequence[str]) -> list[str]:
    """Return paths that together cover ``roots`` but for ``hidden``.

    Rules only ever add, so a folder with a hidden one beneath is replaced by its other entries. Symbolic links
    are resolved first in both arguments; entries that cannot be listed are left out.
    """
    hide = [os.path.realpath(h) for h in hidden]
    found: list[str] = []
    pending = [os.path.realpath(r) for r in roots]
    while pending:
        path = pending.pop()
        if any(path == h or path.startswith(h + os.sep) for h in hide):
            continue
        if any(h.startswith(path.rstrip(os.sep) + os.sep) for h in hide):
            try:
                entries = os.listdir(path)
            except OSError:
                continue
            # A link keeps its own name out of this: the rule would fall on what it points to.
            pending += [p for p in (os.path.join(path, e) for e in entries) if not os.path.islink(p)]
        else:
            found.append(path)
    return sorted(set(found))


def _create(fs: int, net: int, scope: int, version: int) -> int:
    size = 8 if version < _TCP_ABI else 16 if version < SCOPES_ABI else 24
    attributes = ctypes.create_string_buffer(struct.pack("=QQQ", fs, net, scope), 24)
    return syscall("landlock_create_ruleset", ctypes.byref(attributes), size, 0)


def _add(fd: int, path: str, access: Access) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            access &= _ON_FILES
        if not access:
            return
        rule = ctypes.create_string_buffer(struct.pack("=Qi", int(access), target), 12)
        syscall("landlock_add_rule", fd, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(target)
