from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from orchestrator.config.errors import ConfigError
from orchestrator.plan import load_plan
from orchestrator.plan.store import plan_as_plain, read_plan, write_plan


def test_a_plan_comes_back_from_its_files(tmp_path: Path) -> None:
    plan = load_plan(["+sweep=humaneval", "limit=2", "axes.hardware=[rtx4060,l4]", "model.price.input_per_mtok=3"])
    write_plan(plan, tmp_path)
    again = read_plan(tmp_path)
    assert again.cells == plan.cells
    assert again.config == plan.config
    assert again.digest == plan.digest
    assert again.command == plan.command
    assert again.run_dir == tmp_path
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["sweep"] == "humaneval"


def test_the_file_says_what_people_look_for() -> None:
    plain = json.loads(json.dumps(plan_as_plain(load_plan(["+sweep=humaneval", "limit=2"]))))
    assert plain["command"] == "python -m orchestrator +sweep=humaneval limit=2"
    assert plain["trials"] == 6
    assert plain["synthetic"] is True
    assert [cell["model"] for cell in plain["cells"]] == ["sonnet", None, "sonnet"]
    assert [cell["synthetic"] for cell in plain["cells"]] == [True, False, True]


@pytest.mark.parametrize("text", ["", "[]", '{"version": 99}', '{"version": 1}', "{"])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ConfigError, match=r"plan\.json"):
        read_plan(tmp_path)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run's folder"):
        read_plan(tmp_path / "nothing")


def test_a_suite_that_has_changed_is_refused_unless_that_is_the_point(tmp_path: Path) -> None:
    write_plan(load_plan(["limit=1"]), tmp_path)
    recorded = json.loads((tmp_path / "plan.json").read_text())
    recorded["cells"][0]["suite_digest"] = "0" * 64
    (tmp_path / "plan.json").write_text(json.dumps(recorded))
    with pytest.raises(ConfigError, match="has changed"):
        read_plan(tmp_path)
    assert read_plan(tmp_path, same_suites=False).cells[0].problems == ("HumanEval/0",)
