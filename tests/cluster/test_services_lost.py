"""What a sweep on a cluster leans on goes away: the tracking server for a while, the head for good."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.driver.commands import end, outcome, rows, run, start, summary, wait_for_replies
from tests.track.test_server import free_port, healthy, mlflow_server

from .nodes import Nodes, admitted, nodes, wait_for
from .small_sweep import SWEEP

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def same(folder: Path, undisturbed: Path, *, lost: int = 0) -> None:
    """The table is the undisturbed one, and at most ``lost`` requests were sent again."""
    found = rows(folder / "run")
    assert len(found) == len(set(found)) == 30
    assert outcome(folder / "run") == outcome(undisturbed / "run")
    asked, once = admitted(folder / "asked.jsonl"), admitted(undisturbed / "asked.jsonl")
    assert asked.keys() == once.keys()
    assert (asked - once).total() <= lost


def joining(cluster: Nodes) -> tuple[str, ...]:
    return ("cluster=address", f"cluster.address={cluster.address}", "cluster.insecure=true", "display=plain")


def test_a_tracking_server_that_is_away_holds_nothing_up_and_gets_everything_later(
    tmp_path: Path, undisturbed: Path
) -> None:
    import mlflow

    port = free_port()
    server = tmp_path / "server"
    server.mkdir()
    with nodes() as cluster:
        cluster.add(2)
        with mlflow_server(server, port) as url:
            process = start(tmp_path, *joining(cluster), *SWEEP, f"tracking.uri={url}")
            wait_for_replies(process, tmp_path / "run", 3)
            assert process.poll() is None
        assert not healthy(url)
        # The sweep ends and its tables are on disk while nobody takes what is to be tracked.
        wait_for((tmp_path / "run" / "summary.json").exists, "the sweep went on", 120)
        time.sleep(3)
        assert process.poll() is None
        with mlflow_server(server, port):
            ended = end(process)
            assert ended.code == 0, ended.out + ended.err
            client: Any = mlflow.MlflowClient(url)
            experiment = client.get_experiment_by_name("humaneval")
            found = client.search_runs([experiment.experiment_id])
            tracked = {run.data.tags["cell"]: run for run in found if run.data.tags["level"] == "cell"}
            cells = summary(tmp_path / "run")
            assert set(tracked) == set(cells)
            for each in found:
                assert each.info.status == "FINISHED"
            for name, each in tracked.items():
                assert each.data.metrics["pass_at_1"] == pytest.approx(cells[name]["pass_at_1"]["value"])
    same(tmp_path, undisturbed)


def test_a_lost_head_ends_the_driver_and_the_run_goes_on_with_another(tmp_path: Path, undisturbed: Path) -> None:
    with nodes() as cluster:
        cluster.add(2)
        process = cluster.command(tmp_path, *SWEEP)
        wait_for_replies(process, tmp_path / "run", 5)
        assert process.poll() is None
        cluster.cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        # Ray may try to find its head for a minute before it ends the driver.
        ended = end(process, seconds=240)
        assert ended.code != 0, ended.out
        assert not (tmp_path / "run" / "summary.json").exists()
    with nodes() as cluster:
        cluster.add(2)
        words = ("resume=run", *joining(cluster), "tracking.enabled=false")
        resumed = run(tmp_path, *words)
        assert resumed.code == 0, resumed.out + resumed.err
    # A driver that is ended where it stands loses what is in flight (generate.in_flight=4), and nothing else.
    same(tmp_path, undisturbed, lost=4)
