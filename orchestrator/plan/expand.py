"""Turns axes into configurations, one a cell: every combination, less those that are the same work."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.config.arguments import AXIS_GROUPS, SHORT_AXES, Arguments, check_axis
from orchestrator.config.checks import SUITE_NEEDS_PATH, check_secrets, check_together, check_values
from orchestrator.config.compose import Composer
from orchestrator.config.errors import ConfigError, show
from orchestrator.config.schema import Config

__all__ = ["Expansion", "Point", "expand"]

_SCOPES: Final[Mapping[str, Callable[[Config], bool]]] = {
    "model.path": lambda config: config.model.kind == "samples",
    "model.base_url": lambda config: config.model.kind == "local",
    "model.slots": lambda config: config.model.kind == "local",
    "model.usd_per_gpu_hour": lambda config: config.model.kind == "local",
    "model.effort": lambda config: config.model.kind != "samples",
    "model.thinking": lambda config: config.model.kind != "samples",
    "suite.path": lambda config: config.suite.name in SUITE_NEEDS_PATH,
    "suite.dtype": lambda config: config.suite.name == "gpu",
    "suite.dialect": lambda config: config.suite.name == "gpu",
    "suite.level": lambda config: config.suite.name == "gpu",
}
"""Keys that mean something to some options of their group only. Where the group is an axis, they go to those."""

_REPAIRING: Final = ("turns", "feedback")
_GENERATING: Final = ("model", "prompt", "samples", "suite.max_tokens")


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of the axes, composed and checked."""

    id: str
    axes: Mapping[str, Any]
    """The axes that make a difference here."""
    config: Config
    samples_given: bool
    """Whether the user, and not only the sweep's file, says how many samples there are."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """All points of a sweep."""

    name: str
    base: Config
    """Composed without any axis, for the run's own keys; its ``axes`` are those in force."""
    points: tuple[Point, ...]
    notes: tuple[str, ...]


def expand(arguments: Arguments) -> Expansion:
    """Compose and check every combination of the axes.

    Setting a key that is an axis of the sweep's file narrows that axis to the one value.

    Raises:
        ConfigError: for the first key, value or combination that cannot work.
    """
    chosen = arguments.get("sweep")
    sweep = None if chosen is None else str(chosen.value)
    composer = Composer(arguments.folders, sweep)
    groups = {setting.key: str(setting.value) for setting in arguments.settings if setting.group}
    groups.pop("sweep", None)
    fields = {setting.key: setting.value for setting in arguments.settings if not setting.group}
    base = composer.compose(groups, fields)
    check_values(base)
    check_secrets(base, arguments.words)
    axes = _axes(arguments, base, {*groups, *fields})
    if "model.id" in fields and len(axes.get("model", ())) > 1:
        raise ConfigError(
            f"model.id={show(fields['model.id'])} would rename every model of axes.model; "
            "give that model a file of its own under --config-dir"
        )
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    composed = []
    for combination in combinations:
        with _named(combination):
            composed.append(_compose(composer, groups, fields, combination))
    configs: list[Config] = []
    for combination, config in zip(combinations, composed, strict=True):
        out = _out_of_scope(config, composed, axes)
        if out & {*fields, *combination}:
            kept = {key: value for key, value in fields.items() if key not in out}
            single = {key: value for key, value in combination.items() if key not in out}
            configs.append(_compose(composer, groups, kept, single))
        else:
            configs.append(config)
    given = {*fields, *arguments.axes}
    points: dict[tuple[tuple[str, Any], ...], Point] = {}
    notes: list[str] = []
    for combination, config in zip(combinations, configs, strict=True):
        relevant = {"system": config.system.name}
        relevant |= {key: value for key, value in combination.items() if _matters(key, config)}
        identity = tuple(relevant.items())
        if identity in points:
            continue
        if config.system.name == "hybrid" and config.model.kind == "samples":
            notes.append(f"left out: hybrid with model={config.model.name}, which holds no answers to feedback")
            continue
        with _named(combination):
            check_values(config)
        check_secrets(config, ())
        check_together(config)
        name = _name(relevant, config, {point.id for point in points.values()})
        points[identity] = Point(name, relevant, config, "samples" in given)
    _refuse_if_asked_for(arguments, groups, list(points.values()), notes)
    for key in axes:
        if len(axes[key]) > 1 and not any(key in point.axes for point in points.values()):
            systems = ", ".join(dict.fromkeys(point.config.system.name for point in points.values()))
            notes.append(f"axes.{key} makes no difference to {systems}: one cell for all of its values")
    base.axes = axes
    return Expansion(sweep or "single", base, tuple(points.values()), tuple(dict.fromkeys(notes)))


def _axes(arguments: Arguments, base: Config, fixed: set[str]) -> dict[str, list[Any]]:
    """The axes in force: the sweep's, less those narrowed or taken away, and the command line's own."""
    axes: dict[str, list[Any]] = {}
    for short, values in base.axes.items():
        key = SHORT_AXES.get(short, short)
        check_axis(key, values, arguments.folders)
        if key not in fixed and key not in arguments.dropped_axes:
            axes[key] = list(dict.fromkeys(values))
    for key in arguments.dropped_axes:
        if key not in {SHORT_AXES.get(short, short) for short in base.axes}:
            raise ConfigError(f"~axes.{key}: the sweep has no such axis")
    return axes | arguments.axes


def _compose(
    composer: Composer, groups: Mapping[str, str], fields: Mapping[str, Any], combination: Mapping[str, Any]
) -> Config:
    chosen = {key: value for key, value in combination.items() if key in AXIS_GROUPS}
    single = {key: value for key, value in combination.items() if key not in AXIS_GROUPS}
    return composer.compose({**groups, **chosen}, {**fields, **single})


@contextlib.contextmanager
def _named(combination: Mapping[str, Any]) -> Iterator[None]:
    """What is refused of a value of an axis is said of the axis, where whoever set it will look."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        if any(text.startswith(f"{key}={show(value)} ") for key, value in combination.items()):
            raise ConfigError(f"axes.{text}") from None
        raise


def _out_of_scope(config: Config, others: Sequence[Config], axes: Mapping[str, Sequence[Any]]) -> set[str]:
    """The keys that only other options of an axis can use, so that this combination goes without them.

    With ``'axes.model=[sonnet,local]' model.base_url=...`` the address is the local server's alone. Where no
    option could use such a key, it stays and is refused.
    """
    return {
        key
        for key, fits in _SCOPES.items()
        if len(axes.get(key.partition(".")[0], ())) > 1 and not fits(config) and any(map(fits, others))
    }


def _matters(key: str, config: Config) -> bool:
    """Whether an axis makes a difference to a cell."""
    system, kind = config.system.name, config.model.kind
    if key.startswith(_REPAIRING):
        return system == "hybrid"
    if key.startswith(_GENERATING):
        if system == "execute_only":
            return False
        return kind != "samples" or key in ("model", "model.path", "samples")
    scope = _SCOPES.get(key)
    return scope is None or scope(config)


def _name(axes: Mapping[str, Any], config: Config, taken: set[str]) -> str:
    parts = [config.system.name]
    if config.system.name != "execute_only":
        parts.append(config.model.name)
    for key, value in axes.items():
        if key in ("suite", "hardware", "prompt"):
            parts.append(str(value))
        elif key not in ("system", "model"):
            parts.append(f"{key.rpartition('.')[2]}={show(value)}")
    stem = re.sub(r"[^A-Za-z0-9._=+-]+", "_", "-".join(parts))[:120]
    name = stem
    for number in itertools.count(2):
        if name not in taken:
            return name
        name = f"{stem}-{number}"
    raise AssertionError("counting never ends")


def _refuse_if_asked_for(
    arguments: Arguments, groups: Mapping[str, str], points: Sequence[Point], notes: Sequence[str]
) -> None:
    if not notes:
        return
    by_name = groups.get("system") == "hybrid" or "hybrid" in arguments.axes.get("system", ())
    left = any(point.config.system.name == "hybrid" for point in points)
    if not points or (by_name and not left):
        raise ConfigError(
            "system=hybrid needs a model that answers feedback, and model=samples holds finished answers; "
            "use system=generate_only or another model"
        )
