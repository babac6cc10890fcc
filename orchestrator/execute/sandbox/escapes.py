"""Attempts to get out, made by a candidate at the machine's first use: what is refused, and what is open.

The text of this module is run *as a program* inside the sandbox, so it stands alone: nothing but the standard
library, and every fact about the outside comes as an argument.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import socket
import tempfile
from collections.abc import Callable

__all__ = ["REFUSED", "attempt", "names"]

REFUSED = "refused"
_CLONE_NEWUSER = 0x10000000
_ALLOWED_NAMES = {
    "PATH", "LANG", "HOME", "TMPDIR", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LC_CTYPE",
}  # fmt: skip
_OWN_DESCRIPTORS = 4
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def names() -> list[str]:
    """Return the names of all attempts."""
    return sorted(_ATTEMPTS)


def attempt(name: str, outside: dict[str, str | int]) -> str:
    """Make one attempt; return ``refused``, or what came of it.

    Args:
        name: one of :func:`names`.
        outside: ``pid`` of a process outside, a readable ``file`` and a ``folder`` there, and the system-call
            numbers of this machine under ``nr_<name>``.
    """
    try:
        found = _ATTEMPTS[name](outside)
    except OSError:
        return REFUSED
    return found or REFUSED


def _call(outside: dict[str, str | int], name: str, *args: int | None) -> int:
    number = outside.get(f"nr_{name}")
    if not isinstance(number, int):
        raise OSError(errno.ENOSYS, name)
    values = [ctypes.c_void_p(None) if a is None else ctypes.c_long(a) for a in args]
    result = int(_libc.syscall(ctypes.c_long(number), *values))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _read_accounts(_: dict[str, str | int]) -> str:
    with open("/etc/passwd", "rb") as accounts:
        return f"read {len(accounts.read())} bytes of the accounts"


def _read_file(outside: dict[str, str | int]) -> str:
    with open(outside["file"], "rb") as file:
        return f"read {len(file.read())} bytes of another's file"


def _read_environment(outside: dict[str, str | int]) -> str:
    for pid in (int(outside["pid"]), os.getppid(), 1):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                return f"read {len(environment.read())} bytes of another's environment"
        except OSError:
            continue
    return ""


def _own_environment(_: dict[str, str | int]) -> str:
    return ", ".join(sorted(set(os.environ) - _ALLOWED_NAMES))


def _write_outside(outside: dict[str, str | int]) -> str:
    for folder in (str(outside["folder"]), "/", "/usr", "/var/tmp"):
        path = os.path.join(folder, f"escape-{os.getpid()}")
        try:
            with open(path, "wb"):
                os.unlink(path)
                return f"wrote to {folder}"
        except OSError:
            continue
    return ""


def _truncate(outside: dict[str, str | int]) -> str:
    size = os.stat(outside["file"]).st_size
    os.truncate(outside["file"], size)
    return "truncated another's file"


def _change_mode(outside: dict[str, str | int]) -> str:
    # Success is pretended; what counts is whether anything changed.
    before = os.stat(outside["file"]).st_mode
    os.chmod(outside["file"], before ^ 0o001)
    if os.stat(outside["file"]).st_mode == before:
        return ""
    os.chmod(outside["file"], before)
    return "changed the mode of another's file"


def _socket(family: int, kind: int) -> Callable[[dict[str, str | int]], str]:
    def make(_: dict[str, str | int]) -> str:
        with socket.socket(family, kind):
            return "made one"

    return make


def _signal(outside: dict[str, str | int]) -> str:
    # The first process of its own PID namespace is deaf to what comes from within.
    for pid in {int(outside["pid"]), os.getppid()} - {0, 1}:
        try:
            os.kill(pid, 0)
        except OSError:
            continue
        return f"could signal process {pid}"
    return ""


def _limits(_: dict[str, str | int]) -> str:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))
    except (OSError, ValueError):
        return ""
    return "raised a hard limit"


def _descriptors(_: dict[str, str | int]) -> str:
    found = []
    for descriptor in range(_OWN_DESCRIPTORS, 1024):
        try:
            fcntl.fcntl(descriptor, fcntl.F_GETFD)
        except OSError:
            continue
        found.append(descriptor)
    return f"inherited descriptors {found}" if found else ""


def _become_root(_: dict[str, str | int]) -> str:
    before = os.getresuid()
    os.setresuid(0, 0, 0)
    return "" if before == (0, 0, 0) else "became root"


def _read_memory(outside: dict[str, str | int]) -> str:
    local = ctypes.create_string_buffer(8)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(local), 8)
    there = (ctypes.c_size_t * 2)(4096, 8)
    for pid in (int(outside["pid"]), os.getppid()):
        try:
            _call(outside, "process_vm_readv", pid, ctypes.addressof(here), 1, ctypes.addressof(there), 1, 0)
        except OSError as error:
            # A bad address is only found out once the process may be read.
            if error.errno != errno.EFAULT:
                continue
        return f"reached into process {pid}"
    return ""


def _make_device(_: dict[str, str | int]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        os.mknod(os.path.join(folder, "mem"), 0o20600, os.makedev(1, 1))
    return "made a device node"


def _plain(name: str, *args: int | None) -> Callable[[dict[str, str | int]], str]:
    def make(outside: dict[str, str | int]) -> str:
        _call(outside, name, *args)
        return "was let through"

    return make


def _on_outsider(
    name: str, first: tuple[int, ...], rest: tuple[int | None, ...]
) -> Callable[[dict[str, str | int]], str]:
    def make(outside: dict[str, str | int]) -> str:
        for pid in (int(outside["pid"]), os.getppid()):
            try:
                _call(outside, name, *first, pid, *rest)
            except OSError:
                continue
            return f"reached process {pid}"
        return ""

    return make


_ATTEMPTS: dict[str, Callable[[dict[str, str | int]], str]] = {
    "read the accounts": _read_accounts,
    "read another's file": _read_file,
    "read another's environment": _read_environment,
    "find more in its own environment": _own_environment,
    "write outside its folder": _write_outside,
    "truncate another's file": _truncate,
    "change the mode of another's file": _change_mode,
    "open a TCP socket": _socket(socket.AF_INET, socket.SOCK_STREAM),
    "open a UDP socket": _socket(socket.AF_INET, socket.SOCK_DGRAM),
    "open a Unix socket": _socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "open a netlink socket": _socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "signal another process": _signal,
    "raise its limits": _limits,
    "find descriptors": _descriptors,
    "become root": _become_root,
    "make a device": _make_device,
    "trace a process": _on_outsider("ptrace", (16,), (None, None)),
    "read a process's memory": _read_memory,
    "change a process's limits": _on_outsider("prlimit64", (), (7, None, None)),
    "enter new namespaces": _plain("unshare", _CLONE_NEWUSER),
    "mount": _plain("mount", None, None, None, 0, None),
    "use keyrings": _plain("keyctl", 0, -3, 1),
    "make shared memory segments": _plain("shmget", 0, 4096, 0o1600),
    "load BPF": _plain("bpf", 0, None, 0),
    "handle page faults": _plain("userfaultfd", 1),
    "watch performance counters": _plain("perf_event_open", None, 0, -1, -1, 0),
    "make I/O rings": _plain("io_uring_setup", 1, None),
    "make files in memory": _plain("memfd_create", None, 0),
}
