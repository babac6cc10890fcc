"""Starting, asking and stopping the server from another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import orchestrator
from orchestrator.generate.rehearsal.counts import ServerCounts
from orchestrator.generate.rehearsal.settings import RehearsalSettings

__all__ = ["RehearsalServer", "RehearsalServerError"]

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
"""Of the environment; the server has no use for keys, so it gets none."""
_ASK_S = 60.0


class RehearsalServerError(RuntimeError):
    """The server did not start, or does not answer."""


class RehearsalServer:
    """A rehearsal server in a process of its own, which ends with this one. A context manager.

    Start it from a process that lives as long as the server is needed; which thread does so does not matter.
    """

    def __init__(self, settings: RehearsalSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._base_url = ""
        self._last: ServerCounts | None = None

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:<port>``; empty before :meth:`start`."""
        return self._base_url

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> str:
        """Start the process and wait until it serves; returns its base URL.

        Raises:
            RehearsalServerError: it is running already, or could not start (with what it said).
        """
        if self._process is not None:
            raise RehearsalServerError("The rehearsal server is running already.")
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        root = str(Path(orchestrator.__file__).resolve().parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.generate.rehearsal"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                # A Ctrl-C in the terminal is the orchestrator's to handle; the server serves until it is told.
                start_new_session=True,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with process.stdin as stdin:
                    stdin.write(self._settings.to_json())
                line = process.stdout.readline()
            except BrokenPipeError:
                line = ""
            if not line:
                process.stdout.close()
                code = process.wait()
                errors.seek(0)
                said = errors.read().strip() or f"exit code {code}"
                raise RehearsalServerError(said.splitlines()[-1])
        self._process = process
        self._base_url = json.loads(line)["base_url"]
        return self._base_url

    def counts(self) -> ServerCounts:
        """The server's own books; after :meth:`stop`, as they were then.

        Raises:
            RehearsalServerError: it never ran, or does not answer.
        """
        if self._process is None and self._last is not None:
            return self._last
        return ServerCounts.from_dict(self._ask("counts"))

    def replies(self) -> dict[str, int]:
        """Complete replies by ``<problem>;<sample>;<turn>|<model>|<digest of what was asked>``.

        Raises:
            RehearsalServerError: it does not run, or does not answer.
        """
        return dict(self._ask("replies"))

    def stop(self) -> None:
        """End the process and wait for it; does nothing if it does not run."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            try:
                self._last = self.counts()
            except RehearsalServerError:
                # It died or hangs on its own: there is nothing left to ask, and ending it matters more.
                self._last = None
        self._process = None
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _ask(self, what: str) -> dict[str, Any]:
        if self._process is None:
            raise RehearsalServerError("The rehearsal server is not running.")
        # Proxies from the environment have no business on the loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self._base_url}/rehearsal/{what}", timeout=_ASK_S) as response:
                data: dict[str, Any] = json.load(response)
        except OSError as error:
            raise RehearsalServerError(f"The rehearsal server does not answer: {error}.") from error
        return data

    def __enter__(self) -> RehearsalServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
