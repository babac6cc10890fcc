"""Counts the answers that a file holds for each problem (``model=samples``)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from orchestrator.config.errors import ConfigError
from orchestrator.core.problems import Suite

__all__ = ["answers_digest", "count_answers"]


def answers_digest(path: Path) -> str:
    """SHA-256 (hex) of a file of answers.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"model.path={path} cannot be read: {error.strerror}") from None


def count_answers(path: Path, suite: Suite, ids: Sequence[str], asked: int | None) -> tuple[int, ...]:
    """How many samples of each of ``ids`` are graded: ``asked``, or all that the file holds.

    Raises:
        ConfigError: the file is not readable as answers to this suite, or holds too few for a problem.
    """
    from orchestrator.generate.samples import load_samples

    try:
        samples = load_samples(str(path), [problem.id for problem in suite.problems])
    except (ValueError, OSError) as error:
        raise ConfigError(f"model.path={path}: {error}") from None
    wanted = 1 if asked is None else asked
    for name in ids:
        held = samples.count(name)
        if held < wanted:
            raise ConfigError(
                f"model.path={path} holds {held or 'no'} answer{'s' if held > 1 else ''} for {name}, where "
                f"{wanted} would be graded; add them, or choose what it has with problems=[...] or samples="
            )
    return tuple(samples.count(name) if asked is None else asked for name in ids)
