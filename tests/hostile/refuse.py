"""Takes namespaces away from a process and all that it starts, as containers do: a seccomp filter that says no."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

__all__ = ["refuse_namespaces"]

_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NEW_NAMESPACE = 0x7E020080
"""Every CLONE_NEW* flag."""
_NUMBERS = {
    # machine: (AUDIT_ARCH, unshare, clone, clone3, setns, mount)
    "x86_64": (0xC000003E, 272, 56, 435, 308, 165),
    "aarch64": (0xC00000B7, 97, 220, 435, 268, 40),
}


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)


def refuse_namespaces() -> None:
    """Make ``unshare``, ``setns``, ``mount`` and ``clone`` with new namespaces fail with EPERM, for good.

    ``clone3`` hides its flags from a filter, so it fails with ENOSYS and callers fall back to ``clone``.

    Raises:
        OSError: the kernel refused the filter.
    """
    arch, unshare, clone, clone3, setns, mount = _NUMBERS[platform.machine()]
    refuse = _line(_RETURN, _ERRNO | errno.EPERM)
    lines = [
        _line(_LOAD, 4),
        _line(_JUMP_EQUAL, arch, 1, 0),
        _line(_RETURN, _ALLOW),
        _line(_LOAD, 0),
        *(part for number in (unshare, setns, mount) for part in (_line(_JUMP_EQUAL, number, 0, 1), refuse)),
        _line(_JUMP_EQUAL, clone3, 0, 1),
        _line(_RETURN, _ERRNO | errno.ENOSYS),
        _line(_JUMP_EQUAL, clone, 0, 3),
        _line(_LOAD, 16),
        _line(_JUMP_SET, _NEW_NAMESPACE, 0, 1),
        refuse,
        _line(_RETURN, _ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(lines))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    given = Program(len(lines), ctypes.addressof(program))
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.byref(given), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")
