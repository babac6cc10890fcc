"""System-call filters: a small builder of classic BPF, and the two filters that candidates run under.

The filters are two because installing a long one costs more than forking: the *base* goes on the zygote once and
holds what neither it nor any candidate needs; the *delta* goes on every child and takes away the rest. The kernel
runs both and obeys the stricter answer.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from orchestrator.execute.sandbox.landlock import SCOPES_ABI
from orchestrator.execute.sandbox.syscalls import AUDIT_ARCH, LAST_KNOWN, libc, number, numbers, syscall

__all__ = [
    "ALLOW",
    "KILL",
    "MEMORY_FILES",
    "SOCKETS",
    "FilterBuilder",
    "InstallableFilter",
    "SyscallPolicy",
    "base_filter",
    "delta_filter",
    "fail",
    "install",
    "install_everywhere",
]

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000

# Classic BPF: load a word of seccomp_data, compare, mask, return.
_LD: Final = 0x20
_JEQ: Final = 0x15
_JGE: Final = 0x35
_JSET: Final = 0x45
_AND: Final = 0x54
_RET: Final = 0x06
_OFFSET_NR: Final = 0
_OFFSET_ARCH: Final = 4
_OFFSET_ARGS: Final = 16
_MAX_JUMP: Final = 255

_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_SET_MODE_FILTER: Final = 1
_TSYNC: Final = 1
"""``SECCOMP_FILTER_FLAG_TSYNC``: the filter goes on every thread of the process."""

_AF_UNIX: Final = 1
_AF_INET: Final = 2
_CLONE_NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_CLONE_NEWPID: Final = 0x20000000
_CLONE_THREAD: Final = 0x10000
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE = 8, 10, 15, 1024
_FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX = 0x8901, 0x8902, 0x5412, 0x541C
_O_TRUNC, _O_ACCMODE = 0o1000, 0o3
_FILE_TYPE: Final = 0o170000
"""S_IFMT: the bits of a mode that say what kind of file it is."""


def _words(names: str) -> list[str]:
    return names.split()


# Reading or steering other processes.
_PROCESSES = _words("""ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise process_mrelease
    rt_sigqueueinfo rt_tgsigqueueinfo migrate_pages move_pages setpriority ioprio_set sched_setscheduler
    sched_setattr sched_setparam""")
# The kernel's own configuration, and interfaces with a long record of holes.
_KERNEL = _words("""mount umount2 pivot_root chroot unshare setns open_tree open_tree_attr
    move_mount fsopen fsconfig fsmount fspick mount_setattr statmount listmount bpf perf_event_open
    userfaultfd add_key request_key keyctl kexec_load kexec_file_load init_module finit_module
    delete_module reboot swapon swapoff quotactl quotactl_fd acct settimeofday adjtimex
    clock_settime clock_adjtime open_by_handle_at name_to_handle_at fanotify_init fanotify_mark
    lookup_dcookie modify_ldt iopl ioperm vhangup syslog sethostname setdomainname personality
    uselib nfsservctl lsm_set_self_attr""")
# Objects that outlive their maker, or belong to others.
_NODES = _words("mknod mknodat")
_OBJECTS = _words("""shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semtimedop semctl
    mq_open mq_unlink""")
# Landlock does not cover owners, modes, attributes or times.
_OWNERS = _words("""chown fchown lchown fchownat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr
    fremovexattr removexattrat file_setattr""")
_MODES = _words("chmod fchmod fchmodat fchmodat2")
_TIMES = _words("utime utimes futimesat utimensat")
_GROUPS = _words("setsid setpgid")
_IDENTITY = _words("""setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset""")
_RINGS = _words("io_uring_setup io_uring_enter io_uring_register clone3")
MEMORY_FILES: Final = ("memfd_create", "memfd_secret")
"""Files that lie in memory and in no folder."""
SOCKETS: Final = ("socket", "connect", "bind", "listen", "accept", "accept4")
"""Making a socket that others can be reached with, and using one. Pairs are apart."""


class SyscallPolicy(NamedTuple):
    """What a filter must leave open; the defaults are those of a plain Python candidate."""

    landlock_abi: int = 0
    """Where Landlock cannot refuse truncation (below 3) or scope signals (below 6), the filter does."""
    own_pid_namespace: bool = False
    """Signals can reach nobody else, so they need no filter."""
    pid_namespaces: bool = False
    """The zygote forks each child into a PID namespace of its own; children may not."""
    unix_sockets: bool = False
    """``socket``, ``bind``, ``connect`` for AF_UNIX (libcuda opens one)."""
    internet_sockets: bool = False
    """``socket`` for AF_INET too: only ever in a network namespace that leads nowhere. Needs ``unix_sockets``."""
    memory_files: bool = False
    """``memfd_create`` (CUDA; its files may be executable memory)."""
    named_pipes: bool = False
    """``mknod`` and ``mknodat`` for pipes (the parts of compute-sanitizer and ncu talk through them)."""
    processes: bool = True
    """fork, vfork and clone without CLONE_THREAD."""
    execute: bool = True
    """execve and execveat."""
    filters_everywhere: bool = False
    """``seccomp``, for further filters on every thread at once and nothing else (:func:`install_everywhere`)."""

    @property
    def signals_contained(self) -> bool:
        """True where a signal cannot leave the candidate's own family, so that the filter names no process."""
        return self.own_pid_namespace or self.landlock_abi >= SCOPES_ABI


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def fail(code: int) -> int:
    """Return the filter result that makes a call fail with ``code`` (0: pretend that it succeeded)."""
    return _ERRNO | code


class FilterBuilder:
    """Assembles one filter. Every rule added may end the evaluation; what falls through all is allowed."""

    def __init__(self, machine: str | None = None) -> None:
        """Start with the checks of architecture and number that every filter needs.

        Raises:
            UnsupportedMachine: no system-call table for ``machine``.
        """
        self._machine = machine or os.uname().machine
        number("execve", self._machine)
        self._code: list[tuple[int, int, int, int]] = []
        self._emit(_LD, _OFFSET_ARCH)
        self._emit(_JEQ, AUDIT_ARCH[self._machine], 1, 0)
        self._emit(_RET, KILL)
        self._emit(_LD, _OFFSET_NR)
        # Unknown numbers: the x32 calls of x86-64 (from 0x40000000) and whatever a newer kernel adds.
        self._emit(_JGE, LAST_KNOWN + 1, 0, 1)
        self._emit(_RET, fail(errno.ENOSYS))

    def deny(self, names: Iterable[str], code: int) -> None:
        """Make these calls fail with ``code`` (0: pretend success)."""
        found = numbers(names, self._machine)
        if not found:
            return
        if len(found) > _MAX_JUMP:
            raise ValueError("too many calls in one rule")
        for position, nr in enumerate(found):
            left = len(found) - position - 1
            # The last comparison skips the return when it fails; the others jump to it when they succeed.
            self._emit(_JEQ, nr, left, 0 if left else 1)
        self._emit(_RET, fail(code))

    def deny_values(self, name: str, argument: int, values: Sequence[int], code: int) -> None:
        """Make ``name`` fail when the low word of the argument (from 0) is one of ``values``."""
        tests = [
            (_JEQ, value, len(values) - i - 1, 0 if i < len(values) - 1 else 1) for i, value in enumerate(values)
        ]
        self._on_argument(name, argument, [*tests, (_RET, fail(code), 0, 0)])

    def allow_only(self, name: str, argument: int, values: Sequence[int], code: int) -> None:
        """Make ``name`` fail unless the low word of the argument is one of ``values``."""
        tests = [(_JEQ, value, len(values) - i, 0) for i, value in enumerate(values)]
        self._on_argument(name, argument, [*tests, (_RET, fail(code), 0, 0)])

    def deny_bits(self, name: str, argument: int, bits: int, code: int) -> None:
        """Make ``name`` fail when any of ``bits`` is set in the low word of the argument."""
        self._on_argument(name, argument, [(_JSET, bits, 0, 1), (_RET, fail(code), 0, 0)])

    def require_bits(self, name: str, argument: int, bits: int, code: int) -> None:
        """Make ``name`` fail unless one of ``bits`` is set in the low word of the argument."""
        self._on_argument(name, argument, [(_JSET, bits, 1, 0), (_RET, fail(code), 0, 0)])

    def deny_masked(self, name: str, argument: int, mask: int, value: int, code: int) -> None:
        """Make ``name`` fail when the argument masked equals ``value``."""
        self._on_argument(name, argument, [(_AND, mask, 0, 0), (_JEQ, value, 0, 1), (_RET, fail(code), 0, 0)])

    def require_masked(self, name: str, argument: int, mask: int, value: int, code: int) -> None:
        """Make ``name`` fail unless the argument masked equals ``value``."""
        self._on_argument(name, argument, [(_AND, mask, 0, 0), (_JEQ, value, 1, 0), (_RET, fail(code), 0, 0)])

    def deny_execution(self) -> None:
        """Make the calls fail that put another program in this one's place."""
        self.deny(["execve", "execveat"], errno.EPERM)

    def deny_processes(self) -> None:
        """Make the calls fail that start a process; threads go on."""
        self.deny(["fork", "vfork"], errno.EPERM)
        self.require_bits("clone", 0, _CLONE_THREAD, errno.EPERM)

    def build(self) -> bytes:
        """Return the filter, ready for :func:`install`."""
        return b"".join(struct.pack("=HBBI", *i) for i in [*self._code, (_RET, 0, 0, ALLOW)])

    def _on_argument(self, name: str, argument: int, tests: list[tuple[int, int, int, int]]) -> None:
        nr = number(name, self._machine)
        if nr is None:
            return
        self._emit(_JEQ, nr, 0, len(tests) + 2)
        self._emit(_LD, _OFFSET_ARGS + 8 * argument)
        for code, k, yes, no in tests:
            self._emit(code, k, yes, no)
        # A test that was passed lands here with the argument loaded: get the number back for the next rule.
        self._emit(_LD, _OFFSET_NR)

    def _emit(self, code: int, k: int, yes: int = 0, no: int = 0) -> None:
        self._code.append((code, yes, no, k))


def base_filter(policy: SyscallPolicy, machine: str | None = None) -> bytes:
    """Return the filter for the zygote: all that neither it (once started) nor a candidate needs."""
    rules = FilterBuilder(machine)
    if policy.unix_sockets:
        families = [_AF_UNIX, _AF_INET] if policy.internet_sockets else [_AF_UNIX]
        rules.allow_only("socket", 0, families, errno.EACCES)
    else:
        rules.deny(SOCKETS, errno.EACCES)
    rules.allow_only("socketpair", 0, [_AF_UNIX], errno.EAFNOSUPPORT)
    rules.deny([*_PROCESSES, *_KERNEL, *_OBJECTS, *_OWNERS], errno.EPERM)
    if policy.named_pipes:
        for name, argument in (("mknod", 1), ("mknodat", 2)):
            rules.require_masked(name, argument, _FILE_TYPE, stat.S_IFIFO, errno.EPERM)
    else:
        rules.deny(_NODES, errno.EPERM)
    rules.deny(_TIMES, 0)
    rules.deny(_RINGS, errno.ENOSYS)
    if not policy.memory_files:
        rules.deny(MEMORY_FILES, errno.ENOSYS)
    allowed = _CLONE_NEWPID if policy.pid_namespaces else 0
    rules.deny_bits("clone", 0, _CLONE_NAMESPACES & ~allowed, errno.EPERM)
    # Through these the kernel signals others, types into a terminal, or has whoever opens a file wait, on the
    # caller's behalf.
    rules.deny_values("fcntl", 1, [_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE], errno.EPERM)
    rules.deny_values("ioctl", 1, [_FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX], errno.EPERM)
    if policy.landlock_abi < 3:
        rules.deny(["truncate", "openat2"], errno.EPERM)
        # Opening read-only with O_TRUNC truncates, and such a Landlock lets it.
        for name, argument in (("open", 1), ("openat", 2)):
            rules.deny_masked(name, argument, _O_ACCMODE | _O_TRUNC, _O_TRUNC, errno.EPERM)
    return rules.build()


def delta_filter(policy: SyscallPolicy, pid: int | None = None, machine: str | None = None) -> bytes:
    """Return the filter for one child: what the zygote needs and a candidate must not have.

    Args:
        policy: what stays open.
        pid: the candidate's own process id; None: the caller's. It matters only where signals are not
            contained otherwise; elsewhere one filter serves all children.
        machine: as ``os.uname().machine`` says; None: this one.
    """
    rules = FilterBuilder(machine)
    # Success is pretended, so that shutil.copy and its like keep working.
    rules.deny(_MODES, 0)
    if not policy.own_pid_namespace:
        # A family that stays one process group can be ended by one signal, which no fork escapes.
        rules.deny(_GROUPS, 0)
    rules.deny([*_IDENTITY, "tkill", "pidfd_send_signal", "landlock_create_ruleset"], errno.EPERM)
    if policy.filters_everywhere:
        # Not with a listener: whoever answers for the kernel could let the driver believe anything.
        rules.allow_only("seccomp", 0, [_SET_MODE_FILTER], errno.EPERM)
        rules.allow_only("seccomp", 1, [_TSYNC], errno.EPERM)
    else:
        rules.deny(["seccomp"], errno.EPERM)
    if not policy.execute:
        rules.deny_execution()
    if policy.pid_namespaces:
        rules.deny_bits("clone", 0, _CLONE_NAMESPACES, errno.EPERM)
    if not policy.processes:
        rules.deny_processes()
    if not policy.signals_contained:
        me = os.getpid() if pid is None else pid
        rules.allow_only("kill", 0, [me, 0], errno.EPERM)
        rules.allow_only("tgkill", 0, [me], errno.EPERM)
    # Zero is the caller itself: the limits and the cores of others stay as they are.
    rules.allow_only("prlimit64", 0, [0], errno.EPERM)
    rules.allow_only("sched_setaffinity", 0, [0], errno.EPERM)
    return rules.build()


class InstallableFilter:
    """A filter laid out in memory beforehand, so that a fork has one call to make."""

    def __init__(self, program: bytes) -> None:
        self._code = ctypes.create_string_buffer(program, len(program))
        self._holder = _Program(len(program) // 8, ctypes.addressof(self._code))
        self._arguments = [
            ctypes.c_ulong(argument) for argument in (_MODE_FILTER, ctypes.addressof(self._holder), 0, 0)
        ]

    def install(self) -> None:
        """Put the calling thread under the filter, for good. Needs no-new-privileges.

        Raises:
            OSError: the kernel refused.
        """
        if libc.prctl(_PR_SET_SECCOMP, *self._arguments) != 0:
            raise _refused(ctypes.get_errno())

    def install_everywhere(self) -> None:
        """Put every thread of this process under the filter, for good. Needs no-new-privileges.

        Raises:
            OSError: the kernel refused, or a thread has a filter that the calling one has not (``EBUSY``); then no
                thread is under the new filter.
        """
        thread = syscall("seccomp", _SET_MODE_FILTER, _TSYNC, ctypes.addressof(self._holder))
        if thread != 0:
            raise _refused(errno.EBUSY)


def install(program: bytes) -> None:
    """Put the calling thread under the filter, for good. Needs no-new-privileges.

    Raises:
        OSError: the kernel refused.
    """
    InstallableFilter(program).install()


def install_everywhere(program: bytes) -> None:
    """Put every thread of this process under the filter, for good. Needs no-new-privileges.

    Raises:
        OSError: the kernel refused, or a thread has a filter that the calling one has not (``EBUSY``); then no
            thread is under the new filter.
    """
    InstallableFilter(program).install_everywhere()


def _refused(code: int) -> OSError:
    return OSError(code, f"the filter was refused: {os.strerror(code)}")
