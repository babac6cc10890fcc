"""Processes: prctl, forks into namespaces, clocks and memory of others, and whole families of descendants."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator
from typing import Final

from orchestrator.execute.sandbox.syscalls import libc, number

__all__ = [
    "become",
    "cpu_seconds",
    "descendants",
    "die_with_parent",
    "fork_into",
    "host_pid",
    "kill_children",
    "kill_group",
    "no_new_privileges",
    "prctl",
    "resident_bytes",
    "run_first",
    "running_first",
    "start_time",
    "subreaper",
    "tree_cpu_seconds",
    "trim_heap",
]

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_CHILD_SUBREAPER: Final = 36
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
# PyDLL keeps the interpreter lock during the call, which a raw fork needs.
_locked: Final = ctypes.PyDLL(None, use_errno=True)
_locked.syscall.restype = ctypes.c_long


def prctl(operation: int, *args: int) -> int:
    """Call ``prctl(2)``.

    Raises:
        OSError: the kernel refused.
    """
    padded = [*args, 0, 0, 0, 0][:4]
    result = int(libc.prctl(operation, *[ctypes.c_ulong(a) for a in padded]))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {operation}: {os.strerror(code)}")
    return result


def die_with_parent(expected_parent: int | None = None) -> None:
    """Ask for SIGKILL when the *thread* that started this process ends; ends now if that has happened.

    Only for children of a single-threaded process: of a pool thread's child it would be the death. Without
    ``expected_parent`` (the parent is outside of this PID namespace and shows as 0) nothing is checked.
    """
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if expected_parent is not None and os.getppid() != expected_parent:
        os._exit(1)


def no_new_privileges() -> None:
    """Rule out that any later exec gains privileges; Landlock and seccomp ask for it."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def subreaper() -> None:
    """Make orphans among this process's descendants its own children."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def become(uid: int, gid: int) -> None:
    """Change to an ordinary user for good, without supplementary groups (as root) and capabilities.

    It also clears the parent-death signal, so that :func:`die_with_parent` comes after it.

    Raises:
        OSError: not allowed, or the ids have no meaning in this user namespace.
    """
    if os.geteuid() == 0:
        os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def fork_into(flags: int) -> int:
    """Fork with ``CLONE_NEW*`` flags: 0 in the child, the child's id in the parent.

    The interpreter's own state is carried over as by ``os.fork``; handlers that C libraries registered with
    ``pthread_atfork`` are skipped, so only a process with one thread may call it.

    Raises:
        OSError: the kernel refused.
    """
    api = ctypes.pythonapi
    nr = number("clone")
    api.PyOS_BeforeFork()
    zero = ctypes.c_long(0)
    pid = int(
        _locked.syscall(ctypes.c_long(nr or 0), ctypes.c_long(flags | signal.SIGCHLD), zero, zero, zero, zero)
    )
    if pid == 0:
        api.PyOS_AfterFork_Child()
        return 0
    code = ctypes.get_errno()
    api.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, f"clone: {os.strerror(code)}")
    return pid


def host_pid(pidfd: int) -> int:
    """Return the process's id as this process's /proc shows it; -1 when it is gone or not visible."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="utf-8") as info:
        for line in info:
            if line.startswith("Pid:"):
                return int(line.split()[1])
    raise OSError("not a pidfd")


def cpu_seconds(pid: int) -> float | None:
    """Return user + system seconds of one living process, to the nanosecond; None when it is gone."""
    try:
        # The clock id of a process, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def tree_cpu_seconds(pids: Iterable[int]) -> float:
    """Return user + system seconds of these processes and of their children that have been waited for."""
    total = 0.0
    for pid in pids:
        fields = _stat(pid)
        if fields is not None:
            total += sum(int(f) for f in fields[11:15]) / _TICKS
    return total


def resident_bytes(pid: int) -> int | None:
    """Return the resident set of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="utf-8") as statm:
            return int(statm.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return None


def trim_heap() -> None:
    """Give free memory back to the kernel, where the C library can: forks copy the tables of all that is held."""
    trim = getattr(libc, "malloc_trim", None)
    if trim is not None:
        trim(0)


def start_time(pid: int) -> int | None:
    """Return when the process started, in ticks since boot, which tells it from a later one of the same id.

    None when it is gone, or dead and only not yet waited for.
    """
    fields = _stat(pid)
    return None if fields is None or fields[0] in ("Z", "X") else int(fields[19])


def descendants(pid: int, most: int | None = None) -> list[int]:
    """Return all living descendants of ``pid``, parents before children; from ``most`` on, no more are looked for.

    Each process's list is read once, so one that forks at that moment may be missed.
    """
    found: list[int] = []
    pending = [pid]
    while pending and (most is None or len(found) < most):
        children = _children(pending.pop())
        found += children
        pending += children
    return found


def kill_group(pidfd: int) -> None:
    """Kill a process and, where it leads a process group, all of that; nothing where it has ended already.

    One signal for all: the kernel lets no fork through that began before it, and nobody of a large family has to
    come to a processor for the others to be ended. It is meant for children that others wait for; between the look
    and the signal the number could be somebody else's only if all others were used up in between.
    """
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, 0)
        pid = host_pid(pidfd)
        # The group first: once its leader is dead it may be waited for, and its number is free.
        with contextlib.suppress(ProcessLookupError):
            if pid > 0:
                os.killpg(pid, signal.SIGKILL)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def kill_children() -> float:
    """Kill every descendant of this process, wait for all, and return the CPU seconds that they had used.

    This process must be a subreaper. Families that fork faster than they are listed are stopped first, then
    killed, until no child is left.
    """
    used = 0.0
    while True:
        family = descendants(os.getpid())
        for deed in (signal.SIGSTOP, signal.SIGKILL):
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, deed)
        try:
            usage = os.wait4(-1, 0)[2]
            used += usage.ru_utime + usage.ru_stime
            while True:
                reaped, _, usage = os.wait4(-1, os.WNOHANG)
                if not reaped:
                    break
                used += usage.ru_utime + usage.ru_stime
        except ChildProcessError:
            return used


def run_first(pid: int) -> bool:
    """Have the kernel run a process (0: this thread) whenever it wants to, before all ordinary ones.

    What it forks is ordinary again. Where the kernel counts no processes of a user's (root), a family that forks
    without end would otherwise leave those that are to end it no turn on the processors. False where this process
    may not ask for it.
    """
    lowest = os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
    try:
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, lowest)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running_first() -> Iterator[None]:
    """Be a thread that runs first, where that is permitted, for as long as this lasts."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    asked = run_first(0)
    try:
        yield
    finally:
        if asked:
            try:
                os.sched_setscheduler(0, policy, parameters)
            except PermissionError:
                # Who got it by a limit on real-time priorities may not let its children inherit again.
                os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, parameters)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="utf-8") as children:
                found += [int(child) for child in children.read().split()]
        except OSError:
            continue
    return found


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat after the name (field 3 on), None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().decode("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
