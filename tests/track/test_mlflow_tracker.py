"""MLflow through the real client: SQLite, a real tracking server, a server that is away for a while."""

from __future__ import annotations

import dataclasses
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.track.mlflow_runs import Dataset, TrackedCell, TrackedSweep
from orchestrator.track.mlflow_store import TrackingUnreachable, check_reachable, default_uri
from orchestrator.track.mlflow_tracker import Tracker

if TYPE_CHECKING:
    from mlflow.entities import Run

SWEEP = TrackedSweep(
    # A name of a folder may hold what MLflow's filters cannot say.
    id='bob\'s "first" 100%_run-f00',
    name="run-1",
    tags={"synthetic": "true", "version.ray": "2"},
    params={f"p{n}": str(n) for n in range(150)},
    cells=[
        TrackedCell(
            "hybrid-sonnet",
            "hybrid-sonnet",
            {"system": "hybrid"},
            {"level": "cell"},
            Dataset("humaneval", "a" * 64, 164, "tasks:humaneval"),
        )
    ],
)


def test_a_sweep_is_a_parent_with_a_child_a_cell_and_can_be_taken_up_again(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = default_uri(tmp_path)
    file = tmp_path / "results.txt"
    file.write_text("hello")
    tracker = Tracker(uri, "sweep", artifact_root=tmp_path / "mlartifacts")
    tracker.start(SWEEP)
    tracker.metrics("hybrid-sonnet", {"pass_at_1": 0.5}, step=1)
    tracker.finish(status="KILLED")
    assert tracker.close() is None

    tracker = Tracker(uri, "sweep", artifact_root=tmp_path / "mlartifacts")
    tracker.start(SWEEP)
    tracker.metrics("hybrid-sonnet", {"pass_at_1": 0.75}, step=2)
    tracker.tags(None, {"isolation": "full"})
    tracker.artifacts([file])
    tracker.finish(status="FINISHED")
    assert tracker.close() is None

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("sweep")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"run-1", "hybrid-sonnet"}
    parent, child = runs["run-1"], runs["hybrid-sonnet"]
    assert parent.info.status == child.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.metrics == {"pass_at_1": 0.75}
    assert len(parent.data.params) == 150
    assert parent.data.tags["isolation"] == "full"
    assert child.inputs.dataset_inputs[0].dataset.name == "humaneval"
    history = client.get_metric_history(child.info.run_id, "pass_at_1")
    assert [point.step for point in history] == [1, 2]
    assert [a.path for a in client.list_artifacts(parent.info.run_id)] == ["results.txt"]
    assert (tmp_path / "mlartifacts" / "sweep").is_dir()


def track(folder: Path) -> dict[str, Run]:
    """Make the sweep's runs and nothing else; returns all that are in the store then, by name."""
    from mlflow import MlflowClient

    tracker = Tracker(default_uri(folder), "sweep", artifact_root=folder / "mlartifacts")
    tracker.start(SWEEP)
    tracker.finish(status="FINISHED")
    assert tracker.close() is None
    runs = MlflowClient(default_uri(folder)).search_runs(["1"])
    found = {run.info.run_name: run for run in runs}
    assert len(found) == len(runs)
    return found


@pytest.mark.parametrize("lost", ["run-1", "hybrid-sonnet"])
def test_a_run_whose_maker_never_heard_of_it_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    # A server's answer may be lost; a driver may be killed before it hears it.
    from mlflow import MlflowClient

    real, made = MlflowClient.create_run, []

    def create_run(self: MlflowClient, experiment: str, **given: Any) -> Any:
        run = real(self, experiment, **given)
        made.append(given["run_name"])
        if made == [*made[:-1], lost] and made.count(lost) == 1:
            raise ConnectionError("connection reset")
        return run

    monkeypatch.setattr(MlflowClient, "create_run", create_run)
    runs = track(tmp_path)
    assert sorted(made) == sorted(runs) == ["hybrid-sonnet", "run-1"]
    assert runs["hybrid-sonnet"].data.tags["mlflow.parentRunId"] == runs["run-1"].info.run_id
    assert len(runs["run-1"].data.params) == 150


def test_a_sweep_that_is_taken_up_keeps_the_parameters_that_it_was_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = track(tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "SWEEP", dataclasses.replace(SWEEP, params={"p1": "2", "more": "1"}))
    second = track(tmp_path)
    assert {name: run.info.run_id for name, run in second.items()} == {n: r.info.run_id for n, r in first.items()}
    assert second["run-1"].data.params == {**first["run-1"].data.params, "more": "1"}


def test_another_sweep_whose_id_looks_alike_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track(tmp_path)
    other = dataclasses.replace(SWEEP, id=SWEEP.id.replace("'", "`"), name="run-2", cells=[])
    monkeypatch.setattr(sys.modules[__name__], "SWEEP", other)
    assert set(track(tmp_path)) == {"run-1", "run-2", "hybrid-sonnet"}


def test_a_server_that_does_not_answer_is_found_before_anything_is_spent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TrackingUnreachable, match=f"127.0.0.1:{port} does not answer"):
        check_reachable(f"http://127.0.0.1:{port}")
    check_reachable("sqlite:////nowhere/mlflow.db")


def test_a_server_that_is_broken_is_named_with_its_status() -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Broken)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(TrackingUnreachable, match="503"):
            check_reachable(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_could_not_be_written_waits_and_is_written_in_order(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    tracker = Tracker(default_uri(tmp_path), "sweep", artifact_root=tmp_path / "mlartifacts")
    tracker.start(SWEEP)
    tries: list[bool] = []

    def away(client: MlflowClient, parent: str, children: Any) -> None:
        tries.append(tracker.away)
        if len(tries) < 3:
            raise ConnectionError("connection refused")

    tracker.call(away)
    tracker.metrics("hybrid-sonnet", {"after": 1.0})
    tracker.finish(status="FINISHED")
    assert tracker.close() is None
    # It is known to be away from the first failure on, until something goes through.
    assert tries == [False, True, True]
    assert not tracker.away
    client = MlflowClient(default_uri(tmp_path))
    experiment = client.get_experiment_by_name("sweep")
    assert experiment is not None
    child = client.search_runs([experiment.experiment_id], "tags.cell = 'hybrid-sonnet'")[0]
    assert child.data.metrics == {"after": 1.0}


def test_a_store_that_stays_away_is_given_up_with_one_sentence(tmp_path: Path) -> None:
    tracker = Tracker(default_uri(tmp_path), "sweep", artifact_root=None)

    def away(client: Any, parent: str, children: Any) -> None:
        raise ConnectionError("connection refused")

    tracker.call(away)
    failure = tracker.close(wait_s=0.1)
    assert failure is not None
    assert "could not be written: connection refused" in failure


def test_whoever_waits_for_a_store_that_is_away_may_leave_it(tmp_path: Path) -> None:
    tracker = Tracker(default_uri(tmp_path), "sweep", artifact_root=None)
    tried = threading.Event()

    def away(client: Any, parent: str, children: Any) -> None:
        tried.set()
        raise ConnectionError("connection refused")

    tracker.call(away)
    assert tried.wait(60)
    tracker.give_up()
    failure = tracker.close(wait_s=3600)
    assert failure is not None
    assert "connection refused" in failure


def test_a_store_that_goes_away_while_runs_are_made_gets_their_parameters_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    real = MlflowClient.log_inputs
    failures = {"run-1", "hybrid-sonnet"}

    def log_inputs(self: MlflowClient, run: str, **given: Any) -> None:
        name = self.get_run(run).info.run_name
        if name in failures:
            failures.discard(name)
            raise ConnectionError("connection reset")
        real(self, run, **given)

    monkeypatch.setattr(MlflowClient, "log_inputs", log_inputs)
    tracker = Tracker(default_uri(tmp_path), "sweep", artifact_root=tmp_path / "mlartifacts")
    tracker.start(SWEEP)
    tracker.finish(status="FINISHED")
    assert tracker.close() is None
    assert not failures
    client = MlflowClient(default_uri(tmp_path))
    runs = {run.info.run_name: run for run in client.search_runs(["1"])}
    assert set(runs) == {"run-1", "hybrid-sonnet"}
    assert len(runs["run-1"].data.params) == 150
    assert all(len(run.inputs.dataset_inputs) == 1 for run in runs.values())
