from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.arguments import parse_arguments
from orchestrator.config.errors import ConfigError
from orchestrator.plan.expand import Expansion, expand


def expanded(*words: str) -> Expansion:
    return expand(parse_arguments(words))


def axes(*words: str) -> list[dict[str, Any]]:
    return [dict(point.axes) for point in expanded(*words).points]


def test_without_a_sweep_there_is_one_cell() -> None:
    expansion = expanded()
    assert expansion.name == "single"
    assert [point.id for point in expansion.points] == ["hybrid-sonnet"]


def test_every_combination_is_a_cell_and_same_work_is_one() -> None:
    assert axes("+sweep=humaneval", "axes.model=[sonnet,haiku]") == [
        {"system": "generate_only", "model": "sonnet"},
        {"system": "generate_only", "model": "haiku"},
        {"system": "execute_only"},
        {"system": "hybrid", "model": "sonnet"},
        {"system": "hybrid", "model": "haiku"},
    ]


@pytest.mark.parametrize(
    ("axis", "systems"),
    [
        ("axes.turns=[1,2]", {"generate_only": 1, "execute_only": 1, "hybrid": 2}),
        ("axes.feedback=[public,oracle]", {"generate_only": 1, "execute_only": 1, "hybrid": 2}),
        ("axes.samples=[1,5]", {"generate_only": 2, "execute_only": 1, "hybrid": 2}),
        ("axes.model.effort=[low,high]", {"generate_only": 2, "execute_only": 1, "hybrid": 2}),
        ("axes.prompt=[default,gpu]", {"generate_only": 2, "execute_only": 1, "hybrid": 2}),
        ("axes.execute.limits.cpu_s=[2,4]", {"generate_only": 2, "execute_only": 2, "hybrid": 2}),
        ("axes.hardware=[rtx4060,l4]", {"generate_only": 2, "execute_only": 2, "hybrid": 2}),
    ],
)
def test_an_axis_multiplies_the_systems_that_it_makes_a_difference_to(axis: str, systems: dict[str, int]) -> None:
    found = [point["system"] for point in axes("+sweep=humaneval", axis)]
    assert {name: found.count(name) for name in systems} == systems


def test_values_of_an_axis_reach_the_cells() -> None:
    points = expanded(
        "system=hybrid", "axes.model=[sonnet,haiku]", "axes.model.effort=[null,low]", "turns=2"
    ).points
    found = [(point.config.model.name, point.config.model.effort, point.config.turns) for point in points]
    assert found == [("sonnet", None, 2), ("sonnet", "low", 2), ("haiku", None, 2), ("haiku", "low", 2)]
    assert len({point.id for point in points}) == 4


def test_setting_an_axis_of_the_sweep_narrows_it() -> None:
    assert axes("+sweep=humaneval", "system=execute_only") == [{"system": "execute_only"}]
    assert axes("+sweep=humaneval", "axes.system=[hybrid]") == [{"system": "hybrid"}]
    assert axes("+sweep=humaneval", "~axes.system") == [{"system": "hybrid"}]


def test_a_field_that_is_an_axis_of_the_sweeps_file_is_narrowed_too(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(
        "# @package _global_\n# Mine\naxes:\n  model.effort: [low, high]\n  turns: [1, 3]\n"
    )
    ours = ("--config-dir", str(tmp_path), "+sweep=mine")
    assert len(axes(*ours)) == 4
    assert [point.config.model.effort for point in expanded(*ours, "model.effort=max").points] == ["max", "max"]


def test_the_axes_in_force_are_recorded() -> None:
    assert expanded("+sweep=humaneval", "system=hybrid", "axes.turns=[1,2]").base.axes == {"turns": [1, 2]}


def test_cells_that_a_model_cannot_serve_are_left_out_and_named() -> None:
    expansion = expanded("+sweep=humaneval", "model=samples", "model.path=x.jsonl")
    assert [point.config.system.name for point in expansion.points] == ["generate_only", "execute_only"]
    assert expansion.notes == ("left out: hybrid with model=samples, which holds no answers to feedback",)


@pytest.mark.parametrize(
    "words",
    [
        ("system=hybrid", "model=samples", "model.path=x.jsonl"),
        ("+sweep=humaneval", "system=hybrid", "model=samples", "model.path=x.jsonl"),
        ("axes.system=[generate_only,hybrid]", "model=samples", "model.path=x.jsonl"),
    ],
)
def test_asked_for_by_name_they_are_an_error(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="system=hybrid needs a model"):
        expanded(*words)


def test_samples_alone_grades_without_repair() -> None:
    assert axes("model=samples", "model.path=x.jsonl") == [{"system": "generate_only"}]


def test_an_axis_without_any_effect_is_said() -> None:
    expansion = expanded("system=execute_only", "axes.model=[sonnet,haiku]")
    assert len(expansion.points) == 1
    assert expansion.notes == ("axes.model makes no difference to execute_only: one cell for all of its values",)


def test_keys_of_one_option_do_not_leak_into_the_others_of_its_axis() -> None:
    points = expanded("axes.model=[sonnet,local]", "model.base_url=http://h:1", "model.slots=2").points
    assert [(point.config.model.base_url, point.config.model.slots) for point in points] == [
        (None, None),
        ("http://h:1", 2),
    ]


def test_a_gpu_axis_beside_another_suite_goes_to_the_gpu_suite() -> None:
    points = expanded("system=hybrid", "axes.suite=[humaneval,gpu]", "axes.dtype=[fp32,fp16]").points
    assert [(point.config.suite.name, point.config.suite.dtype, point.config.prompt.name) for point in points] == [
        ("humaneval", None, "default"),
        ("gpu", "fp32", "gpu"),
        ("gpu", "fp16", "gpu"),
    ]


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("samples=0",), "samples=0"),
        (("axes.samples=[1,0]",), "samples=0"),
        (("axes.turns=[1,x]",), "axes.turns=x must be a whole number"),
        (("axes.turns=[1,0]",), "axes.turns=0 must be a whole number, 1 or more"),
        (("axes.level=[7]",), "axes.suite.level=7 must be one of"),
        (("suite.dtype=fp32",), "suite=gpu only"),
        (("axes.dtype=[fp32,fp16]",), "suite=gpu only"),
        (("axes.suite=[gpu]", "axes.dtype=[fp32,fp23]"), "did you mean fp32?"),
        (("model.path=x",), "model=samples only"),
        (("axes.model=[sonnet,haiku]", "model.id=x"), "model.id=x"),
        (("~axes.turns",), "~axes.turns"),
    ],
)
def test_what_cannot_work_is_refused(words: tuple[str, ...], fragment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expanded("+sweep=humaneval", *words)
    assert fragment in str(caught.value)


def test_a_key_in_any_option_of_an_axis_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("id: ${oc.env:ANTHROPIC_API_KEY}\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-that-must-not-leak")
    with pytest.raises(ConfigError, match="API key") as caught:
        expanded("--config-dir", str(tmp_path), "axes.model=[sonnet,mine]")
    assert "must-not-leak" not in str(caught.value)


@pytest.mark.parametrize("name", ["humaneval", "gpu", "workloads", "article", "headline", "smoke"])
def test_every_sweep_that_ships_expands(name: str) -> None:
    expansion = expanded(f"+sweep={name}")
    assert expansion.base.sweep == expansion.name == name
    assert expansion.points
    assert len({point.id for point in expansion.points}) == len(expansion.points)
