"""A sandbox process: started by the supervisor through ``start.py FD``.

Two processes come of it. The *keeper* (the one started) stays outside, forks the inner process into its namespaces,
waits for its end, kills whatever should be left and removes the box's folder: so nothing survives even when the
supervisor, or the inner process, is killed. The inner process confines itself and becomes the zygote or the
referee; it ends when the supervisor's end of the control socket is closed, and is killed when it does not. The
specification comes as one line on standard input, whose closing tells the keeper that the supervisor is gone.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from orchestrator.execute.sandbox import (
    capabilities,
    landlock,
    namespaces,
    process,
    referee,
    rlimits,
    seccomp,
    zygote,
)
from orchestrator.execute.sandbox.spec import BoxSpec

__all__ = ["main"]

_SCRATCH = "/box"
_SHARED_MEMORY = "/dev/shm"
_REFUSED = 77
_GRACE_MS = 3000
_REFEREE_BYTES = 4 << 30
"""Address space above its own size: a giant answer ends in a MemoryError there, not on the node."""


def main() -> None:
    """Read the specification, build the box and keep it until its end."""
    control = socket.socket(fileno=int(sys.argv[1]))
    # Standard input stays open in the keeper alone, as its lifeline.
    spec = BoxSpec.load(sys.stdin.buffer.readline())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    process.subreaper()
    _preload(spec)
    reason = "not asked for" if "namespaces" in spec.without else ""
    if not reason:
        reason = _keep(control, spec, namespaces.ALL)
    if reason:
        spec = spec._replace(uid=spec.plain_uid, gid=spec.plain_gid)
        os.chown(os.path.join(spec.folder, "scratch"), spec.uid, spec.gid)
        _keep(control, spec, 0, reason)
    process.kill_children()
    # Only now: what it brings (three compressors) would be carried by every fork of the zygote.
    import shutil

    shutil.rmtree(spec.folder, ignore_errors=True)


def _keep(control: socket.socket, spec: BoxSpec, flags: int, reason: str = "") -> str:
    """Fork the inner process and wait for its end; return why its namespaces were refused, if they were."""
    told, tell = os.pipe()
    keeper = os.getpid()
    try:
        pid = namespaces.enter(flags, spec.uid, spec.gid)
    except OSError as error:
        os.close(told)
        os.close(tell)
        if flags and namespaces.refused(error):
            return error.strerror or str(error)
        raise
    if pid == 0:
        os.close(told)
        watched = -1 if flags else os.pidfd_open(keeper)
        # Candidates' discarded output is sent to this very descriptor, so it can be written too.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        try:
            _enter(spec, flags)
        except OSError as error:
            if not (flags and namespaces.refused(error)):
                raise
            os.write(tell, str(error).encode()[:500])
            os._exit(_REFUSED)
        os.close(tell)
        _serve(control, spec, flags, watched, reason)
        os._exit(0)
    os.close(tell)
    why = os.read(told, 500).decode()
    os.close(told)
    if not why:
        # From here on only the inner process holds the control socket, so that it sees the supervisor go.
        control.close()
        _silence()
    _wait(pid)
    return why


def _wait(pid: int) -> None:
    """Wait for the inner process; once the supervisor is gone, not for long."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(0, 0)
    if not any(descriptor == pidfd for descriptor, _ in poll.poll()):
        poll.unregister(0)
        if not poll.poll(_GRACE_MS):
            os.kill(pid, signal.SIGKILL)
    os.close(pidfd)
    os.waitpid(pid, 0)


def _enter(spec: BoxSpec, flags: int) -> None:
    """See only what the box is to see, as whom it is to be."""
    if flags:
        namespaces.private_root(
            namespaces.Root(
                at=os.path.join(spec.folder, "root"),
                read=spec.read,
                hidden=spec.hidden,
                shown=spec.shown,
                devices=spec.devices,
                scratch=_SCRATCH,
                scratch_bytes=spec.scratch_bytes,
                uid=spec.uid,
                gid=spec.gid,
                shared_memory=spec.role == "zygote",
            )
        )
    if os.getuid() != spec.uid:
        process.become(spec.uid, spec.gid)
    capabilities.drop_all()
    if flags:
        process.die_with_parent()
    process.subreaper()
    os.umask(0o077)


def _serve(control: socket.socket, spec: BoxSpec, flags: int, keeper: int, reason: str) -> None:
    _forget_paths(spec)
    process.no_new_privileges()
    scratch = _SCRATCH if flags else os.path.join(spec.folder, "scratch")
    os.environ.update(HOME=scratch, TMPDIR=scratch)
    os.chdir(scratch)
    shared_memory = _SHARED_MEMORY if flags and spec.role == "zygote" else ""
    version = 0 if "landlock" in spec.without else landlock.abi()
    ruleset = _ruleset(spec, flags, [scratch, *filter(None, [shared_memory])]) if version else -1
    policy = None
    if "seccomp" not in spec.without:
        policy = seccomp.SyscallPolicy(
            landlock_abi=version,
            own_pid_namespace=bool(flags),
            processes=spec.role == "zygote",
            execute=spec.role == "zygote",
        )
    size, resident = _size_bytes()
    if spec.role == "referee":
        if ruleset >= 0:
            landlock.restrict_self(ruleset)
            os.close(ruleset)
        if policy is not None:
            seccomp.install(seccomp.delta_filter(policy))
    if policy is not None:
        seccomp.install(seccomp.base_filter(policy))
    _report(
        control,
        {
            "namespaces": bool(flags),
            "refused": reason,
            "landlock": version,
            "seccomp": policy is not None,
            "uid": os.getuid(),
            "size_bytes": size,
            "resident_bytes": resident,
        },
    )
    _silence()
    if spec.role == "referee":
        rlimits.apply(rlimits.ResourceLimits(address_space_bytes=size + _REFEREE_BYTES, file_bytes=0))
        if not flags:
            process.die_with_parent()
        referee.serve(control)
        return
    zygote.serve(
        control,
        zygote.Confinement(
            scratch=scratch,
            shared_memory=shared_memory,
            ruleset=ruleset,
            policy=policy,
            own_pids=bool(flags),
            keeper=keeper,
        ),
    )


def _size_bytes() -> tuple[int, int]:
    """Address space and resident set of this process."""
    with open("/proc/self/statm", encoding="utf-8") as statm:
        size, resident = (int(pages) * os.sysconf("SC_PAGE_SIZE") for pages in statm.read().split()[:2])
    return size, resident


def _report(control: socket.socket, standing: dict[str, Any]) -> None:
    """Say that the box stands and what of it stands, and hand over a pidfd of this process."""
    pidfd = os.pidfd_open(os.getpid())
    socket.send_fds(control, [json.dumps(standing).encode()], [pidfd])
    os.close(pidfd)


def _ruleset(spec: BoxSpec, flags: int, write: list[str]) -> int:
    if flags:
        # What is hidden is not mounted here, and every fork pays for every rule.
        return landlock.ruleset(read=spec.read, write=write, devices=spec.devices)
    hidden = [path for path in spec.hidden if path not in spec.shown]
    read = [*landlock.expand(spec.read, hidden), *spec.shown]
    # Importing lists the folders on the path; of hidden ones no more than names is seen.
    return landlock.ruleset(read=read, write=write, devices=spec.devices, listed=spec.read)


def _preload(spec: BoxSpec) -> None:
    sys.path += spec.search
    # The module ``random`` would seed itself anew in every fork, which costs more than the fork. Without it every
    # candidate starts from the same state, which is also what makes its verdict the same every time.
    register = os.register_at_fork
    os.register_at_fork = lambda **_: None
    import random

    random.seed(0)
    os.register_at_fork = register
    for name in spec.preload:
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def _forget_paths(spec: BoxSpec) -> None:
    """Leave no path by which a program would find this package or what is installed beside it."""
    if not spec.keep_search:
        sys.path[:] = [path for path in sys.path if path not in spec.search]
    sys.path_importer_cache.clear()
    sys.argv[:] = [""]


def _silence() -> None:
    """Standard output and error were kept for a failing start; nobody reads them now."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)
