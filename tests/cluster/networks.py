"""Two network namespaces on this machine with a cable between them, and Ray nodes on both sides."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# Ray looks at all processes of the machine for a head at the same address, so every test process has its own.
_NET = f"10.217.{os.getpid() % 250}"
HEAD, WORKER = f"{_NET}.1", f"{_NET}.2"
PORT = 6389


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def can_make_networks() -> bool:
    """Whether this machine lets us make network namespaces."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    name = f"orc-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if made:
        ip("netns", "del", name)
    return made


class Link:
    """Two namespaces and the cable between them."""

    def __init__(self) -> None:
        self.head, self.worker = f"orc-h-{os.getpid()}", f"orc-w-{os.getpid()}"

    def up(self) -> None:
        """Lay the cable."""
        for name in (self.head, self.worker):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "link",
            "add",
            "cable",
            "netns",
            self.head,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            self.worker,
        )
        for name, address in ((self.head, HEAD), (self.worker, WORKER)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
        self.restore()

    def cut(self) -> None:
        """Pull the plug on the worker's side; what is sent is lost without a word."""
        ip("-n", self.worker, "link", "set", "cable", "down")

    def restore(self) -> None:
        """Put it back."""
        for name in (self.head, self.worker):
            ip("-n", name, "link", "set", "cable", "up")

    def down(self) -> None:
        """Remove what stands of it."""
        for name in (self.head, self.worker):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def start(
        self, name: str, *command: str, folder: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Run a command in one of the namespaces, with a process group of its own."""
        return subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, "COLUMNS": "200", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a command says."""
    assert process.poll() is None, process.stderr.read() if process.stderr else ""
    return process.stdout.readline() if process.stdout else ""


def end_with_children(process: subprocess.Popen[str]) -> None:
    """End a node: the command that holds it ends its processes when it is told to."""
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
