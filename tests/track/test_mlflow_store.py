"""Where MLflow keeps a sweep, and that no password of an address gets into anything that is shown or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.driver.record import make_record, write_record
from orchestrator.driver.tracking import Tracking
from orchestrator.plan import load_plan
from orchestrator.track.mlflow_store import (
    TrackingUnreachable,
    artifact_root,
    check_reachable,
    default_uri,
    make_local_store,
    usable_uri,
)
from orchestrator.track.mlflow_tracker import Tracker

SECRET = "hunter2%2Fx"
DATABASE = f"postgresql://ada:{SECRET}@db.example/mlflow"


def test_a_databases_password_is_in_no_file_of_a_run_and_still_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    monkeypatch.chdir(tmp_path)
    plan = load_plan(["+sweep=smoke", f"tracking.uri={DATABASE}", f"run.dir={tmp_path / 'run'}"])
    write_record(plan, make_record(plan))
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "run").iterdir()}
    assert set(written) == {"plan.json", "config.yaml"}
    for text in written.values():
        assert "hunter2" not in text
        assert "postgresql://ada:***@db.example/mlflow" in text
    tracking = Tracking(plan)
    assert tracking.uri == DATABASE
    assert "hunter2" not in tracking.how_to_look

    again = load_plan([f"resume={tmp_path / 'run'}"])
    with pytest.raises(TrackingUnreachable, match="recorded without its password: set MLFLOW_TRACKING_PASSWORD"):
        Tracking(again).check()
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2/x")
    assert Tracking(again).uri == DATABASE
    told = load_plan([f"resume={tmp_path / 'run'}", f"tracking.uri={DATABASE}"])
    assert Tracking(told).uri == DATABASE


def test_what_goes_wrong_is_said_without_the_password() -> None:
    # The driver of such a database is not installed, so the address is refused before any network is asked.
    with pytest.raises(TrackingUnreachable, match=r"ada:\*\*\*@db.example") as refused:
        check_reachable("mysql+no_such_driver://ada:hunter2@db.example/mlflow")
    assert "hunter2" not in str(refused.value)
    tracker = Tracker("mysql+no_such_driver://ada:hunter2@db.example/mlflow", "sweep", artifact_root=None)
    tracker.tags(None, {"a": "b"})
    failure = tracker.close(wait_s=0.0)
    assert failure is not None
    assert "ada:***@db.example" in failure
    assert "hunter2" not in failure


def test_a_password_is_put_back_only_where_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p@ss")
    assert usable_uri("postgresql://ada:***@db/x") == "postgresql://ada:p%40ss@db/x"
    assert usable_uri(DATABASE) == DATABASE
    assert usable_uri("https://mlflow.example") == "https://mlflow.example"


def test_artifacts_of_a_store_that_is_written_from_here_lie_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert artifact_root("sqlite:////data/mlflow.db") == Path("/data/mlartifacts")
    assert artifact_root(DATABASE) == tmp_path / "mlartifacts"
    assert artifact_root("https://mlflow.example") is None


def test_a_local_store_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    # What a driver that was killed while it made the store left behind; no process has this number.
    (tmp_path / "mlflow.db.99999999.new").write_bytes(b"half")
    uri = default_uri(tmp_path)
    make_local_store(uri)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert MlflowClient(uri).search_experiments()
    made = (tmp_path / "mlflow.db").stat().st_ino
    make_local_store(uri)
    assert (tmp_path / "mlflow.db").stat().st_ino == made


def test_a_file_that_cannot_be_a_store_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database at all")
    (tmp_path / "empty.db").write_bytes(b"")
    for uri, why in (
        ("sqlite:////proc/mlflow.db", "cannot be written to"),
        (f"sqlite:///{tmp_path}/notes.txt/mlflow.db", "cannot be written to"),
        (f"sqlite:///{tmp_path}/notes.txt", "is no SQLite file"),
        (f"sqlite:///{tmp_path}", "cannot be written to"),
    ):
        with pytest.raises(TrackingUnreachable, match=why) as caught:
            check_reachable(uri)
        assert f"tracking.uri={uri} " in str(caught.value)
    for fine in ("new.db", "empty.db", "a/b/new.db"):
        check_reachable(f"sqlite:///{tmp_path / fine}")
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "empty.db"}, "a check leaves nothing"
