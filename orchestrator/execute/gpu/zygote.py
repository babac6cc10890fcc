"""The warm process that candidates and the referee are forked from. CUDA stays uninitialised in it.

Started as a program of its own (``python -m orchestrator.execute.gpu.zygote FD``), never forked from the executor's
process, whose sockets and threads it must not inherit. It holds no secret: every child gets a copy of its memory.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any

from orchestrator.execute.gpu import candidate, confine, referee, toolbox, wire
from orchestrator.execute.gpu.confine import Bounds
from orchestrator.execute.sandbox import process

__all__ = ["main"]


@dataclass(slots=True)
class _Child:
    number: int
    pid: int
    pidfd: int


def main(fd: int) -> None:
    """Serve spawn requests on socket ``fd`` until the executor hangs up."""
    control = socket.socket(fileno=fd)
    control.set_inheritable(False)
    config, _ = wire.receive(control)
    began = time.perf_counter()
    failed = _preload(config["modules"])
    bounds = Bounds(config["folder"], config["root_at"], read=tuple(config["read"]), hidden=tuple(config["hidden"]))
    tiers = {tier: confine.probe(tier, bounds) for tier in confine.TIERS}
    process.subreaper()
    gc.collect()
    gc.freeze()
    threads = len(os.listdir("/proc/self/task"))
    wire.send(
        control,
        {
            "ready": time.perf_counter() - began,
            "tiers": tiers,
            "threads": threads,
            "failed": failed,
            "missing": confine.missing(),
        },
    )
    _serve(control)


def _preload(modules: list[str]) -> dict[str, str]:
    """Import what candidates will need; what fails is told, by name."""
    failed: dict[str, str] = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed[name] = str(error)[:200]
    return failed


def _serve(control: socket.socket) -> None:
    children: dict[int, _Child] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd != control.fileno():
                child = children.pop(fd)
                poll.unregister(fd)
                _bury(control, child, list(children.values()))
                continue
            try:
                request, fds = wire.receive(control, 4)
            except EOFError:
                for left in children.values():
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(left.pidfd, signal.SIGKILL)
                process.kill_children()
                return
            made = _spawn(control, request, fds, list(children.values()))
            if made is not None:
                children[made.pidfd] = made
                poll.register(made.pidfd, select.POLLIN)


def _spawn(
    control: socket.socket, request: dict[str, Any], fds: list[int], siblings: list[_Child]
) -> _Child | None:
    """Fork one child and tell the executor its pidfd."""
    try:
        pid = confine.enter(request["tier"])
    except OSError as error:
        wire.close_all(fds)
        wire.send(control, {"refused": str(error), "number": request["number"]})
        return None
    if pid == 0:
        status = 111
        try:
            control.close()
            wire.close_all([s.pidfd for s in siblings])
            _child(request, fds)
            status = 0
        except BaseException:  # noqa: BLE001 - the last frame of a child: what went wrong is printed, then it ends
            with contextlib.suppress(BaseException):
                traceback.print_exc()
                sys.stderr.flush()
        finally:
            os._exit(status)
    wire.close_all(fds)
    child = _Child(request["number"], pid, os.pidfd_open(pid))
    wire.send(control, {"spawned": child.number}, [child.pidfd])
    return child


def _bury(control: socket.socket, child: _Child, living: list[_Child]) -> None:
    """Wait for a dead child, end what it left behind, and tell the executor."""
    _, status, usage = os.wait4(child.pid, 0)
    os.close(child.pidfd)
    _end_strays(living)
    message = {
        "ended": child.number,
        "code": os.waitstatus_to_exitcode(status),
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss << 10,
    }
    wire.send(control, message)


def _end_strays(living: list[_Child]) -> None:
    """End processes that a dead child left: orphans come to this process, which is their subreaper.

    Where children have a PID namespace of their own, the kernel has ended them all by now.
    """
    known = {child.pid for child in living}
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listed:
            strays = [int(pid) for pid in listed.read().split() if int(pid) not in known]
        if not strays:
            return
        for pid in [*strays, *(d for stray in strays for d in process.descendants(stray))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in strays:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _child(request: dict[str, Any], fds: list[int]) -> None:
    """Become a candidate or the referee: descriptors in place, confined, then serve."""
    with contextlib.suppress(OSError):
        os.setsid()
    process.die_with_parent()
    null = os.open("/dev/null", os.O_RDONLY)
    output, errors = fds[0], fds[1]
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    for fd in (null, output, errors):
        os.close(fd)
    sockets = [socket.socket(fileno=fd) for fd in fds[2:]]
    os.environ.update(request["environment"])
    bounds = request["bounds"]
    confine.confine(
        request["tier"],
        Bounds(
            folder=bounds["folder"],
            root_at=bounds["root_at"],
            read=tuple(bounds["read"]),
            nodes=tuple(bounds["nodes"]),
            hidden=tuple(bounds["hidden"]),
            file_bytes=bounds["file_bytes"],
            open_files=bounds["open_files"],
            data_bytes=bounds["data_bytes"],
            scratch_bytes=bounds["scratch_bytes"],
            tools=request["role"] == "tool",
        ),
    )
    sys.argv = ["program"]
    # What it printed must be there when it is killed.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    if request["role"] == "referee":
        referee.serve(sockets[0], request["config"])
    elif request["role"] == "tool":
        toolbox.serve(sockets[0], request["config"])
    else:
        candidate.serve(sockets[0], sockets[1], request["config"], confine.close_doors, confine.seal)


if __name__ == "__main__":
    main(int(sys.argv[1]))
