"""Namespaces: what a process sees of users, processes, files, the network and shared memory.

:func:`enter` forks into new ones and lets the parent write the id maps, which works as root (mapping to an
ordinary user) and as an ordinary user (mapping to itself). :func:`private_root` then builds, inside, a small
read-only file tree and makes it the root.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from orchestrator.execute.sandbox.process import fork_into
from orchestrator.execute.sandbox.syscalls import libc, syscall

__all__ = [
    "ALL",
    "IPC",
    "MOUNT",
    "NETWORK",
    "PID",
    "USER",
    "UTS",
    "Root",
    "enter",
    "loopback_up",
    "mount",
    "private_root",
    "read_only_proc",
    "refused",
]

MOUNT: Final = 0x00020000
UTS: Final = 0x04000000
IPC: Final = 0x08000000
USER: Final = 0x10000000
PID: Final = 0x20000000
NETWORK: Final = 0x40000000
ALL: Final = MOUNT | UTS | IPC | USER | PID | NETWORK

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MS_NOATIME, _MS_NODIRATIME, _MS_RELATIME = 1024, 2048, 1 << 21
_MNT_DETACH: Final = 2
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
# Flags of statvfs(3) that a user namespace may not take off a mount, and the mount flags that keep them.
_LOCKED: Final = (
    (2, _MS_NOSUID),
    (4, _MS_NODEV),
    (8, _MS_NOEXEC),
    (1024, _MS_NOATIME),
    (2048, _MS_NODIRATIME),
    (4096, _MS_RELATIME),
)


class Root(NamedTuple):
    """The file tree of a sandbox. Every path is the same inside as outside."""

    at: str
    """An empty folder to build it on."""
    read: Sequence[str]
    """Files and folders to show, read-only."""
    hidden: Sequence[str] = ()
    """Folders beneath those that are shown empty."""
    shown: Sequence[str] = ()
    """Folders beneath hidden ones that are shown after all."""
    devices: Sequence[str] = ()
    """Device nodes (or folders of them) to show, writable."""
    scratch: str = ""
    """Where the program may write: a tmpfs of its own."""
    scratch_bytes: int = 64 << 20
    scratch_files: int = 8192
    uid: int = 0
    """Owner of the scratch space."""
    gid: int = 0
    shared_memory: bool = False
    """Show a folder of the scratch space as /dev/shm."""
    proc: bool = True
    """Mount /proc of the new PID namespace (the zygote's own use; candidates are refused it by Landlock)."""


def enter(flags: int, uid: int, gid: int) -> int:
    """Fork into the namespaces of ``flags``: 0 in the child, the child's id in the parent.

    With USER among them the new namespace knows the user and group ``uid`` and ``gid``, the same inside as
    outside. An ordinary user gives its own ids. Root gives those of an ordinary user: root itself is mapped too, so
    that the child can set up its files, and the child then changes with
    :func:`orchestrator.execute.sandbox.process.become`. Either way the child starts with all capabilities
    *within*.

    Raises:
        OSError: the kernel refused the namespaces or the map (in the parent; the child has ended).
    """
    ready_read, ready_write = os.pipe()
    try:
        pid = fork_into(flags)
    except OSError:
        os.close(ready_read)
        os.close(ready_write)
        raise
    if pid == 0:
        os.close(ready_write)
        go = os.read(ready_read, 1)
        os.close(ready_read)
        if go != b"1":
            os._exit(1)
        return 0
    os.close(ready_read)
    try:
        if flags & USER:
            _map(pid, uid, gid)
        os.write(ready_write, b"1")
    except OSError:
        os.close(ready_write)
        os.waitpid(pid, 0)
        raise
    os.close(ready_write)
    return pid


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """Call ``mount(2)``.

    Raises:
        OSError: the kernel refused.
    """
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    if libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {target}: {os.strerror(code)}")


def private_root(root: Root) -> None:
    """Build the tree of ``root`` in this mount namespace and make it the root. Must run inside :func:`enter`.

    Raises:
        OSError: a mount was refused.
    """
    mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    mount("tmpfs", root.at, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    for path in root.read:
        _show(root.at, path, _MS_RDONLY)
    for path in root.devices:
        _show(root.at, path, 0)
    for path in root.hidden:
        if os.path.isdir(root.at + path):
            _hide(root, path)
    if root.proc:
        os.makedirs(root.at + "/proc", exist_ok=True)
        mount("proc", root.at + "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    if root.scratch:
        target = root.at + root.scratch
        os.makedirs(target, exist_ok=True)
        options = f"size={root.scratch_bytes},nr_inodes={root.scratch_files},mode=700,uid={root.uid},gid={root.gid}"
        mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, options)
        if root.shared_memory:
            os.makedirs(root.at + "/dev/shm", exist_ok=True)
            mount("tmpfs", root.at + "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options)
    os.chdir(root.at)
    # The old root is stacked on the new one and let go: nothing of it can be reached any more.
    syscall("pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    if libc.umount2(b".", _MNT_DETACH) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"umount: {os.strerror(code)}")
    os.chdir("/")
    mount(None, "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def read_only_proc() -> None:
    """Make /proc read-only but for the folders of processes. Must run inside :func:`enter`, on a /proc of its own.

    Whoever may write in processes' folders there could otherwise set the kernel's own parameters: to the kernel,
    its owner's files belong to root by its number, whatever capabilities root has left. The first process, which
    stands for the outside (its share of the processors is that of its session), is left out too.

    Raises:
        OSError: a mount was refused.
    """
    for entry in os.scandir("/proc"):
        if (entry.name == "1" or not entry.name.isdecimal()) and not entry.is_symlink():
            mount(entry.path, entry.path, None, _MS_BIND)
            _remount_read_only(entry.path)


def loopback_up() -> None:
    """Switch on the loopback interface of this network namespace. Must run inside :func:`enter`.

    Raises:
        OSError: the kernel refused.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        fcntl.ioctl(line, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _map(pid: int, uid: int, gid: int) -> None:
    own_uid, own_gid = os.geteuid(), os.getegid()
    files = {"uid_map": _lines(own_uid, uid), "gid_map": _lines(own_gid, gid)}
    if own_uid == uid:
        # Who maps only himself must first give up the right to drop groups, which would lift denials by group.
        files = {"setgroups": "deny", **files}
    for name, text in files.items():
        fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _lines(*ids: int) -> str:
    return "".join(f"{i} {i} 1\n" for i in sorted(set(ids)))


def _show(at: str, path: str, flags: int) -> None:
    """Bind ``path`` to the same place under ``at``; links on the way are made anew, what is missing is left out."""
    if os.path.islink(path):
        os.makedirs(os.path.dirname(at + path), exist_ok=True)
        if not os.path.lexists(at + path):
            os.symlink(os.readlink(path), at + path)
        return
    if not os.path.exists(path):
        return
    target = at + path
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.lexists(target):
            with open(target, "w", encoding="utf-8"):
                pass
    mount(path, target, None, _MS_BIND | _MS_REC)
    if flags & _MS_RDONLY:
        _remount_read_only(target)


def _remount_read_only(target: str) -> None:
    present = os.statvfs(target).f_flag
    keep = sum(flag for bit, flag in _LOCKED if present & bit)
    mount(None, target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | keep)


def _hide(root: Root, path: str) -> None:
    """Cover a folder with an empty one, in which only the ``shown`` ones appear."""
    inside = [s for s in root.shown if s.startswith(path + os.sep) and os.path.isdir(s)]
    target = root.at + path
    # The folders to show are looked up before they are covered.
    handles = [(s, os.open(s, os.O_PATH | os.O_CLOEXEC)) for s in inside]
    mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=64k,mode=755")
    for shown, handle in handles:
        os.makedirs(root.at + shown, exist_ok=True)
        mount(f"/proc/self/fd/{handle}", root.at + shown, None, _MS_BIND | _MS_REC)
        _remount_read_only(root.at + shown)
        os.close(handle)
    mount(None, target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def refused(error: OSError) -> bool:
    """True where the error says that this machine does not give namespaces (and not that we asked wrongly)."""
    return error.errno in {errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.ENOSYS}
