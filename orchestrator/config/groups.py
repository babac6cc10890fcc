"""The configuration files: where they are, which options each group has, and what one line says of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.config.errors import ConfigError
from orchestrator.config.paths import absolute

__all__ = ["GROUPS", "check_extra_dir", "conf_dir", "describe", "options"]

GROUPS: Final = ("sweep", "model", "system", "suite", "hardware", "cluster", "prompt", "rates")
"""Every group, in the order in which the help lists them."""


def conf_dir() -> Path:
    """The first of ``<package>/conf`` and ``<package>/../conf`` that holds ``config.yaml``.

    A wheel ships the files inside the package; a checkout has them beside it.

    Raises:
        ConfigError: neither is there, so the installation is damaged.
    """
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise ConfigError(f"the configuration files are missing beside {package}: install the package again")


def check_extra_dir(text: str) -> Path:
    """The user's own configuration folder, absolute.

    Raises:
        ConfigError: it is no folder, or one of its files has the name of one of ours and would never be read.
    """
    folder = absolute(text, "--config-dir")
    if not folder.is_dir():
        raise ConfigError(f"--config-dir {text} is not a folder")
    ours = conf_dir()
    if folder.resolve() == ours.resolve():
        return folder
    for file in sorted(folder.rglob("*.yaml")):
        name = file.relative_to(folder)
        if (ours / name).is_file():
            raise ConfigError(
                f"{file} has the name of a file that comes with the package and would never be read: "
                f"give it another name than {name}"
            )
    return folder


def options(group: str, folders: Sequence[Path]) -> dict[str, Path]:
    """The options of ``group`` by name, each with its file; earlier folders win."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted((folder / group).glob("*.yaml")):
            found.setdefault(file.stem, file)
    return found


def describe(file: Path) -> str:
    """The first comment line of a configuration file that is not Hydra's own (``# @package ...``)."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            text = line.strip()
            if not text.startswith("#"):
                break
            text = text.lstrip("#").strip()
            if text and not text.startswith("@"):
                return text
    return ""
