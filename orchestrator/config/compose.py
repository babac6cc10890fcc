"""Composes configurations with Hydra, and says its errors and OmegaConf's in one sentence each.

Hydra composes the groups; single fields are then set on the typed result one by one, so that a wrong value is
refused with its own key. Nothing of Hydra's is left behind: no output folder, no log file, no global state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config.errors import ConfigError, did_you_mean, show
from orchestrator.config.keys import field_type, known_keys, plain_type
from orchestrator.config.schema import Config, PriceConfig

if TYPE_CHECKING:
    from hydra.core.config_search_path import ConfigSearchPath
    from omegaconf import DictConfig

__all__ = ["Composer", "config_from_plain"]

_NAMED_AFTER_FILE = ("model", "system", "hardware", "prompt", "rates", "cluster", "suite")
_NO_CODE = "configuration files choose values, never code to run"


class Composer:
    """Makes configurations out of group choices and field values; a choice is composed once."""

    def __init__(self, folders: Sequence[Path], sweep: str | None) -> None:
        """``folders``: ours first, then the user's. ``sweep``: the sweep's name, or None for a single cell."""
        self._folders = tuple(folders)
        self._sweep = sweep
        self._composed: dict[tuple[tuple[str, str], ...], DictConfig] = {}

    def compose(self, groups: Mapping[str, str], fields: Mapping[str, Any]) -> Config:
        """The configuration with these options of groups and, after them, these fields.

        Raises:
            ConfigError: a file or a value is not what the schema says.
        """
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        config = self._groups(groups).copy()
        for key, value in fields.items():
            set_field(config, key, value)
        try:
            plain = OmegaConf.to_object(config)
        except OmegaConfBaseException as error:
            raise ConfigError(_sentence(error)) from None
        if not isinstance(plain, Config):
            raise TypeError(f"the composed configuration is a {type(plain).__name__}, not a Config")
        return plain

    def _groups(self, groups: Mapping[str, str]) -> DictConfig:
        key = tuple(sorted(groups.items()))
        if key not in self._composed:
            self._composed[key] = self._hydra([f"{group}={name}" for group, name in key])
        return self._composed[key]

    def _hydra(self, overrides: list[str]) -> DictConfig:
        from hydra._internal.config_loader_impl import ConfigLoaderImpl
        from hydra._internal.config_repository import CachingConfigRepository
        from hydra._internal.defaults_list import create_defaults_list
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError

        words = overrides if self._sweep is None else [f"+sweep={self._sweep}", *overrides]
        try:
            # This is what hydra.compose() does, less Hydra's own node: it would more than double the time, and
            # nothing of it (jobs, launchers, logging, output folders) is used here. Hydra's version is pinned.
            loader = ConfigLoaderImpl(_search_path(self._folders))
            files = CachingConfigRepository(loader.repository)
            found = create_defaults_list(
                repo=files,
                config_name="config",
                overrides_list=OverridesParser.create().parse_overrides(words),
                prepend_hydra=False,
                skip_missing=False,
            )
            config = loader._compose_config_from_defaults_list(defaults=found.defaults, repo=files)
            choices = found.overrides.known_choices
            _refuse_targets(config)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_sentence(error)) from None
        except YAMLError as error:
            raise ConfigError(f"a configuration file is not YAML: {_one_line(str(error))}") from None
        for group in _NAMED_AFTER_FILE:
            if OmegaConf.is_missing(config[group], "name"):
                config[group].name = choices[group]
        return config


def _search_path(folders: Sequence[Path]) -> ConfigSearchPath:
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    if "schema" not in store.repo:
        store.store(group="schema", name="config", node=Config)
    ours, *theirs = folders
    path = create_config_search_path(str(ours))
    for folder in theirs:
        # Hydra wants its store of schemas to stay last.
        path.prepend("user", f"file://{folder}", anchor="schema")
    return path


def set_field(config: DictConfig, key: str, value: Any) -> None:
    """Set one field of a typed configuration in place.

    Raises:
        ConfigError: the value has the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if key.startswith("model.price") and value is not None and config.model.price is None:
        # OmegaConf cannot set a field inside an optional section that is null.
        config.model.price = PriceConfig()
    try:
        OmegaConf.update(config, key, value, merge=isinstance(value, dict) and key not in known_keys())
    except OmegaConfBaseException as error:
        full = getattr(error, "full_key", None) or key
        if field_type(full) is None:
            raise ConfigError(f"{full} is no key{did_you_mean(str(full), known_keys())}") from None
        wanted = plain_type(field_type(full))
        raise ConfigError(f"{key}={show(value)} must be {wanted}") from None


def config_from_plain(plain: Mapping[str, Any]) -> Config:
    """The configuration that ``dataclasses.asdict`` gave ``plain`` of, for reading a run's files back.

    Raises:
        ConfigError: a key or type is not the schema's, so the file is of another version.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        # Keys are set on the typed root, which is what checks them.
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), dict(plain)))
    except OmegaConfBaseException as error:
        raise ConfigError(_sentence(error)) from None
    if not isinstance(config, Config):
        raise TypeError(f"the stored configuration is a {type(config).__name__}, not a Config")
    return config


def _refuse_targets(node: Any, path: str = "") -> None:
    """Nothing here is ever instantiated by name, and a file that tries is refused rather than ignored."""
    from omegaconf import DictConfig, ListConfig

    items: list[tuple[str, Any]]
    if isinstance(node, dict):
        items = list(node.items())
    elif not isinstance(node, DictConfig | ListConfig) or node._is_none() or node._is_missing():
        return
    elif isinstance(node, DictConfig):
        items = [(str(name), node._get_node(name)) for name in node]
    else:
        items = [(str(number), node._get_node(number)) for number in range(len(node))]
    for name, value in items:
        where = f"{path}.{name}" if path else name
        if name == "_target_":
            raise ConfigError(f"{where} is refused: {_NO_CODE}")
        _refuse_targets(value, where)


def _sentence(error: Exception) -> str:
    """The innermost cause of a Hydra or OmegaConf error, on one line, with its key and file where known."""
    from hydra.errors import MissingConfigException
    from omegaconf.errors import InterpolationResolutionError

    chain: list[BaseException] = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    texts = [str(link) for link in chain]
    file = next((match[1] for text in texts if (match := re.search(r"In '([^']+)'", text))), None)
    where = f"{file}.yaml: " if file and file != "config" else ""
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file:
            group, _, name = link.missing_cfg_file.rpartition("/")
            return f"{where}there is no {group} {name}{did_you_mean(name, link.options or ())}"
        full = getattr(link, "full_key", None)
        if full:
            first = _one_line(str(link).splitlines()[0])
            if full.rpartition(".")[2] == "_target_":
                return f"{where}{full} is refused: {_NO_CODE}"
            if isinstance(link, InterpolationResolutionError):
                return f"{where}{full} cannot be resolved: {first}"
            if field_type(full) is None:
                return f"{where}{full} is no key{did_you_mean(full, known_keys())}"
            return f"{where}{full} must be {plain_type(field_type(full))}: {first}"
    first = _one_line(re.sub(r"In '[^']+':", "", texts[0]))
    return f"{where}{first}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
