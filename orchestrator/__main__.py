"""The command ``python -m orchestrator``."""

from __future__ import annotations

import sys

from orchestrator.cli import main as run

__all__ = ["main"]


def main() -> None:
    """Entry point of the console script: leaves the process with the command's exit code."""
    sys.exit(run())


if __name__ == "__main__":
    main()
