"""Traces as MLflow holds them: linked, priced by us, judged, and never twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.track.mlflow_runs import Dataset, TrackedCell, TrackedSweep
from orchestrator.track.mlflow_store import default_uri
from orchestrator.track.mlflow_traces import TraceWriter
from orchestrator.track.mlflow_tracker import Tracker
from orchestrator.track.traces import Trace, build_trace
from tests.track.test_traces import RATES, STEPS, row

CELL = TrackedCell("hybrid-sonnet", "hybrid-sonnet", {}, {}, Dataset("s", "d" * 64, 1, "tasks:s"))
SWEEP = TrackedSweep("run-1-f00", "run-1", {}, {}, [CELL])


def traces(count: int) -> list[Trace]:
    verdicts = ["passed", "wrong_answer"]
    return [
        build_trace(row(problem=f"HumanEval/{n}", verdict=verdicts[n % 2]), STEPS, system_prompt="S", rates=RATES)
        for n in range(count)
    ]


def write(folder: Path, work: Any) -> dict[str, Any]:
    runs: dict[str, Any] = {}
    tracker = Tracker(default_uri(folder), "sweep", artifact_root=folder / "mlartifacts")
    tracker.start(SWEEP)
    tracker.call(work)
    tracker.call(lambda client, parent, children: runs.update(parent=parent, children=children))
    tracker.finish(status="FINISHED")
    assert tracker.close(wait_s=60.0) is None
    return runs


def test_traces_are_linked_priced_and_judged_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = default_uri(tmp_path)
    tries: list[int] = []
    writer = TraceWriter(iter(traces(12)), uri, chosen=12, seconds=60.0)

    def away_once(client: Any, parent: str, children: Any) -> None:
        """The server is away at first."""
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("connection refused")
        writer(client, parent, children)

    runs = write(tmp_path, away_once)
    again = TraceWriter(iter(traces(12)), uri, chosen=12, seconds=60.0)
    assert write(tmp_path, again) == runs

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("sweep")
    assert experiment is not None
    child = runs["children"]["hybrid-sonnet"]
    found = client.search_traces(locations=[experiment.experiment_id], run_id=child, max_results=100)
    assert len(found) == 12
    failed = client.search_traces(
        locations=[experiment.experiment_id], filter_string="tags.verdict = 'wrong_answer'", max_results=100
    )
    assert len(failed) == 6
    trace = next(t for t in found if t.info.tags["problem"] == "HumanEval/1")
    assert trace.info.trace_metadata["mlflow.sourceRun"] == child
    judged = {a.name: a.value for a in trace.info.assessments}
    assert judged == {"passed": False, "verdict": "wrong_answer"}
    assert trace.info.request_preview.startswith("HumanEval/1: ")
    assert trace.info.token_usage["total_tokens"] == 300
    spans = {span.name: span for span in trace.data.spans}
    assert set(spans) == {
        "HumanEval/1 hybrid",
        "generate, turn 1",
        "feedback tests, turn 1",
        "repair, turn 2",
        "scoring tests, turn 2",
    }
    root = spans["HumanEval/1 hybrid"]
    assert {span.parent_id for span in spans.values()} == {None, root.span_id}
    # MLflow has prices of its own for models by this name; ours must stand.
    assert spans["repair, turn 2"].llm_cost == pytest.approx(
        {"input_cost": 0.0002, "output_cost": 0.0005, "total_cost": 0.0007}
    )
    assert spans["feedback tests, turn 1"].status.description == "wrong_answer: 1 of 2"
    parent = client.get_run(runs["parent"])
    assert parent.data.metrics == {"traces": 12.0, "traces_left_out": 0.0}


def test_writing_stops_when_its_time_is_over(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    asked: list[int] = []

    def counted() -> Any:
        for trace in traces(500):
            asked.append(1)
            yield trace

    runs = write(tmp_path, TraceWriter(counted(), default_uri(tmp_path), chosen=500, seconds=1e-9))
    metrics = MlflowClient(default_uri(tmp_path)).get_run(runs["parent"]).data.metrics
    # A batch that was begun is finished.
    assert metrics == {"traces": 10.0, "traces_left_out": 490.0}
    assert len(asked) == 10
