"""The zygote: a warm, small, single-threaded interpreter that forks one confined candidate per program.

It never sees a program: code goes from the referee straight to the candidate. Over its control socket (SEQPACKET)
it is sent the two descriptors of a candidate (channel and output), answers ``P`` with a pidfd as soon as it is
forked, and ``E`` with how it ended once nothing of it is left: no process, no file.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
from typing import NamedTuple, NoReturn

from orchestrator.execute.sandbox import candidate, landlock, process, rlimits, seccomp
from orchestrator.execute.sandbox.cleanup import empty_folder
from orchestrator.execute.sandbox.process import trim_heap

__all__ = ["Confinement", "serve"]

_CHANNEL = 3
_DISCARD = 4
_WORK = "work"


class Confinement(NamedTuple):
    """What the box has set up, and each candidate is put under."""

    scratch: str
    """The folder that candidates may write to."""
    shared_memory: str
    """Another one, shown as /dev/shm; empty where the box has none."""
    ruleset: int
    """Landlock; -1 without."""
    policy: seccomp.SyscallPolicy | None
    """None: no filter."""
    own_pids: bool
    """The zygote is the first process of a PID namespace."""
    keeper: int
    """A pidfd of the keeper: should it be killed, the zygote clears up in its place. -1 where the zygote dies with
    it and, as the first process of its namespace, takes all others along."""


def serve(control: socket.socket, box: Confinement) -> None:
    """Fork candidates until the supervisor closes its end, then leave nothing behind."""
    delta = None
    if box.policy is not None and box.policy.signals_contained:
        delta = seccomp.InstallableFilter(seccomp.delta_filter(box.policy))
    # What every candidate is held to alike is inherited.
    rlimits.apply(rlimits.ResourceLimits())
    end_family = _end_namespace if box.own_pids else process.kill_children
    # Whatever is received from now on lies above the places that a candidate's descriptors have.
    while os.dup(0) <= _DISCARD:
        continue
    candidate.rehearse()
    # What is there now will not change: keep the collector from touching, and so copying, its pages in children.
    gc.collect()
    trim_heap()
    gc.freeze()
    idle = _idle_peak()
    while True:
        descriptors = _ask(control, box.keeper)
        if descriptors is None:
            return
        pid = os.fork()
        if pid == 0:
            _become_candidate(box, delta, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        orderly = _watch(control, box.keeper, pid)
        if not box.own_pids:
            _end_group(pid)
        _, status, usage = os.wait4(pid, 0)
        strays = end_family()
        _clear(box)
        if not orderly:
            return
        cpu = usage.ru_utime + usage.ru_stime + strays
        peak = max(0, usage.ru_maxrss * 1024 - idle)
        try:
            control.send(b'E{"status":%d,"cpu_s":%r,"peak_bytes":%d}' % (status, cpu, peak))
        except ConnectionError:
            return


def _idle_peak() -> int:
    """Return the peak memory of a candidate that does nothing, in bytes: what is not a program's own."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.wait4(pid, 0)[2].ru_maxrss * 1024


def _clear(box: Confinement) -> None:
    """Leave no file; in the usual case there is only the empty working folder."""
    with contextlib.suppress(OSError):
        os.rmdir(box.scratch + "/" + _WORK)
    for folder in (box.scratch, box.shared_memory):
        if folder and os.listdir(folder):
            empty_folder(folder)


def _ask(control: socket.socket, keeper: int) -> list[int] | None:
    """Wait for the descriptors of the next candidate; None when the supervisor or the keeper is gone."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    if keeper >= 0:
        poll.register(keeper, select.POLLIN)
    if any(descriptor == keeper for descriptor, _ in poll.poll()):
        return None
    try:
        message, descriptors, _, _ = socket.recv_fds(control, 64, 2)
    except ConnectionError:
        return None
    return descriptors if message and len(descriptors) == 2 else None


def _watch(control: socket.socket, keeper: int, pid: int) -> bool:
    """Hand over a pidfd and wait for the end of the process.

    When the supervisor or the keeper goes first, kill the process and return False.
    """
    pidfd = os.pidfd_open(pid)
    try:
        with contextlib.suppress(ConnectionError):
            socket.send_fds(control, [b"P"], [pidfd])
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(control, select.POLLHUP | select.POLLRDHUP)
        if keeper >= 0:
            poll.register(keeper, select.POLLIN)
        if {descriptor for descriptor, _ in poll.poll()} == {pidfd}:
            return True
        os.kill(pid, signal.SIGKILL)
        return False
    finally:
        os.close(pidfd)


def _end_group(leader: int) -> None:
    """Kill all that is left of a candidate's process group, whose leader was not waited for yet.

    Candidates cannot leave it (the filter sees to that), and the kernel lets no fork through that began before the
    signal. Ending them one by one would be a race that a family which forks without end can win.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end_namespace() -> float:
    """Kill all that is left in this PID namespace; return the CPU seconds that it used.

    As the namespace's first process, -1 means everybody else in it. The kernel lets no fork through that began
    before the signal, so one pass is enough, and every orphan is ours to wait for.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    used = 0.0
    with contextlib.suppress(ChildProcessError):
        while True:
            usage = os.wait4(-1, 0)[2]
            used += usage.ru_utime + usage.ru_stime
    return used


def _become_candidate(
    box: Confinement, delta: seccomp.InstallableFilter | None, channel: int, output: int
) -> NoReturn:
    """Confine this forked process and serve as a candidate; never returns."""
    try:
        _confine(box, delta, channel, output)
        candidate.serve(_CHANNEL, _DISCARD)
    finally:
        os._exit(0)


def _confine(box: Confinement, delta: seccomp.InstallableFilter | None, channel: int, output: int) -> None:
    os.setsid()
    if not box.own_pids:
        # The first process of a PID namespace takes all others with it.
        process.die_with_parent()
    work = os.path.join(box.scratch, _WORK)
    os.mkdir(work, 0o700)
    os.chdir(work)
    if box.ruleset >= 0:
        landlock.restrict_self(box.ruleset)
    # 0 is /dev/null already; neither of the two sits where another is to go.
    for source, target in ((output, 1), (output, 2), (channel, _CHANNEL), (0, _DISCARD)):
        os.dup2(source, target, inheritable=target <= 2)
    os.closerange(_DISCARD + 1, 1 << 16)
    if delta is not None:
        delta.install()
    elif box.policy is not None:
        seccomp.install(seccomp.delta_filter(box.policy))
