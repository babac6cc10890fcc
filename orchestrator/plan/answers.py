"""Counts the answers that a file holds for each problem (``model=samples``)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from orchestrator.config.errors import ConfigError
from orchestrator.core.problems import GpuTests, Suite

__all__ = ["answers_digest", "count_answers"]


def answers_digest(path: Path) -> str:
    """SHA-256 (hex) of a file of answers as it lies on disk.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"model.path={path} cannot be read: {error.strerror}") from None


def count_answers(path: Path, suite: Suite, ids: Sequence[str], asked: int | None) -> tuple[tuple[int, ...], str]:
    """How many samples of each of ``ids`` are graded (``asked``, or all that the file holds), and its digest.

    Raises:
        ConfigError: the file is not readable as answers to this suite, or holds too few for a problem.
    """
    from orchestrator.generate.samples import SamplesError, load_samples

    on_gpu = frozenset(problem.id for problem in suite.problems if isinstance(problem.scoring, GpuTests))
    try:
        samples = load_samples(path, [problem.id for problem in suite.problems], gpu_ids=on_gpu)
        samples.check(ids, asked)
    except SamplesError as error:
        raise ConfigError(f"model.path: {error}") from None
    return tuple(samples.count(name) if asked is None else asked for name in ids), samples.digest
