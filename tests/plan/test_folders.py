from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.config.errors import ConfigError
from orchestrator.plan import load_plan
from orchestrator.plan.folders import cache_file, choose_run_dir, same_runs
from orchestrator.plan.store import write_plan


def test_two_runs_in_one_second_get_two_folders(tmp_path: Path) -> None:
    plan = load_plan(["limit=1"])
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first = choose_run_dir(plan, now)
    first.mkdir(parents=True)
    second = choose_run_dir(plan, now)
    assert first.parent == second.parent == tmp_path / "runs"
    assert second.name == f"{first.name}-2"


def test_a_folder_may_be_there_already_if_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert load_plan(["limit=1", "run.dir=empty"]).run_dir == tmp_path / "empty"
    assert list((tmp_path / "empty").iterdir()) == []


def test_folders_that_cannot_take_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for words, fragment in (
        ("run.dir=file", "not a folder"),
        ("run.dir=file/below", "not a folder"),
        ("run.dir=full", "holds other files"),
        ("run.dir=/proc/run", "read-only"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_plan(["limit=1", words])
        assert "run.dir=" in str(caught.value)
        assert fragment in str(caught.value)


def test_logs_that_the_rehearsal_server_could_not_open(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    for log in ("new", "old", "/dev/null"):
        load_plan(["limit=1", "model=rehearsal", f"rehearsal.log={log}"])
    assert {path.name for path in tmp_path.iterdir()} == {"old"}, "a plan makes no file"
    for log, fragment in ((".", "name a file"), ("none/x", "is not a folder"), ("/proc/x", "read-only")):
        with pytest.raises(ConfigError, match=fragment) as caught:
            load_plan(["limit=1", "model=rehearsal", f"rehearsal.log={log}"])
        assert "rehearsal.log=" in str(caught.value)


def test_caches_that_could_not_be_opened_are_refused_where_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "file").write_text("")
    for path in ("new/replies.sqlite", "file", "~/replies.sqlite"):
        plan = load_plan(["limit=1", "cache=read", f"cache_path={path}"])
    assert cache_file(plan.config) == tmp_path / "home" / "replies.sqlite"
    load_plan(["limit=1", "cache=readwrite"])
    assert {path.name for path in tmp_path.iterdir()} == {"file"}, "a plan makes no file"
    for path, fragment in ((".", "name a file"), ("file/x", "is not a folder"), ("/proc/x", "read-only")):
        load_plan(["limit=1", f"cache_path={path}"])
        with pytest.raises(ConfigError, match=fragment) as caught:
            load_plan(["limit=1", "cache=write", f"cache_path={path}"])
        assert "cache_path=" in str(caught.value)


def test_a_folder_with_a_run_offers_to_go_on_or_asks_for_another(tmp_path: Path) -> None:
    plan = load_plan(["limit=1", "run.dir=run"])
    plan.run_dir.mkdir()
    write_plan(plan, plan.run_dir)
    with pytest.raises(ConfigError, match="resume="):
        load_plan(["limit=1", "run.dir=run"])
    with pytest.raises(ConfigError, match="another plan"):
        load_plan(["limit=2", "run.dir=run"])


def test_identical_plans_beside_are_found(tmp_path: Path) -> None:
    plan = load_plan(["limit=1"])
    for name, words in (("a", ["limit=1"]), ("b", ["limit=2"]), ("c", ["limit=1", "budget.usd=1"])):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write_plan(load_plan(words), tmp_path / "runs" / name)
    (tmp_path / "runs" / "stray").write_text("")
    assert {folder.name for folder in same_runs(plan)} == {"a", "c"}
    assert same_runs(dataclasses.replace(plan, run_dir=tmp_path / "none" / "x")) == []


def test_tables_go_to_a_place_of_their_own_or_nowhere(tmp_path: Path) -> None:
    place = tmp_path / "bucket"
    word = f"run.results_uri={place.as_uri()}"
    load_plan(["limit=1", word])
    assert not place.exists()
    place.mkdir()
    for name in ("results.parquet.partial", "results.parquet"):
        (place / name).write_text("")
        with pytest.raises(ConfigError, match="holds another run's results") as caught:
            load_plan(["limit=1", word])
        assert word in str(caught.value)
        assert "\n" not in str(caught.value)
        (place / name).unlink()


@pytest.mark.parametrize(
    ("uri", "fragment"),
    [
        ("foo://bar", "foo://bar is no place"),
        ("file:///proc/run", "read-only"),
        ("nonsense://", "s3://bucket/path"),
    ],
)
def test_places_that_no_table_can_be_written_to(uri: str, fragment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_plan(["limit=1", f"run.results_uri={uri}"])
    assert "run.results_uri=" in str(caught.value)
    assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)
