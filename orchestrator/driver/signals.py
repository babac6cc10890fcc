"""What asks a run to stop: signals, a terminal that is closed, a reader of its output that leaves."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Final

from orchestrator.core.streams import Output

__all__ = ["Signals"]

ASKS: Final = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Hears, while its block runs, when a run is to stop.

    Args:
        interrupt: called for each Ctrl-C and each SIGTERM.
        alone: called when nobody looks on any more: the terminal was closed, or what read the output has left.
        output: what is read.
    """

    def __init__(self, interrupt: Callable[[], None], alone: Callable[[], None], output: Output) -> None:
        self._interrupt = interrupt
        self._alone = alone
        self._output = output
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Signals:
        loop = self._loop = asyncio.get_running_loop()
        # What `nohup` has ignored stays ignored.
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            loop.add_signal_handler(signal.SIGHUP, self._alone)
        self.hold()

        def left() -> None:
            # Lines are printed by other threads too.
            loop.call_soon_threadsafe(self._alone)

        self._output.watch(left)
        return self

    def hold(self) -> None:
        """Take the signals back from whoever took them: Ray's core puts a handler in the place of SIGTERM's that
        prints its stack and ends the process at once, and what is in flight with it."""
        assert self._loop is not None
        for number in ASKS:
            self._loop.add_signal_handler(number, self._interrupt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._output.watch(lambda: None)
        for number in (*ASKS, signal.SIGHUP):
            self._loop.remove_signal_handler(number)
