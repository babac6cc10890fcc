"""The supervisor's side of a box: starting it, what stands of it, its end, and what crashed ones left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from typing import Any, Final, Literal

from orchestrator.execute.sandbox import box, process
from orchestrator.execute.settings import ExecutorSettings, box_base, box_spec, interpreter

__all__ = ["SCRATCH_BYTES", "SCRATCH_FILES", "Box", "BoxFailed", "Standing", "start_box", "sweep"]

SCRATCH_BYTES: Final = 64 << 20
"""Room for all files of one program."""
SCRATCH_FILES: Final = 8192
_PREFIX: Final = "orchestrator-box-"
_OWNER: Final = re.compile(_PREFIX + r"(?P<space>\d+)-(?P<pid>\d+)-(?P<began>\d+)-[0-9a-f]+")
_START_S: Final = 60.0
_END_S: Final = 10.0
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # Sets and dicts of strings come in the same order in every run.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # No thread pools: the zygote forks.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class BoxFailed(RuntimeError):
    """A box did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What this machine gave a box."""

    namespaces: bool
    refused: str
    """Why there are no namespaces."""
    landlock: int
    """ABI version; 0: none."""
    seccomp: bool
    uid: int
    size_bytes: int
    """The inner process's own address space."""
    resident_bytes: int
    """Of which so much in memory: what a fork of it starts with."""


class Box:
    """A started box. ``control`` is its socket, ``pid`` its inner process as this machine shows it."""

    def __init__(self, keeper: subprocess.Popen[bytes], control: socket.socket, folder: str) -> None:
        self.control = control
        self._keeper = keeper
        self._folder = folder
        self.pidfd = -1
        self.pid = -1
        self.standing = self._await()

    @property
    def scratch(self) -> str:
        """The scratch folder, where the box has no mount of its own."""
        return os.path.join(self._folder, "scratch")

    def kill(self) -> None:
        """Kill the inner process; the keeper then ends too."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """End the box and wait until nothing of it is left."""
        self.control.close()
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        try:
            self._keeper.wait(_END_S)
        except subprocess.TimeoutExpired:
            if self.pidfd >= 0:
                self.kill()
            self._keeper.kill()
            self._keeper.wait()
        if self._keeper.stderr is not None:
            self._keeper.stderr.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        shutil.rmtree(self._folder, ignore_errors=True)

    def _await(self) -> Standing:
        self.control.settimeout(_START_S)
        try:
            message, descriptors, _, _ = socket.recv_fds(self.control, 65536, 1)
        except OSError as error:
            raise self._failed(f"said nothing: {error}") from error
        if not message or not descriptors:
            raise self._failed("ended while starting")
        self.control.settimeout(None)
        self.pidfd = descriptors[0]
        self.pid = process.host_pid(self.pidfd)
        found: dict[str, Any] = json.loads(message)
        return Standing(**found)

    def _failed(self, what: str) -> BoxFailed:
        self._keeper.kill()
        said = b"" if self._keeper.stderr is None else self._keeper.stderr.read()
        self.close()
        return BoxFailed(f"a sandbox process {what}\n{said.decode(errors='replace')[-2000:]}")


def start_box(
    settings: ExecutorSettings,
    role: Literal["zygote", "referee"],
    *,
    package: str | None = None,
) -> Box:
    """Start a box and wait until it stands.

    Raises:
        BoxFailed: it did not; the message holds what it said.
    """
    folder = _make_folder(settings)
    spec = box_spec(settings, role=role, folder=folder, package=package, scratch_bytes=SCRATCH_BYTES)
    for name in ("root", "scratch"):
        os.mkdir(os.path.join(folder, name), 0o700)
        os.chown(os.path.join(folder, name), spec.uid, spec.gid)
    ours, theirs = socket.socketpair(
        socket.AF_UNIX, socket.SOCK_SEQPACKET if role == "zygote" else socket.SOCK_STREAM
    )
    script = os.path.join(os.path.dirname(os.path.abspath(box.__file__)), "start.py")
    with theirs:
        # Not -I, which would ignore PYTHONHASHSEED; -s -S -P keep the user's and installed packages out.
        keeper = subprocess.Popen(
            [interpreter(), "-s", "-S", "-P", "-B", script, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            env=_ENVIRONMENT,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    if keeper.stdin is not None:
        keeper.stdin.write(spec.dump())
        keeper.stdin.flush()
    return Box(keeper, ours, folder)


def sweep(settings: ExecutorSettings) -> int:
    """Remove folders of boxes whose supervisor and keeper are both gone; return how many."""
    base = box_base(settings)
    removed = 0
    for entry in os.listdir(base):
        owner = _OWNER.fullmatch(entry)
        # Of another PID namespace (a container that shares /dev/shm) nothing can be known.
        if owner is None or int(owner["space"]) != _pid_space():
            continue
        if process.start_time(int(owner["pid"])) != int(owner["began"]):
            shutil.rmtree(os.path.join(base, entry), ignore_errors=True)
            removed += 1
    return removed


def _pid_space() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _make_folder(settings: ExecutorSettings) -> str:
    pid = os.getpid()
    name = f"{_PREFIX}{_pid_space()}-{pid}-{process.start_time(pid)}-{secrets.token_hex(6)}"
    folder = os.path.join(box_base(settings), name)
    os.mkdir(folder, 0o711)
    return folder
