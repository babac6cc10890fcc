"""What a command prints to."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

__all__ = ["Output", "print_what_fits"]


def print_what_fits() -> None:
    """Print ``?`` for characters that the terminal's encoding lacks: a run must not end because of one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


class Output(io.TextIOBase):
    """Standard output of a command that has work to bring to an end whether anybody reads or not.

    When it can no longer be written (``... | head``, a terminal that was closed), what follows goes to standard
    error, and nowhere once that is gone too. Nothing is raised.
    """

    def __init__(self) -> None:
        self._streams: list[TextIO] = [sys.stdout, sys.stderr]
        self._unflushed = ""
        self._on_left: Callable[[], None] = lambda: None
        self._left = False

    def watch(self, on_left: Callable[[], None]) -> None:
        """Have ``on_left`` called, once, when the reader of a pipe leaves; now, if it has left already.

        A terminal that is gone calls nothing: whoever goes on without one may have meant to.
        """
        self._on_left = on_left
        if self._left:
            on_left()

    def write(self, text: str) -> int:
        """Take ``text``; returns its length."""
        self._unflushed += text
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._try(lambda stream: stream.flush())
        self._unflushed = ""

    def isatty(self) -> bool:
        """Whether what is written now goes to a terminal."""
        return bool(self._streams) and self._streams[0].isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        """Of the stream that is written now."""
        return self._streams[0].encoding if self._streams else "utf-8"

    def _try(self, action: Callable[[TextIO], object]) -> None:
        while self._streams:
            try:
                action(self._streams[0])
                return
            except OSError as error:
                self._leave(error)
            # What the lost stream had taken and not handed on is said again.
            action = self._write_again

    def _write_again(self, stream: TextIO) -> None:
        stream.write(self._unflushed)
        stream.flush()

    def _leave(self, error: OSError) -> None:
        lost = self._streams.pop(0)
        # Python would try once more when it flushes at exit, and complain. Streams of tests have no descriptor.
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), lost.fileno())
        if isinstance(error, BrokenPipeError) and not self._left:
            self._left = True
            self._on_left()
