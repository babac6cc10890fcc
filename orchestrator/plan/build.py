"""From arguments to a plan: loads suites and answers, counts trials, checks prices and folders."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.config.arguments import Arguments, parse_arguments
from orchestrator.config.errors import ConfigError, did_you_mean, show
from orchestrator.config.paths import absolute
from orchestrator.config.schema import Config
from orchestrator.core.problems import Suite
from orchestrator.plan.again import regrade_plan, resume_plan
from orchestrator.plan.answers import count_answers
from orchestrator.plan.expand import Point, expand
from orchestrator.plan.folders import check_cache, check_log, choose_run_dir
from orchestrator.plan.keys import with_stand_in
from orchestrator.plan.model import Cell, Plan
from orchestrator.plan.suites import SuiteShelf, select_problems

__all__ = ["build_plan", "load_plan"]


def load_plan(argv: Sequence[str]) -> Plan:
    """The checked plan of a command line (without the program's name); nothing is spent or written.

    Raises:
        ConfigError: in one sentence, for the first thing that is wrong.
    """
    return build_plan(parse_arguments(argv))


def build_plan(arguments: Arguments) -> Plan:
    """The checked plan of arguments that are taken apart already.

    Raises:
        ConfigError: in one sentence, for the first thing that is wrong.
    """
    again = {key: arguments.get(key) for key in ("resume", "regrade")}
    folders = {key: str(setting.value) for key, setting in again.items() if setting and setting.value is not None}
    if len(folders) > 1:
        raise ConfigError(
            "resume= and regrade= cannot be set together: one goes on with a run, the other makes one"
        )
    if "resume" in folders:
        return resume_plan(arguments, folders["resume"])
    if "regrade" in folders:
        return regrade_plan(arguments, folders["regrade"])
    expansion = expand(arguments)
    shelf = SuiteShelf()
    points = [dataclasses.replace(point, config=absolute_paths(point.config)) for point in expansion.points]
    suites = [shelf.load(point.config.suite) for point in points]
    _check_ids(points, suites)
    notes = list(expansion.notes)
    cells: list[Cell] = []
    for point, suite in zip(points, suites, strict=True):
        config = with_stand_in(point.config)
        ids = select_problems(suite, config)
        notes += [note for note in left_out_notes(suite, config) if note not in notes]
        if not ids:
            notes.append(f"left out: {point.id}, because none of the problems that were asked for is in its suite")
            continue
        cells.append(make_cell(point, config, suite, ids, stand_in=config.model.kind != point.config.model.kind))
    if not cells:
        empty = [str(getattr(suite, "why_empty", "")) for suite in suites]
        if all(empty):
            raise ConfigError(f"suite={suites[0].name}: {empty[0]}")
        told = "".join(f"; {note}" for note in notes[:1])
        key, chosen = "problems", expansion.base.problems
        if chosen is None:
            key, chosen = "suite.problems", points[0].config.suite.problems
        raise ConfigError(f"{key}={show(chosen)} selects no problem of any suite{told}")
    check_prices(cells)
    check_server(cells)
    for log in {cell.config.rehearsal.log for cell in cells if cell.synthetic} - {None}:
        check_log(str(log))
    check_cache(expansion.base)
    plan = Plan(
        name=expansion.name,
        config=expansion.base,
        cells=tuple(cells),
        suites={suite.digest: suite for suite in suites},
        run_dir=Path(),
        notes=tuple(notes),
        command=arguments.words,
    )
    return dataclasses.replace(plan, run_dir=choose_run_dir(plan, datetime.now(UTC)))


def make_cell(point: Point, config: Config, suite: Suite, ids: tuple[str, ...], *, stand_in: bool) -> Cell:
    """One cell of the plan, its samples counted."""
    cell = Cell(
        id=point.id,
        axes=dict(point.axes),
        config=config,
        suite_digest=suite.digest,
        problems=ids,
        sample_counts=(1,) * len(ids),
        max_tokens=config.model.max_tokens or config.suite.max_tokens or suite.max_tokens,
        stand_in=stand_in and config.system.name != "execute_only",
    )
    if not cell.generates:
        # A reference program gets the same verdict however often it is run, so one try is all there is to plan.
        return cell
    if config.model.kind == "samples":
        asked = config.samples if point.samples_given else None
        counts, digest = count_answers(Path(str(config.model.path)), suite, ids, asked)
        return dataclasses.replace(cell, sample_counts=counts, answers_digest=digest)
    if config.samples is None:
        raise ConfigError(
            "samples=null is for model=samples, where the file says how many there are; give a number"
        )
    return dataclasses.replace(cell, sample_counts=(config.samples,) * len(ids))


def absolute_paths(config: Config) -> Config:
    """The same configuration with files named from the root, so that a run can be resumed from any folder."""
    model, suite = config.model, config.suite
    if model.path is not None:
        model = dataclasses.replace(model, path=str(absolute(model.path, "model.path")))
    if model.key_file is not None and config.cluster.address is None:
        # On a cluster it is a path of the generating nodes, which is left as it is.
        model = dataclasses.replace(model, key_file=str(absolute(model.key_file, "model.key_file")))
    if suite.path is not None:
        suite = dataclasses.replace(suite, path=str(absolute(suite.path, "suite.path")))
    return dataclasses.replace(config, model=model, suite=suite)


def check_server(cells: Sequence[Cell]) -> None:
    """Refuse to send a key where the environment may not mean it to go.

    Raises:
        ConfigError: ANTHROPIC_BASE_URL names another server than the API and the configuration names none.
    """
    from orchestrator.generate.attempts import ANTHROPIC_URL

    named = os.environ.get("ANTHROPIC_BASE_URL", "").rstrip("/")
    models = [cell.config.model for cell in cells if cell.generates]
    if named in {"", ANTHROPIC_URL} or not any(m.kind == "anthropic" and m.base_url is None for m in models):
        return
    raise ConfigError(
        f"ANTHROPIC_BASE_URL={show(named)} is not followed, since replies from there would count as the API's; set "
        f"model.base_url={show(named)} to ask that server, or unset it to ask {ANTHROPIC_URL}"
    )


def check_prices(cells: Sequence[Cell]) -> None:
    """Refuse a model whose replies could not be charged.

    Raises:
        ConfigError: no price is known for a model and the configuration names none.
    """
    models = {
        cell.config.model.id: cell.config.model
        for cell in cells
        if cell.generates
        and cell.config.model.kind in ("anthropic", "rehearsal")
        and cell.config.model.price is None
    }
    if not models:
        return
    from orchestrator.generate.pricing import UnknownPrice, look_up_price

    for name in models:
        try:
            look_up_price(str(name), datetime.now(UTC))
        except UnknownPrice as error:
            raise ConfigError(str(error)) from None


def left_out_notes(suite: Suite, config: Config) -> list[str]:
    """Sentences on problems that were asked for and do not come in the cell's dtype or dialect."""
    wanted = [frozenset(chosen) for chosen in (config.suite.problems, config.problems) if chosen is not None]
    reasons: dict[str, list[str]] = {}
    for name, reason in _left_out(suite).items():
        if all(name in chosen for chosen in wanted):
            reasons.setdefault(reason, []).append(name)
    return [
        f"left out: {', '.join(names)}, because the suite has {'it' if len(names) == 1 else 'them'} {reason}"
        for reason, names in reasons.items()
    ]


def _left_out(suite: Suite) -> dict[str, str]:
    """Problems that the suite has, but not in this dtype or dialect: id -> in what it comes."""
    found = getattr(suite, "left_out", ())
    return {f"{suite.name}/{each.name}": each.reason.removeprefix("comes ") for each in found}


def _check_ids(points: Sequence[Point], suites: Sequence[Suite]) -> None:
    known: dict[str, None] = {}
    for point, suite in zip(points, suites, strict=True):
        own = dict.fromkeys([problem.id for problem in suite.problems] + list(_left_out(suite)))
        known |= own
        for name in point.config.suite.problems or ():
            if name not in own:
                raise ConfigError(f"suite.problems: {name} is no problem of {suite.name}{did_you_mean(name, own)}")
    asked = points[0].config.problems
    if asked is not None and not asked:
        raise ConfigError("problems=[] selects nothing; leave it out for all problems")
    for name in asked or ():
        if name not in known:
            names = ", ".join(dict.fromkeys(suite.name for suite in suites))
            raise ConfigError(f"problems: {name} is no problem of {names}{did_you_mean(name, known)}")
