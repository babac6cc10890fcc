"""The server's own process: ``python -m orchestrator.generate.rehearsal ['{"problems": ...}']``.

Settings are one JSON object, as the argument or else on stdin. When it serves, it prints one line of JSON,
``{"port": ..., "base_url": ...}``. It ends with the process that started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys

from orchestrator.generate.rehearsal.problems import read_problems
from orchestrator.generate.rehearsal.settings import RehearsalSettings

_PR_SET_PDEATHSIG = 1
_BACKLOG = 4096
"""Connections that may wait to be accepted: a client may open a thousand at once."""


async def _serve(settings: RehearsalSettings, parent: int) -> None:
    from aiohttp import web

    from orchestrator.generate.rehearsal.app import make_app

    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def orphaned() -> None:
        # The signal comes when the thread that started this process ends; only the end of the process counts.
        if os.getppid() != parent:
            done.set()

    loop.add_signal_handler(signal.SIGHUP, orphaned)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    orphaned()

    runner = web.AppRunner(
        make_app(settings, read_problems(settings.problems)),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=0.1,
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=_BACKLOG)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"port": port, "base_url": f"http://127.0.0.1:{port}"}), flush=True)
    await done.wait()
    await runner.cleanup()


def main() -> int:
    """Serve until told to stop. Returns the exit code: 2 for bad settings."""
    # Read before anything else: whoever started this process may already be gone by the time it serves.
    parent = os.getppid()
    try:
        settings = RehearsalSettings.from_json(sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read())
        asyncio.run(_serve(settings, parent))
    except (OSError, ValueError) as error:
        print(f"The rehearsal server cannot start: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
