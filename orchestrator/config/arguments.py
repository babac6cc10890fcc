"""Takes a command line apart: flags, settings as Hydra's grammar reads them, and axes.

Hydra refuses ``axes.*`` keys that the sweep file lacks and a dotted key beside a list, so axes are taken out of
the arguments first and parsed with Hydra's own grammar into a flat mapping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orchestrator.config.errors import ConfigError, did_you_mean, show
from orchestrator.config.groups import GROUPS, check_extra_dir, conf_dir, options
from orchestrator.config.keys import field_type, known_keys, section, takes_text

__all__ = ["AXIS_GROUPS", "SHORT_AXES", "Arguments", "Setting", "check_axis", "parse_arguments"]

AXIS_GROUPS: Final = ("model", "system", "suite", "hardware", "prompt")
"""Groups that may differ between cells; ``cluster`` and ``rates`` belong to the whole run."""

_AXIS_FIELDS: Final = (
    "model.",
    "suite.",
    "prompt.",
    "execute.limits.",
    "execute.device",
    "samples",
    "turns",
    "feedback",
)
SHORT_AXES: Final = {
    "dtype": "suite.dtype",
    "dialect": "suite.dialect",
    "level": "suite.level",
    "effort": "model.effort",
}
_FLAGS: Final = ("--help", "--version", "--cfg", "--config-dir")
_HYDRA_ONLY: Final = (
    "--hydra-help",
    "--resolve",
    "--package",
    "--run",
    "--shell-completion",
    "--config-path",
    "--config-name",
    "--info",
    "--experimental-rerun",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``key=value`` of the command line."""

    key: str
    value: Any
    """The value as Hydra's grammar reads it: text, number, bool, None, list or dict."""

    @property
    def group(self) -> bool:
        """Whether this chooses an option of a group (``model=opus``) rather than setting a field."""
        return self.key in GROUPS


@dataclass(frozen=True, slots=True)
class Arguments:
    """A command line, checked as far as it can be without composing."""

    settings: tuple[Setting, ...] = ()
    axes: dict[str, list[Any]] = field(default_factory=dict)
    """Axes given on the command line, by full key."""
    dropped_axes: tuple[str, ...] = ()
    """Axes of the sweep that the command line takes away (``~axes.system``)."""
    folders: tuple[Path, ...] = ()
    """Where configuration files are: ours, then the user's."""
    help: bool = False
    version: bool = False
    show: bool = False
    """Print the configuration and stop (``--cfg job``)."""
    words: tuple[str, ...] = ()
    """The command line as it was."""

    def get(self, key: str) -> Setting | None:
        """The last setting of ``key``, or None."""
        return next((setting for setting in reversed(self.settings) if setting.key == key), None)


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read a command line (without the program's name).

    Raises:
        ConfigError: a flag, key, option or value is not one of ours, or ``-m`` is used.
    """
    words, extra, flags = _take_flags(list(argv))
    folders = (conf_dir(), *((check_extra_dir(extra),) if extra is not None else ()))
    if flags["help"] or flags["version"]:
        return Arguments(folders=folders, help=flags["help"], version=flags["version"], words=tuple(argv))
    settings: list[Setting] = []
    axes: dict[str, list[Any]] = {}
    dropped: list[str] = []
    for word in words:
        bare = word.lstrip("+~")
        if bare == "axes" or bare.startswith(("axes.", "axes=")):
            if word.startswith("~"):
                dropped.append(_full_axis(bare.removeprefix("axes.").partition("=")[0]))
            else:
                for key, values in _axes(bare):
                    check_axis(key, values, folders)
                    axes[key] = values
        else:
            settings.append(_setting(word, folders))
    _no_repeats(settings)
    for key in axes:
        if any(setting.key == key for setting in settings):
            raise ConfigError(
                f"{key} is set and is an axis ({key}= and axes.{key}=) on one command line: keep one of the two"
            )
    return Arguments(
        settings=tuple(settings),
        axes=axes,
        dropped_axes=tuple(dropped),
        folders=folders,
        show=flags["cfg"],
        words=tuple(argv),
    )


def check_axis(key: str, values: list[Any], folders: Sequence[Path]) -> None:
    """Refuse an axis that is no key of a cell, has no values, or names an option that a group lacks.

    Raises:
        ConfigError: with the key and the nearest right name.
    """
    cell_fields = [name for name in known_keys() if name.startswith(_AXIS_FIELDS) and name.count(".name") == 0]
    if key not in AXIS_GROUPS and not (field_type(key) is not None and key.startswith(_AXIS_FIELDS)):
        if key.startswith("hardware.") and field_type(key) is not None:
            # Prices, memory and slots of a card are looked up by its name, which all values would share.
            raise ConfigError(
                f"axes.{key} cannot be an axis, because a card is known by its name: give each value a file in "
                "hardware/ and name them, e.g. 'axes.hardware=[rtx4060,l4]'"
            )
        if field_type(key) is not None or section(key) or key in GROUPS:
            raise ConfigError(
                f"axes.{key} cannot be an axis, because {key} belongs to the whole run; set {key} itself"
            )
        meant = did_you_mean(key, [*AXIS_GROUPS, *cell_fields])
        meant = meant or "; an axis is a key of a cell, e.g. axes.turns=[1,3]"
        raise ConfigError(f"axes.{key} is no key{meant}")
    if not values:
        raise ConfigError(f"axes.{key}=[] has no values; give at least one")
    for value in values:
        if isinstance(value, list | dict):
            raise ConfigError(f"axes.{key} takes plain values, not {show(value)}")
        if key in AXIS_GROUPS:
            _check_option(key, value, folders, f"axes.{key}")


def _take_flags(argv: list[str]) -> tuple[list[str], str | None, dict[str, bool]]:
    words: list[str] = []
    extra: str | None = None
    flags = {"help": False, "version": False, "cfg": False}
    while argv:
        word = argv.pop(0)
        name, has_value, value = word.partition("=")
        if not word.startswith("-"):
            words.append(word)
        elif word in ("--help", "-h"):
            flags["help"] = True
        elif word == "--version":
            flags["version"] = True
        elif name in ("--config-dir", "-cd"):
            if not has_value and not argv:
                raise ConfigError("--config-dir needs a folder: --config-dir DIR")
            extra = value if has_value else argv.pop(0)
        elif name in ("--cfg", "-c"):
            shown = value if has_value else argv.pop(0) if argv else ""
            if not shown:
                raise ConfigError("--cfg needs a word: --cfg job prints the configuration")
            if shown != "job":
                raise ConfigError(f"--cfg {shown} is not offered; --cfg job prints the configuration")
            flags["cfg"] = True
        elif word in ("-m", "--multirun"):
            raise ConfigError(
                f"{word} is not offered: one command runs every combination of its axes, "
                "e.g. 'axes.model=[sonnet,haiku]'"
            )
        elif name in _HYDRA_ONLY:
            raise ConfigError(f"{name} is a flag of Hydra's that is not offered here; --help lists what is")
        else:
            raise ConfigError(f"{name} is no flag{did_you_mean(name, _FLAGS)}")
    return words, extra, flags


def _axes(text: str) -> list[tuple[str, list[Any]]]:
    """``axes.turns=[1,3]`` or ``axes={turns: [1,3]}`` as pairs of full key and values."""
    key, value = _parse(text)
    name = key.removeprefix("axes").removeprefix(".")
    if name:
        given = {name: value}
    elif isinstance(value, dict):
        given = {str(inner): item for inner, item in value.items()}
    else:
        raise ConfigError(f"axes={show(value)} must map keys to lists, e.g. axes.turns=[1,3]")
    pairs: list[tuple[str, list[Any]]] = []
    for inner, item in given.items():
        if not isinstance(item, list):
            raise ConfigError(f"axes.{inner}={show(item)} must be a list, e.g. 'axes.{inner}=[{show(item)}]'")
        pairs.append((_full_axis(inner), list(dict.fromkeys(item)) if _hashable(item) else item))
    return pairs


def _full_axis(name: str) -> str:
    return SHORT_AXES.get(name, name)


def _hashable(values: list[Any]) -> bool:
    return not any(isinstance(value, list | dict) for value in values)


def _setting(word: str, folders: Sequence[Path]) -> Setting:
    bare = word.lstrip("+")
    if word.startswith("~"):
        key = word[1:].partition("=")[0]
        raise ConfigError(f"{word} would remove a key, and every key is needed; set it instead, e.g. {key}=null")
    name, equals, raw = bare.partition("=")
    if not equals or not name:
        sweeps = options("sweep", folders)
        hint = f"; did you mean +sweep={word}?" if word in sweeps else ", e.g. samples=5"
        raise ConfigError(f"{show(word) or 'an empty word'} is not of the form key=value{hint}")
    if name.startswith(("hydra.", "hydra/")) or name == "hydra":
        raise ConfigError(f"{name} is a key of Hydra's own that has no effect here; run.dir chooses the folder")
    if name in GROUPS:
        return _choice(word, name, raw, folders)
    if field_type(name) is None and not section(name):
        everything = [*GROUPS, *known_keys()]
        meant = did_you_mean(name, everything) or "; --cfg job prints every key there is"
        raise ConfigError(f"{name} is no key{meant}")
    group, _, last = name.partition(".")
    if last == "name" and group in GROUPS:
        raise ConfigError(f"{name} is set by the option's file; choose an option with {group}={raw}")
    if word.startswith("+") and not word.startswith("++") and not name.startswith("hardware.labels."):
        raise ConfigError(f"{word} adds a key that is there already; write {bare}")
    try:
        _, value = _parse(bare)
    except ConfigError:
        if not takes_text(name):
            raise
        # A path or address may hold characters that Hydra's grammar reserves; it is text, so it is taken whole.
        value = raw
    return Setting(name, value)


def _choice(word: str, group: str, raw: str, folders: Sequence[Path]) -> Setting:
    if "," in raw or raw.startswith("["):
        listed = raw.strip("[]")
        raise ConfigError(f"{group}={raw} names several; to run each of them write 'axes.{group}=[{listed}]'")
    _check_option(group, raw, folders, group)
    if group == "sweep":
        if not word.startswith("+"):
            raise ConfigError(f"a sweep is added, not replaced: write +sweep={raw}")
        return Setting(group, raw)
    if word.startswith("+"):
        raise ConfigError(f"{word} adds a second {group}; write {group}={raw}")
    return Setting(group, raw)


def _check_option(group: str, value: Any, folders: Sequence[Path], key: str) -> None:
    known = options(group, folders)
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{key}={show(value)}: there is no {group} of that name{did_you_mean(str(value), known)}")


def _parse(text: str) -> tuple[str, Any]:
    """Key and value of ``text`` by Hydra's grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Sweep
    from hydra.errors import HydraException

    key, _, raw = text.partition("=")
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        raise ConfigError(
            f"{key}={raw} cannot be read; put the value in quotes inside quotes: '{key}=\"{raw}\"'"
        ) from None
    value = override.value()
    if isinstance(value, Sweep):
        name = key.removeprefix("axes.")
        raise ConfigError(f"{key}={raw} names several values; to run each of them write 'axes.{name}=[{raw}]'")
    return override.key_or_group, value


def _no_repeats(settings: Sequence[Setting]) -> None:
    seen: dict[str, Setting] = {}
    for setting in settings:
        before = seen.setdefault(setting.key, setting)
        # One that is not a number is not even equal to itself.
        if before is not setting and before.value != setting.value:
            raise ConfigError(
                f"{setting.key} is set twice, to {show(before.value)} and to {show(setting.value)}: keep one"
            )
