"""A plan as files of a run's folder (``plan.json``, ``config.yaml``), and back."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from orchestrator.config.compose import config_from_plain
from orchestrator.config.errors import ConfigError
from orchestrator.config.schema import Config
from orchestrator.core.problems import Suite
from orchestrator.core.uris import without_password
from orchestrator.plan.folders import PLAN_FILE
from orchestrator.plan.model import Cell, Plan
from orchestrator.plan.suites import SuiteShelf

__all__ = ["CONFIG_FILE", "plan_as_plain", "read_plan", "write_plan"]

CONFIG_FILE: Final = "config.yaml"
_VERSION: Final = 1


def plan_as_plain(plan: Plan) -> dict[str, Any]:
    """The plan as JSON data: what ``plan.json`` holds. Passwords of addresses are hidden in it."""
    words = [without_password(word) for word in plan.command]
    return {
        "version": _VERSION,
        "name": plan.name,
        "digest": plan.digest,
        "command": shlex.join(["python", "-m", "orchestrator", *words]),
        "words": words,
        "notes": list(plan.notes),
        "regrade": None if plan.regrade is None else str(plan.regrade),
        "trials": plan.trial_count,
        "synthetic": plan.synthetic,
        "suites": {
            key: {"name": suite.name, "problems": len(suite.problems)} for key, suite in sorted(plan.suites.items())
        },
        "cells": [_cell_as_plain(cell) for cell in plan.cells],
        "config": _config_as_plain(plan.config),
    }


def write_plan(plan: Plan, folder: Path) -> None:
    """Write ``plan.json`` and ``config.yaml`` into ``folder``, which exists.

    Raises:
        OSError: the folder cannot be written to.
    """
    from omegaconf import OmegaConf

    (folder / PLAN_FILE).write_text(json.dumps(plan_as_plain(plan), indent=1) + "\n", encoding="utf-8")
    heading = "# The configuration that all cells share; each cell's own stands in plan.json.\n"
    text = OmegaConf.to_yaml(OmegaConf.create(_config_as_plain(plan.config)))
    (folder / CONFIG_FILE).write_text(heading + text, encoding="utf-8")


def read_plan(folder: Path, *, same_suites: bool = True) -> Plan:
    """The plan that a run's folder records, its suites loaded again.

    Args:
        folder: a run's folder.
        same_suites: refuse a suite whose problems have changed since.

    Raises:
        ConfigError: it is no run's folder, or a suite cannot be loaded or has changed.
    """
    recorded = _recorded(folder)
    shelf = SuiteShelf()
    cells: list[Cell] = []
    suites: dict[str, Suite] = {}
    try:
        for plain in recorded["cells"]:
            cell = _cell_from_plain(plain)
            suite = shelf.load(cell.suite)
            if same_suites and suite.digest != cell.suite_digest:
                raise ConfigError(
                    f"suite {suite.name} has changed since {folder} was made, so it cannot go on there"
                )
            suites[suite.digest] = suite
            cells.append(cell)
        return Plan(
            name=recorded["name"],
            config=config_from_plain(recorded["config"]),
            cells=tuple(cells),
            suites=suites,
            run_dir=folder,
            notes=tuple(recorded["notes"]),
            command=tuple(recorded["words"]),
            regrade=None if recorded["regrade"] is None else Path(recorded["regrade"]),
        )
    except (KeyError, TypeError):
        raise ConfigError(f"{folder / PLAN_FILE} is damaged or of another version of this program") from None


def _recorded(folder: Path) -> Mapping[str, Any]:
    file = folder / PLAN_FILE
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder} is no run's folder: it holds no {PLAN_FILE}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    if not isinstance(recorded, dict) or recorded.get("version") != _VERSION:
        raise ConfigError(f"{file} is damaged or of another version of this program")
    return recorded


def _cell_as_plain(cell: Cell) -> dict[str, Any]:
    return {
        "id": cell.id,
        "axes": dict(cell.axes),
        "system": cell.system,
        "model": cell.model.name if cell.model is not None else None,
        "synthetic": cell.synthetic,
        "stand_in": cell.stand_in,
        "trials": cell.trials,
        "max_tokens": cell.max_tokens,
        "suite_digest": cell.suite_digest,
        "problems": list(cell.problems),
        "sample_counts": list(cell.sample_counts),
        "answers_digest": cell.answers_digest,
        "config": _config_as_plain(cell.config),
    }


def _config_as_plain(config: Config) -> dict[str, Any]:
    plain = dataclasses.asdict(config)
    # A database's address holds its password, and a run's files are shown around.
    if config.tracking.uri is not None:
        plain["tracking"]["uri"] = without_password(config.tracking.uri)
    return plain


def _cell_from_plain(plain: Mapping[str, Any]) -> Cell:
    return Cell(
        id=plain["id"],
        axes=plain["axes"],
        config=config_from_plain(plain["config"]),
        suite_digest=plain["suite_digest"],
        problems=tuple(plain["problems"]),
        sample_counts=tuple(plain["sample_counts"]),
        max_tokens=plain["max_tokens"],
        stand_in=plain["stand_in"],
        answers_digest=plain["answers_digest"],
    )
