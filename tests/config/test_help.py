from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config.groups import GROUPS, conf_dir, describe, options
from orchestrator.config.help import help_text
from orchestrator.config.keys import known_keys


def test_every_option_of_every_group_is_listed_with_its_line() -> None:
    text = " ".join(help_text([conf_dir()], 110).split())
    for group in GROUPS:
        for name, file in options(group, [conf_dir()]).items():
            assert f"{name} {describe(file)}" in text


@pytest.mark.parametrize("width", [40, 60, 80, 110])
def test_it_fits_the_terminal_but_for_what_must_be_typed(width: int) -> None:
    for line in help_text([conf_dir()], width).splitlines():
        typed = line.strip().startswith("python -m orchestrator ") or "=" in line
        assert len(line) <= width or (typed and not line.startswith("Usage"))


def test_the_keys_it_names_exist() -> None:
    lines = help_text([conf_dir()], 110).split("Keys set most")[1].split("Flags")[0].splitlines()[1:]
    named = [line.split("=")[0].strip() for line in lines if line.startswith("  ") and line[2] != " "]
    assert len(named) > 10
    assert {*named} <= {*known_keys()}


def test_the_users_own_options_are_listed_too(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "ours.yaml").write_text("# Our own problems\nname: custom\npath: x.jsonl\n")
    assert "Our own problems" in help_text([conf_dir(), tmp_path], 100)
