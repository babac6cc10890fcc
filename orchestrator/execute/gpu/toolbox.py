"""The confined process that runs compute-sanitizer or ncu on one program, and hands their report back.

It is forked from the zygote like a candidate and confined like one, but for what these tools need: processes may be
started, there is a loopback interface in its own otherwise empty network, and sockets and shared memory in its own
file tree. It holds a program and inputs of its own, and nothing of the referee's.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any, Final

from orchestrator.execute.gpu import wire

__all__ = ["FILES", "LOG", "serve"]

LOG: Final = "report.log"
FILES: Final = ("tool_runner.py", "programs.py", "program_source", "case.json", "inputs.npz")
"""What an order brings, in this order."""
_KEPT: Final = 12_000
"""Characters of a report that are handed back, from its start; and as many from its end."""


def serve(chan: socket.socket, config: dict[str, Any]) -> None:
    """Take one order, run the tool, send its status and report.

    Args:
        chan: to the supervisor: an order with one descriptor a file comes in, the answer goes out.
        config: ``folder`` (scratch).
    """
    order, fds = wire.receive(chan, len(FILES))
    folder = Path(config["folder"])
    for name, fd in zip(FILES, fds, strict=True):
        with os.fdopen(fd, "rb") as given, open(folder / name, "wb") as made:
            while chunk := given.read(1 << 20):
                made.write(chunk)
    variables = {**os.environ, **order["environment"]}
    done = subprocess.run(order["command"], cwd=folder, env=variables, stdin=subprocess.DEVNULL, check=False)
    log = folder / LOG
    report = log.read_text(encoding="ascii", errors="replace") if log.exists() else ""
    if len(report) > 2 * _KEPT:
        report = f"{report[:_KEPT]}\n{report[-_KEPT:]}"
    wire.send(chan, {"status": done.returncode, "report": report.encode("ascii", "replace").decode("ascii")})
