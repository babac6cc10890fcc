"""The executor's hold on the processes below it: the zygote, candidates, the referee."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orchestrator.execute.gpu import wire
from orchestrator.execute.gpu.removal import remove_tree
from orchestrator.execute.sandbox import process

__all__ = ["Child", "Ending", "Family", "FamilyError"]

_START_S: Final = 120.0
"""Importing torch, CuPy and Triton from a cold disk."""
_PASSED_ON: Final = (
    *("PATH", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CUDA_DEVICE_ORDER", "LANG", "LC_ALL", "TZ"),
    *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NCCL_NVLS_ENABLE"),
)
"""The only variables of this process that reach the ones below: keys and tokens are not among them."""
_CACHES: Final = (
    *("HOME", "TMPDIR", "CUDA_CACHE_PATH", "TRITON_CACHE_DIR", "TRITON_HOME", "TORCH_EXTENSIONS_DIR"),
)
"""Variables that name a place to write: each program's own scratch folder, since a shared cache can be poisoned."""
_MEANWHILE_S: Final = 0.005
_MODULES: Final = ("numpy", "torch", "torch.utils.dlpack")
_CARD_MODULES: Final = ("cupy", "triton", "triton.language")


class FamilyError(RuntimeError):
    """The processes that judge programs could not be started, or died."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended."""

    code: int
    """Exit status, negative for a signal."""
    cpu_s: float
    peak_bytes: int


@dataclass(slots=True)
class Child:
    """A process forked from the zygote."""

    number: int
    role: str
    chan: socket.socket
    """To this process. Candidates send two messages on it, the referee all of its."""
    line: socket.socket | None
    """The referee's end of a candidate's line, until it is handed over."""
    folder: Path
    streams: dict[int, bytearray]
    """stdout and stderr by descriptor, as far as kept."""
    cap: int
    pidfd: int = -1
    pid: int = -1
    inbox: deque[dict[str, Any]] = field(default_factory=deque)
    ending: Ending | None = None
    killed: str = ""
    """Why this process ended it; empty if it did not."""
    since: float = field(default_factory=time.monotonic)

    def output(self) -> str:
        """What it printed, stdout before stderr."""
        return "".join(bytes(kept).decode("utf-8", "replace") for kept in self.streams.values())

    def kill(self, why: str) -> None:
        """End it and everything that it started, as far as the kernel knows of it."""
        self.killed = self.killed or why
        if self.ending is None and self.pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


class Family:
    """One zygote and its children."""

    def __init__(self, gpu: bool, environment: Mapping[str, str], scratch_dir: str | None) -> None:
        """Start the zygote and wait until it is warm.

        Args:
            gpu: import CuPy and Triton too.
            environment: added to what is passed on (e.g. which card is visible).
            scratch_dir: where the folder for all scratch folders is made.

        Raises:
            FamilyError: it did not start, or a module is missing.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="gpu-slot-", dir=scratch_dir))
        self._children: dict[int, Child] = {}
        self._numbers = 0
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._control, theirs = wire.pair()
        (self._folder / "trial").mkdir()
        (self._folder / "root").mkdir()
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        variables |= {
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            # The sandbox has no list of users, and torch asks for a name when it loads its compiler, which its
            # optimisers and hooks do too.
            "USER": "program",
            # Threads of these libraries do not survive a fork; the GPU does the work.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            # CuPy settles its cache folder when it is imported: keep it out of files that programs could share.
            "CUPY_CACHE_IN_MEMORY": "1",
            "CUDA_MODULE_LOADING": "LAZY",
            # Two queues for copies, one a direction, not eight: the driver makes a context in a sixth fewer calls,
            # and copies take as long as before (scripts/bench/results/nvidia_h200_copies.md).
            "CUDA_DEVICE_MAX_COPY_CONNECTIONS": "2",
            **environment,
        }
        command = [sys.executable, "-m", "orchestrator.execute.gpu.zygote", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, env=variables, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, cwd=self._folder
        )
        theirs.close()
        hello = {
            "modules": [*_MODULES, *(_CARD_MODULES if gpu else ())],
            "folder": str(self._folder / "trial"),
            "root_at": str(self._folder / "root"),
            "read": self.readable,
            "hidden": self.hidden,
        }
        try:
            wire.send(self._control, hello)
            self.report = self._hear()
        except (OSError, EOFError, FamilyError) as error:
            self.close()
            raise FamilyError(f"the zygote did not start: {error}") from None
        if self.report["failed"]:
            lacking = "; ".join(f"{name}: {why}" for name, why in self.report["failed"].items())
            self.close()
            raise FamilyError(f"cannot import {lacking}")
        self._watch(self._control.fileno(), self._on_zygote)

    @property
    def readable(self) -> list[str]:
        """Where installed packages stand, this project's own sources excepted."""
        project = {str(Path(__file__).resolve().parents[3]), *_copies()}
        libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        candidates = [*sys.path, *libraries, os.environ.get("CUDA_HOME", "")]
        return sorted({os.path.realpath(p) for p in candidates if p and os.path.isdir(p)} - project)

    @property
    def hidden(self) -> list[str]:
        """This project's packages, which a program may not read wherever they are installed."""
        roots = [str(Path(__file__).resolve().parents[3]), *_copies(), *_installed()]
        packages = [os.path.join(root, name) for root in dict.fromkeys(roots) for name in ("orchestrator", "tasks")]
        return [path for path in packages if os.path.isdir(path)]

    def spawn(
        self, role: str, tier: str, config: Mapping[str, Any], bounds: Mapping[str, Any], cap: int = 1 << 20
    ) -> Child:
        """Fork a candidate or the referee.

        Raises:
            FamilyError: the zygote is gone, or was refused the fork.
        """
        self._numbers += 1
        folder = self._folder / str(self._numbers)
        (folder / "scratch").mkdir(parents=True)
        (folder / "root").mkdir()
        mine, theirs = wire.pair()
        line, their_line = wire.pair() if role == "candidate" else (None, None)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        scratch = str(folder / "scratch")
        variables = dict.fromkeys(_CACHES, scratch)
        request = {
            "number": self._numbers,
            "role": role,
            "tier": tier,
            "environment": variables,
            "config": {**config, "folder": scratch},
            "bounds": {**bounds, "folder": scratch, "root_at": str(folder / "root")},
        }
        fds = [out_write, err_write, theirs.fileno(), *([their_line.fileno()] if their_line else [])]
        child = Child(self._numbers, role, mine, line, folder, {out_read: bytearray(), err_read: bytearray()}, cap)
        self._children[child.number] = child
        try:
            wire.send(self._control, request, fds)
        except OSError as error:
            raise FamilyError(f"the zygote is gone: {error}") from None
        finally:
            for fd in (out_write, err_write):
                os.close(fd)
            theirs.close()
            if their_line is not None:
                their_line.close()
        while child.pidfd < 0:
            self._on_zygote()
        self._watch(mine.fileno(), lambda: self._on_message(child))
        for fd in child.streams:
            os.set_blocking(fd, False)
            self._watch(fd, lambda fd=fd: self._on_output(child, fd))  # type: ignore[misc]
        return child

    def turn(self, timeout_s: float) -> None:
        """Handle what has happened, or wait for it that long.

        Raises:
            FamilyError: the zygote is gone.
        """
        for fd, _ in self._poll.poll(max(timeout_s, 0.0) * 1000):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler()

    def mute(self, child: Child) -> None:
        """Hear no more messages from a candidate: it has been given its program."""
        self._unwatch(child.chan.fileno())

    def end(
        self, child: Child, why: str, patience_s: float = 30.0, meanwhile: Callable[[], None] | None = None
    ) -> None:
        """Kill a child and wait until it is gone and its folder removed, doing ``meanwhile`` again and again.

        Raises:
            FamilyError: it does not go away.
        """
        child.kill(why)
        limit = time.monotonic() + patience_s
        while child.ending is None:
            if time.monotonic() > limit:
                raise FamilyError(f"process {child.pid} does not end")
            self.turn(0.05 if meanwhile is None else _MEANWHILE_S)
            if meanwhile is not None:
                meanwhile()
        self.forget(child)

    def forget(self, child: Child) -> None:
        """Release what is held for a child that has ended."""
        if self._children.pop(child.number, None) is None:
            return
        for fd in child.streams:
            self._on_output(child, fd)
            self._unwatch(fd)
            os.close(fd)
        self._unwatch(child.chan.fileno())
        child.chan.close()
        if child.line is not None:
            child.line.close()
        os.close(child.pidfd)
        remove_tree(child.folder)

    def close(self) -> None:
        """End the zygote, with it all children, and remove the folders."""
        self._control.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in self._children.values():
            for fd in child.streams:
                os.close(fd)
            child.chan.close()
            if child.line is not None:
                child.line.close()
            if child.pidfd >= 0:
                os.close(child.pidfd)
        self._children.clear()
        remove_tree(self._folder)

    # ------------------------------------------------------------------ events

    def _hear(self) -> dict[str, Any]:
        limit = time.monotonic() + _START_S
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while not poll.poll(500):
            if self._process.poll() is not None:
                raise FamilyError(f"it ended with status {self._process.returncode}")
            if time.monotonic() > limit:
                raise FamilyError(f"it was not warm after {_START_S:.0f} s")
        return wire.receive(self._control)[0]

    def _on_zygote(self) -> None:
        try:
            message, fds = wire.receive(self._control, 1)
        except (EOFError, OSError):
            raise FamilyError("the zygote died") from None
        if "spawned" in message:
            child = self._children[message["spawned"]]
            child.pidfd = fds[0]
            child.pid = process.host_pid(fds[0])
        elif "ended" in message:
            child = self._children[message["ended"]]
            child.ending = Ending(message["code"], message["cpu_s"], message["peak_bytes"])
        else:
            raise FamilyError(f"no process could be forked: {message.get('refused')}")

    def _on_message(self, child: Child) -> None:
        try:
            child.inbox.append(wire.receive(child.chan)[0])
        except (EOFError, wire.WireError, OSError):
            self._unwatch(child.chan.fileno())

    def _on_output(self, child: Child, fd: int) -> None:
        """Keep what fits under the cap and throw the rest away, so that a chatty program never blocks."""
        try:
            data = os.read(fd, 1 << 16)
        except (BlockingIOError, OSError):
            return
        if not data:
            self._unwatch(fd)
            return
        kept = child.streams[fd]
        kept += data[: max(child.cap - len(kept), 0)]

    def _watch(self, fd: int, handler: Callable[[], None]) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def _unwatch(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)


def _copies() -> list[str]:
    """Folders on the path that hold a copy of this project and no installed packages: a checkout, most likely.

    On a cluster the sources that run came with the run, and another copy may lie beside them.
    """
    held = [os.path.realpath(p) for p in sys.path if p and os.path.isfile(os.path.join(p, "tasks", "__init__.py"))]
    return [path for path in held if path not in _installed()]


def _installed() -> list[str]:
    """Folders of installed packages on the path."""
    return [os.path.realpath(p) for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages")]
