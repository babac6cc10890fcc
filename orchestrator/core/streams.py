"""What a command prints to."""

from __future__ import annotations

import io
import sys

__all__ = ["print_what_fits"]


def print_what_fits() -> None:
    """Print ``?`` for characters that the terminal's encoding lacks: a run must not end because of one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
