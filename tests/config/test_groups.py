from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from orchestrator.config.compose import Composer
from orchestrator.config.groups import GROUPS, conf_dir, describe, options

ISSUED = {
    "model": {"sonnet", "opus", "haiku", "rehearsal", "samples", "local"},
    "system": {"generate_only", "execute_only", "hybrid"},
    "suite": {"humaneval", "humaneval_plus", "mbpp", "custom", "gpu"},
    "hardware": {"local", "rtx4060", "rtx4060ti16", "rtx5060ti16", "rtx4090", "l4", "a10g", "h100", "h200"},
    "cluster": {"local", "address", "elastic"},
    "prompt": {"default", "gpu"},
    "rates": {"default"},
    "sweep": {"humaneval", "gpu", "workloads", "article", "headline", "smoke"},
}


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_there_and_says_what_it_is(group: str) -> None:
    found = options(group, [conf_dir()])
    assert ISSUED[group] <= {*found}
    for name, file in found.items():
        line = describe(file)
        assert line, f"{group}/{name}.yaml has no comment line for --help"
        assert len(line) <= 120


@pytest.mark.parametrize("name", sorted(options("hardware", [conf_dir()])))
def test_hardware_names_its_source_and_invents_nothing(name: str) -> None:
    hardware = Composer([conf_dir()], None).compose({"hardware": name}, {}).hardware
    assert hardware.name == name
    assert hardware.source
    priced = hardware.purchase_usd is not None or hardware.rent_usd_per_hour is not None
    if priced:
        years = [str(year) for year in range(2022, date.today().year + 1)]
        assert any(year in hardware.source for year in years)
    if hardware.device == "gpu" and hardware.labels:
        assert hardware.labels == {"gpu-class": name}
        assert hardware.memory_bytes is not None
        assert hardware.memory_bytes >= 8 << 30
        assert hardware.power_w is not None


def test_user_folders_add_options(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# @package _global_\n# My own model\nid: x\n")
    found = options("model", [conf_dir(), tmp_path])
    assert describe(found["mine"]) == "My own model"
    assert found["sonnet"].is_relative_to(conf_dir())


def test_the_headline_sweep_is_what_was_asked_for() -> None:
    sweep = yaml.safe_load((conf_dir() / "sweep" / "humaneval.yaml").read_text())
    assert sweep["axes"] == {"system": ["generate_only", "execute_only", "hybrid"]}
    assert (sweep["samples"], sweep["turns"]) == (1, 3)
