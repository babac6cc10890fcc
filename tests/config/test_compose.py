from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

from orchestrator.config.compose import Composer, config_from_plain
from orchestrator.config.errors import ConfigError
from orchestrator.config.groups import conf_dir


def composer(*extra: Path, sweep: str | None = None) -> Composer:
    return Composer([conf_dir(), *extra], sweep)


def user_file(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_defaults() -> None:
    config = composer().compose({}, {})
    assert (config.model.name, config.model.id) == ("sonnet", "claude-sonnet-5-5")
    assert (config.system.name, config.suite.name, config.hardware.name) == ("hybrid", "humaneval", "local")
    assert config.sweep is None
    assert config.axes == {}


def test_a_suite_chooses_prompt_and_hardware_and_the_user_overrules_it() -> None:
    assert composer().compose({"suite": "gpu"}, {}).prompt.name == "gpu"
    assert composer().compose({"suite": "gpu"}, {}).hardware.name == "gpu"
    overruled = composer().compose({"suite": "gpu", "prompt": "default", "hardware": "l4"}, {})
    assert (overruled.prompt.name, overruled.hardware.name) == ("default", "l4")


def test_a_sweep_comes_after_the_groups_and_before_the_fields() -> None:
    config = composer(sweep="smoke").compose({"model": "haiku"}, {"limit": 7})
    assert (config.sweep, config.turns, config.limit, config.model.name) == ("smoke", 2, 7, "haiku")


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"model.price.input_per_mtok": 3}, lambda config: config.model.price.input_per_mtok == 3.0),
        ({"model.price": {"output_per_mtok": 4}}, lambda config: config.model.price.output_per_mtok == 4.0),
        ({"execute.limits": {"cpu_s": 2}}, lambda config: config.execute.limits.cpu_s == 2.0),
        ({"hardware.labels": {}}, lambda config: config.hardware.labels == {}),
        ({"hardware.labels.zone": "b"}, lambda config: config.hardware.labels["zone"] == "b"),
        ({"problems": ["a"]}, lambda config: config.problems == ["a"]),
        ({"model.id": 5}, lambda config: config.model.id == "5"),
    ],
)
def test_fields(fields: dict[str, Any], read: Any) -> None:
    assert read(composer().compose({"hardware": "l4"}, fields))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"samples": "abc"}, "samples=abc must be a whole number or null"),
        ({"samples": 1.5}, "samples=1.5 must be a whole number or null"),
        ({"seed": None}, "seed=null must be a whole number"),
        ({"generate.stream": "maybe"}, "generate.stream=maybe must be true or false"),
        ({"problems": "HumanEval/0"}, r"problems=HumanEval/0 must be a list \[a,b\] or null"),
        ({"budget.usd": "five"}, "budget.usd=five must be a number or null"),
        ({"model.price.inptu": 1}, "model.price.inptu is no key"),
        ({"execute.limits": {"cpu": 1}}, r"execute.limits.cpu is no key; did you mean execute.limits.cpu_s\?"),
    ],
)
def test_wrong_types_name_the_key_and_what_would_be_right(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        composer().compose({}, fields)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("nme: x\n", ["model/mine.yaml", "model.nme", "model.name"]),
        ("max_tokens: abc\n", ["model/mine.yaml", "model.max_tokens", "a whole number"]),
        ("a: [b\n", ["YAML", "mine.yaml"]),
        ("_target_: os.system\n", ["_target_", "refused"]),
        ("id: ${foo.bar}\n", ["model.id", "foo.bar"]),
        ("# @package _global_\ndefaults:\n  - override /prompt: nope\n", ["prompt", "nope", "default"]),
        ("# @package _global_\nhardware: {labels: {_target_: a}}\n", ["hardware.labels._target_", "refused"]),
        ("# @package _global_\naxes: {system: hybrid}\n", ["axes.system", "list"]),
        ("# @package _global_\naxes: 3\n", ["axes", "mapping"]),
        ("# @package _global_\nnonsense: 1\n", ["nonsense is no key"]),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, fragments: list[str]) -> None:
    user_file(tmp_path, "model/mine.yaml", text)
    with pytest.raises(ConfigError) as caught:
        composer(tmp_path).compose({"model": "mine"}, {})
    assert "\n" not in str(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_users_file_is_named_after_its_file_and_any_folder_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "it's, a [folder]"
    user_file(folder, "model/mine.yaml", "kind: anthropic\nid: claude-haiku-5-5\n")
    config = composer(folder).compose({"model": "mine"}, {})
    assert (config.model.name, config.model.id) == ("mine", "claude-haiku-5-5")


def test_nothing_of_hydras_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    composer(sweep="humaneval").compose({}, {})
    assert list(tmp_path.iterdir()) == []
    assert not GlobalHydra.instance().is_initialized()


def test_a_configuration_comes_back_from_plain_data() -> None:
    config = composer().compose({"hardware": "l4"}, {"model.price.input_per_mtok": 3, "problems": ["a"]})
    assert config_from_plain(dataclasses.asdict(config)) == config
    with pytest.raises(ConfigError, match="nonsense is no key"):
        config_from_plain({**dataclasses.asdict(config), "nonsense": 1})
