from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.config.errors import ConfigError
from orchestrator.plan import Plan, load_plan
from orchestrator.plan.store import write_plan
from orchestrator.plan.text import plan_text


def begun(folder: Path, *words: str) -> Plan:
    plan = load_plan([*words, f"run.dir={folder}"])
    folder.mkdir()
    write_plan(plan, folder)
    (folder / "journal.sqlite").touch()
    return plan


def test_resuming_is_the_same_plan_in_the_same_folder(tmp_path: Path) -> None:
    plan = begun(tmp_path / "run", "+sweep=humaneval", "limit=2", "turns=2")
    again = load_plan(["resume=run"])
    assert again.resume
    assert again.run_dir == tmp_path / "run"
    assert again.digest == plan.digest
    assert again.cells == plan.cells
    assert "is not bought again" in " ".join(plan_text(again, 100).split())


def test_how_it_is_carried_out_may_change(tmp_path: Path) -> None:
    plan = begun(tmp_path / "run", "limit=2", "budget.usd=5")
    words = ["budget.usd=20", "display=plain", "execute.slots=1", "cluster=address", "generate.in_flight=3"]
    again = load_plan(["resume=run", *words])
    assert again.digest == plan.digest
    for config in (again.config, again.cells[0].config):
        assert config.budget.usd == 20
        assert config.cluster.address == "auto"
        assert config.generate.in_flight == 3
    assert load_plan(["resume=run", "budget.usd=null"]).config.budget.usd is None


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["turns=5"], ["turns=5", "resume"]),
        (["model=haiku"], ["model=haiku"]),
        (["+sweep=humaneval"], ["sweep=humaneval"]),
        (["axes.turns=[1]"], ["axes"]),
        (["run.dir=x"], ["run.dir=x"]),
        (["budget.usd=4"], ["budget.usd=4", "5"]),
        (["budget.usd=-1"], ["budget.usd=-1"]),
        (["execute.slots=0"], ["execute.slots=0"]),
    ],
)
def test_what_would_change_the_plan_is_refused(tmp_path: Path, words: list[str], fragments: list[str]) -> None:
    begun(tmp_path / "run", "limit=2", "budget.usd=5")
    with pytest.raises(ConfigError) as caught:
        load_plan(["resume=run", *words])
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_rehearsed_run_goes_on_as_one_though_there_is_a_key_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path / "run", "limit=2")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-real-key")
    again = load_plan(["resume=run"])
    assert again.synthetic
    assert any("rehearsal goes on" in note for note in again.notes)


def test_a_run_with_a_key_does_not_go_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-real-key")
    begun(tmp_path / "run", "limit=2")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        load_plan(["resume=run"])


def test_answers_that_have_changed_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"task_id": "HumanEval/0", "completion": "    return 1"}\n')
    begun(tmp_path / "run", "limit=1", "model=samples", "model.path=a.jsonl")
    assert load_plan(["resume=run"]).trial_count == 1
    file.write_text('{"task_id": "HumanEval/0", "completion": "    return 2"}\n')
    with pytest.raises(ConfigError, match="has changed"):
        load_plan(["resume=run"])


def test_regrading_is_a_new_run_over_the_same_programs(tmp_path: Path) -> None:
    plan = begun(tmp_path / "run", "+sweep=humaneval", "limit=2")
    again = load_plan(["regrade=run", "execute.limits.cpu_s=9", "suite.fixes=true", "isolation.require=full"])
    assert again.regrade == tmp_path / "run"
    assert again.run_dir != plan.run_dir
    assert again.name == "humaneval-regrade"
    assert not again.resume
    assert [cell.id for cell in again.cells] == [cell.id for cell in plan.cells]
    assert {cell.config.execute.limits.cpu_s for cell in again.cells} == {9.0}
    assert again.digest != plan.digest
    text = " ".join(plan_text(again, 100).split())
    assert "No model is asked" in text
    assert "requests;" not in text


def test_regrading_on_another_card(tmp_path: Path) -> None:
    begun(tmp_path / "run", "limit=1")
    assert load_plan(["regrade=run", "hardware=l4"]).cells[0].hardware.name == "l4"
    begun(tmp_path / "two", "limit=1", "axes.hardware=[l4,h100]")
    with pytest.raises(ConfigError, match="hardware is an axis"):
        load_plan(["regrade=two", "hardware=l4"])


def test_tables_elsewhere_are_gone_on_with_by_their_own_run_alone(tmp_path: Path) -> None:
    place = tmp_path / "bucket"
    begun(tmp_path / "run", "limit=1", f"run.results_uri={place.as_uri()}")
    recorded = json.loads((tmp_path / "run" / "plan.json").read_text())
    (tmp_path / "run" / "plan.json").write_text(json.dumps({**recorded, "run_id": "run-1"}))
    place.mkdir()
    (place / "results.parquet.partial").touch()
    assert load_plan(["resume=run"]).resume
    pq.write_table(pa.table({"run_id": ["run-1"]}), place / "results.parquet")
    assert load_plan(["resume=run"]).resume
    pq.write_table(pa.table({"run_id": ["run-2"]}), place / "results.parquet")
    with pytest.raises(ConfigError, match="another run's results"):
        load_plan(["resume=run"])
    # New verdicts do not go where the old ones are.
    assert load_plan(["regrade=run"]).config.run.results_uri is None
    with pytest.raises(ConfigError, match="another run's results"):
        load_plan(["regrade=run", f"run.results_uri={place.as_uri()}"])


@pytest.mark.parametrize("word", ["model=haiku", "turns=2", "samples=3", "limit=1"])
def test_regrading_never_changes_the_programs(tmp_path: Path, word: str) -> None:
    begun(tmp_path / "run", "limit=2")
    with pytest.raises(ConfigError, match="cannot be set beside regrade="):
        load_plan(["regrade=run", word])


def test_folders_that_hold_no_run(tmp_path: Path) -> None:
    for key in ("resume", "regrade"):
        with pytest.raises(ConfigError, match="no run's folder"):
            load_plan([f"{key}=nowhere"])
    begun(tmp_path / "run", "limit=1")
    (tmp_path / "run" / "journal.sqlite").unlink()
    with pytest.raises(ConfigError, match=r"journal\.sqlite"):
        load_plan(["regrade=run"])
