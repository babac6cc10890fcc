"""Paths as users type them."""

from __future__ import annotations

from pathlib import Path

from orchestrator.config.errors import ConfigError, show

__all__ = ["absolute"]


def absolute(text: str, key: str) -> Path:
    """The path from the root, with ``~`` and ``~user`` filled in.

    Raises:
        ConfigError: that user has no home here.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        user = Path(text).parts[0]
        raise ConfigError(
            f"{key}={show(text)} begins with {user}, which is no user's home here; write the path from /, "
            f"or ./{user} for a file that is called so"
        ) from None
