from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.arguments import parse_arguments
from orchestrator.config.errors import ConfigError


def test_flags_groups_fields_and_axes_are_told_apart(tmp_path: Path) -> None:
    words = ["--config-dir", str(tmp_path), "+sweep=humaneval", "model=opus", "samples=5", "axes.turns=[1,3]"]
    arguments = parse_arguments(words)
    assert [(setting.key, setting.value, setting.group) for setting in arguments.settings] == [
        ("sweep", "humaneval", True),
        ("model", "opus", True),
        ("samples", 5, False),
    ]
    assert arguments.axes == {"turns": [1, 3]}
    assert arguments.folders[1] == tmp_path
    assert arguments.words == tuple(words)


@pytest.mark.parametrize(
    ("word", "axes"),
    [
        ("axes.model=[sonnet,haiku]", {"model": ["sonnet", "haiku"]}),
        ("+axes.model.effort=[null,low]", {"model.effort": [None, "low"]}),
        ("axes={turns: [1,2], system: [hybrid]}", {"turns": [1, 2], "system": ["hybrid"]}),
        ("axes.dtype=[fp64,fp32]", {"suite.dtype": ["fp64", "fp32"]}),
        ("axes.dialect=[torch]", {"suite.dialect": ["torch"]}),
        ("axes.effort=[low]", {"model.effort": ["low"]}),
        ("axes.turns=[1,1,2]", {"turns": [1, 2]}),
    ],
)
def test_axes_in_every_form(word: str, axes: dict[str, list[Any]]) -> None:
    assert parse_arguments([word]).axes == axes


def test_an_axis_of_the_sweep_can_be_taken_away() -> None:
    assert parse_arguments(["~axes.system", "~axes.dtype"]).dropped_axes == ("system", "suite.dtype")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("run.dir=/tmp/a b=c", "/tmp/a b=c"),
        ("tracking.uri=http://host:5000/x?y=1&z=2", "http://host:5000/x?y=1&z=2"),
        ("model.path=a,b.jsonl", "a,b.jsonl"),
        ("model.path='with \"quotes\"'", 'with "quotes"'),
        ("run.dir=it's", "it's"),
        ("problems=[HumanEval/0,HumanEval/7]", ["HumanEval/0", "HumanEval/7"]),
        ("limit=null", None),
        ("budget.usd=-1", -1),
        ("hardware.labels={gpu-class: a}", {"gpu-class": "a"}),
    ],
)
def test_values_are_read_as_hydra_reads_them_and_paths_whole(word: str, value: object) -> None:
    (setting,) = parse_arguments([word]).settings
    assert setting.value == value


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["-m"], ["-m", "axes.model=[sonnet,haiku]"]),
        (["--multirun", "model=haiku"], ["--multirun", "axes"]),
        (["--hlep"], ["--hlep", "--help"]),
        (["--info"], ["--info", "Hydra"]),
        (["--cfg", "hydra"], ["--cfg job"]),
        (["--cfg"], ["--cfg needs a word", "--cfg job"]),
        (["--config-dir"], ["--config-dir DIR"]),
        (["--config-dir", "/no/such/folder"], ["/no/such/folder", "not a folder"]),
        (["samples"], ["samples", "key=value"]),
        (["humaneval"], ["+sweep=humaneval"]),
        (["sampels=3"], ["sampels", "samples"]),
        (["modle=opus"], ["modle", "model"]),
        (["model.efort=low"], ["model.efort", "model.effort"]),
        (["+sampels=3"], ["sampels", "samples"]),
        (["+samples=3"], ["samples=3"]),
        (["+model=opus"], ["model=opus"]),
        (["~samples"], ["~samples", "samples=null"]),
        (["sweep=humaneval"], ["+sweep=humaneval"]),
        (["+sweep=humanevil"], ["humanevil", "humaneval"]),
        (["model=opsu"], ["model=opsu", "opus"]),
        (["model=sonnet,haiku"], ["axes.model=[sonnet,haiku]"]),
        (["model=[sonnet,haiku]"], ["axes.model=[sonnet,haiku]"]),
        (["samples=1,2"], ["samples=1,2", "axes.samples=[1,2]"]),
        (["samples=1", "samples=2"], ["samples", "1", "2"]),
        (["limit=[1"], ["limit=[1", "quotes"]),
        (["model.name=x"], ["model.name", "model=x"]),
        (["hydra.run.dir=x"], ["hydra.run.dir", "run.dir"]),
        (["axes.modl=[a]"], ["axes.modl", "model"]),
        (["axes.model=[sonnet,haikoo]"], ["axes.model=haikoo", "haiku"]),
        (["axes.turns=3"], ["axes.turns=[3]"]),
        (["axes.turns=[]"], ["axes.turns=[]"]),
        (["axes.turns=[[1]]"], ["axes.turns", "plain"]),
        (["axes=3"], ["axes=3", "axes.turns=[1,3]"]),
        (["axes.budget.usd=[1,2]"], ["budget.usd", "whole run"]),
        (["axes.cluster=[local]"], ["cluster", "whole run"]),
        (["axes.seed=[0,1,2]"], ["axes.seed", "whole run", "set seed itself"]),
        (["axes={seed: [0,1,2]}"], ["axes.seed", "whole run"]),
        (["axes.hardware.rent_usd_per_hour=[1,100]"], ["hardware.rent_usd_per_hour", "axes.hardware=[rtx4060,l4]"]),
        (["axes.hardware.memory_bytes=[1,2]"], ["hardware.memory_bytes", "known by its name"]),
        (["axes.system=[hybrid]", "system=hybrid"], ["system", "keep one"]),
        (["axes.dtype=[fp32]", "suite.dtype=fp32"], ["suite.dtype", "keep one"]),
        (["zzzqqx=1"], ["zzzqqx is no key", "--cfg job"]),
        (["axes.zzzqqx=[1]"], ["axes.zzzqqx is no key", "axes.turns=[1,3]"]),
        (["=5"], ["=5 is not of the form key=value"]),
        ([""], ["an empty word", "key=value"]),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(words: list[str], fragments: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_arguments(words)
    text = str(caught.value)
    assert "\n" not in text
    for fragment in fragments:
        assert fragment in text


def test_flags_that_are_refused_are_not_offered() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_arguments(["-x"])
    assert "--help" in str(caught.value)
    assert "--multirun" not in str(caught.value)


def test_a_file_of_the_users_that_would_never_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "sonnet.yaml").write_text("id: other\n")
    with pytest.raises(ConfigError, match=r"model/sonnet\.yaml.*never be read"):
        parse_arguments(["--config-dir", str(tmp_path)])


def test_help_does_not_look_at_the_rest() -> None:
    assert parse_arguments(["sampels=3", "--help"]).help
    assert parse_arguments(["--version", "nonsense"]).version
