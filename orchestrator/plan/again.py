"""Plans made from a run's folder: going on with it, or judging its programs anew."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from orchestrator.config.arguments import Arguments
from orchestrator.config.checks import check_secrets, check_together, check_values, value_of
from orchestrator.config.compose import Composer
from orchestrator.config.errors import ConfigError, show
from orchestrator.config.paths import absolute
from orchestrator.config.schema import Config
from orchestrator.plan.answers import answers_digest
from orchestrator.plan.folders import check_results_uri, choose_run_dir
from orchestrator.plan.keys import api_key_known
from orchestrator.plan.model import Cell, Plan
from orchestrator.plan.store import read_plan
from orchestrator.plan.suites import SuiteShelf

__all__ = ["regrade_plan", "resume_plan"]

_HOW: Final = (
    "budget.",
    "cluster",
    "tracking.",
    "generate.",
    "execute.slots",
    "execute.spares",
    "execute.attempts",
    "execute.without_gpu",
    "display",
    "preflight",
    "plan",
)
"""Keys that say how a plan is carried out and not what it is."""

_JUDGING: Final = ("execute.", "isolation.", "hardware", "suite.fixes", "run.")
"""Keys that verdicts may depend on while the programs stay the same, and the new run's folder."""


def resume_plan(arguments: Arguments, folder: str) -> Plan:
    """The plan that ``folder`` records, to be continued there.

    Only keys that leave the plan as it is may be set beside ``resume``; ``budget.usd`` may only grow.

    Raises:
        ConfigError: no run's folder, a key that would change the plan, or answers that have changed.
    """
    path = absolute(folder, "resume")
    plan = read_plan(path)
    change = _changes(arguments, "resume", _HOW)
    if "budget.usd" in change:
        before, after = plan.config.budget.usd, change["budget.usd"]
        if after is not None and (before is None or after < before):
            raise ConfigError(f"budget.usd={show(after)} is below the {show(before)} that {path} was begun with")
    config = _changed(plan.config, change)
    check_secrets(config, arguments.words)
    cells = tuple(dataclasses.replace(cell, config=_changed(cell.config, change)) for cell in plan.cells)
    notes = list(plan.notes)
    for cell in cells:
        _check_model_still_there(cell, path)
    if api_key_known() and any(cell.stand_in for cell in cells):
        notes.append("this run was begun without an API key, so rehearsal goes on standing in for its models")
    resumed = dataclasses.replace(plan, config=config, cells=cells, resume=True, notes=tuple(notes))
    check_results_uri(resumed)
    return resumed


def regrade_plan(arguments: Arguments, folder: str) -> Plan:
    """A new run over the programs that ``folder`` records, which asks no model.

    Raises:
        ConfigError: no run's folder, or a key that would change the programs rather than their verdicts.
    """
    path = absolute(folder, "regrade")
    recorded = read_plan(path, same_suites=False)
    if not (path / "journal.sqlite").is_file():
        raise ConfigError(f"regrade={path} holds no journal.sqlite, so there is no program to judge")
    change = _changes(arguments, "regrade", (*_HOW, *_JUDGING))
    for key in change:
        axis = next((cell.axes for cell in recorded.cells if key in cell.axes), None)
        if axis is not None:
            raise ConfigError(f"{key} is an axis of {path}, so it cannot be set for all of its cells")
    shelf = SuiteShelf()
    cells: list[Cell] = []
    suites = {}
    for cell in recorded.cells:
        config = _changed(cell.config, change)
        check_values(config)
        check_together(config)
        suite = shelf.load(config.suite)
        missing = set(cell.problems) - {problem.id for problem in suite.problems}
        if missing:
            raise ConfigError(f"suite {suite.name} no longer holds {min(missing)}, which {path} has programs for")
        suites[suite.digest] = suite
        cells.append(dataclasses.replace(cell, config=config, suite_digest=suite.digest))
    config = _changed(recorded.config, change)
    if "run.dir" not in change:
        config.run.dir = None
    if "run.results_uri" not in change:
        # There are the recorded run's own tables.
        config.run.results_uri = None
    check_secrets(config, arguments.words)
    plan = Plan(
        name=f"{recorded.name.removesuffix('-regrade')}-regrade",
        config=config,
        cells=tuple(cells),
        suites=suites,
        run_dir=path,
        command=arguments.words,
        regrade=path,
    )
    return dataclasses.replace(plan, run_dir=choose_run_dir(plan, datetime.now(UTC)))


def _changes(arguments: Arguments, what: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    """The settings beside ``resume`` or ``regrade`` as checked values by key; groups as whole sections."""
    if arguments.axes or arguments.dropped_axes:
        raise ConfigError(f"axes cannot be set beside {what}=, because the recorded run has its own")
    groups: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for setting in arguments.settings:
        if setting.key == what:
            continue
        if not setting.key.startswith(allowed) or setting.key in ("resume", "regrade"):
            raise ConfigError(
                f"{setting.key}={show(setting.value)} cannot be set beside {what}=, because it would change "
                f"what was recorded; {what} takes {', '.join(key.rstrip('.') for key in allowed)}"
            )
        (groups if setting.group else fields)[setting.key] = setting.value
    composed = Composer(arguments.folders, None).compose({k: str(v) for k, v in groups.items()}, fields)
    check_values(composed)
    return {key: value_of(composed, key) for key in (*groups, *fields)}


def _changed(config: Config, change: Mapping[str, Any]) -> Config:
    new = copy.deepcopy(config)
    for key, value in change.items():
        head, _, name = key.rpartition(".")
        node = value_of(new, head) if head else new
        if isinstance(node, dict):
            node[name] = value
        else:
            setattr(node, name, copy.deepcopy(value))
    return new


def _check_model_still_there(cell: Cell, folder: Path) -> None:
    model = cell.model
    if model is None:
        return
    if model.kind == "anthropic" and model.key_file is None and not api_key_known():
        raise ConfigError(
            f"{folder} was begun with an API key and cannot go on without: set ANTHROPIC_API_KEY "
            "(rehearsal never mixes with a model's answers)"
        )
    if model.kind == "samples" and answers_digest(Path(str(model.path))) != cell.answers_digest:
        raise ConfigError(f"model.path={model.path} has changed since {folder} was made, so it cannot go on there")
