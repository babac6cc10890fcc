"""Loads suites once each and picks problems from them."""

from __future__ import annotations

from typing import Any

from orchestrator.config.errors import ConfigError
from orchestrator.config.schema import Config, SuiteConfig
from orchestrator.core.problems import Suite

__all__ = ["SuiteShelf", "select_problems"]


class SuiteShelf:
    """Suites already loaded: cells that differ in nothing else share one."""

    def __init__(self) -> None:
        self._suites: dict[tuple[Any, ...], Suite] = {}

    def load(self, config: SuiteConfig) -> Suite:
        """The suite of a cell.

        Raises:
            ConfigError: it cannot be loaded; the sentence says which file and line.
        """
        from tasks.registry import load_suite

        key = (config.name, config.path, config.fixes, config.dtype, config.dialect, config.level)
        if key not in self._suites:
            try:
                self._suites[key] = load_suite(
                    config.name,
                    path=config.path,
                    fixes=config.fixes,
                    dtype=config.dtype,
                    dialect=config.dialect,
                    level=config.level,
                )
            except (ValueError, OSError) as error:
                raise ConfigError(f"suite={config.name}: {error}") from None
        return self._suites[key]


def select_problems(suite: Suite, config: Config) -> tuple[str, ...]:
    """Ids of the problems that a cell is run on, in the suite's order."""
    ids = [problem.id for problem in suite.problems]
    for chosen in (config.suite.problems, config.problems):
        if chosen is not None:
            names = frozenset(chosen)
            ids = [name for name in ids if name in names]
    return tuple(ids[: config.limit])
