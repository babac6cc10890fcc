"""What lies outside a program's reach: bait that nothing but the sandbox protects, and a look at whether it was taken.

Modes and owners are as open as can be, so that no refusal comes from them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from types import TracebackType

__all__ = ["KEY", "Outside"]

KEY = "sk-planted-5f1c0de5"
"""Looks like an API key; stands in the environment of the grading process."""


class Outside:
    """A file, a folder, a process and four sockets, all there to be touched."""

    def __init__(self) -> None:
        self.mark = f"hostile-{uuid.uuid4().hex[:12]}"
        self._folder = Path(tempfile.mkdtemp(prefix="outside-"))
        self._folder.chmod(0o777)
        self.canary = self._folder / "canary"
        self.canary.write_text("alive")
        self.canary.chmod(0o666)
        self._stat = self._look()
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._named = self._listen(str(self._folder / "socket"))
        (self._folder / "socket").chmod(0o777)
        self._abstract = self._listen("\0" + self.mark)
        for listener in (self._tcp, self._udp, self._named, self._abstract):
            listener.setblocking(False)
        code = "import time; time.sleep(3600)"
        self._sentinel = subprocess.Popen([sys.executable, "-c", code, KEY], env={"ANTHROPIC_API_KEY": KEY})

    def __enter__(self) -> Outside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sentinel.kill()
        self._sentinel.wait()
        for listener in (self._tcp, self._udp, self._named, self._abstract):
            listener.close()
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def fill(self, source: str) -> str:
        """Put the addresses of the bait into a program."""
        addresses = {
            "__CANARY_DIR__": str(self._folder),
            "__CANARY__": str(self.canary),
            "__MARK__": self.mark,
            "__UDP_PORT__": str(self._udp.getsockname()[1]),
            "__PORT__": str(self._tcp.getsockname()[1]),
            "__UNIX__": str(self._folder / "socket"),
            "__ABSTRACT__": self.mark,
            "__SENTINEL__": str(self._sentinel.pid),
        }
        for token, address in addresses.items():
            source = source.replace(token, address)
        return source

    def touched(self) -> list[str]:
        """What has happened to the bait; empty if nothing has."""
        found = []
        if self._look() != self._stat:
            found.append(f"the file outside was changed: {self._stat} is now {self._look()}")
        if sorted(path.name for path in self._folder.iterdir()) != ["canary", "socket"]:
            found.append("the folder outside was changed")
        if self._sentinel.poll() is not None:
            found.append("the process outside was ended")
        for name, listener in (("TCP", self._tcp), ("named", self._named), ("abstract", self._abstract)):
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                continue
            found.append(f"the {name} socket outside was reached")
        try:
            self._udp.recv(100)
        except BlockingIOError:
            return found
        return [*found, "a datagram arrived outside"]

    def _listen(self, address: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(address)
        listener.listen()
        return listener

    def _look(self) -> tuple[str, int, int, int] | str:
        try:
            found = os.stat(self.canary)
            return (self.canary.read_text(), found.st_mode, found.st_uid, found.st_mtime_ns)
        except OSError as error:
            return str(error)
