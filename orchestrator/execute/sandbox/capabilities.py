"""Giving up every capability of the calling process."""

from __future__ import annotations

import ctypes
import struct

from orchestrator.execute.sandbox.syscalls import libc, syscall

__all__ = ["drop_all", "effective"]

_VERSION_3 = 0x20080522
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4


def drop_all() -> None:
    """Empty the permitted, effective, inheritable and ambient sets.

    The bounding set may stay: with no-new-privileges no later exec can raise what is not there.

    Raises:
        OSError: the kernel refused.
    """
    zero = ctypes.c_ulong(0)
    libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), zero, zero, zero)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)
    sets = ctypes.create_string_buffer(24)
    syscall("capset", ctypes.byref(header), ctypes.byref(sets))


def effective() -> int:
    """Return the effective set of the calling process as a bit mask, as /proc shows it."""
    with open("/proc/self/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    raise OSError("no CapEff in /proc/self/status")
