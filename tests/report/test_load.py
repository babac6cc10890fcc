"""Run folders as they may be found: whole, old, in parts, broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.core.summary import summarise
from orchestrator.report.errors import ReportError
from orchestrator.report.load import Run, combine, load_run, other_prices
from orchestrator.report.sections import cost_section
from orchestrator.report.trials import read_turns
from tests.report.fabricate import fabricate_run


def known(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def test_rows_and_steps_are_as_written(plain_run: Path) -> None:
    run = load_run(plain_run)
    written = pq.read_table(plain_run / "results.parquet").to_pylist()
    assert len(run.rows) == len(written) == 3 * 164
    assert summarise(run.rows, run.cells) == summarise(written, run.cells)
    assert run.count_steps() == pq.read_metadata(plain_run / "steps.parquet").num_rows
    assert all(step["cell"] for step in run.steps(("cell",)))


def test_only_the_wanted_steps_are_read(plain_run: Path) -> None:
    run = load_run(plain_run)
    every = list(run.steps(("cell", "key", "program")))
    wanted = [0, 7, len(every) - 1]
    assert list(run.steps(("cell", "key", "program"), wanted)) == [every[i] for i in wanted]


def test_missing_columns_read_as_nothing(tmp_path: Path) -> None:
    missing = ("api_usd", "execute_s", "public_verdict", "slot", "reply", "suite_digest", "resumed")
    run = load_run(fabricate_run(tmp_path / "old", problems=8, missing=missing))
    cell = run.summary().cells[0]
    assert (cell.api_usd, cell.execute_s_median) == (None, None)
    assert cell.pass_at_1 is not None
    assert len(read_turns(run, [("hybrid-sonnet", "HumanEval/0", 0)])) == 1


def test_tables_may_be_folders_of_parts(tmp_path: Path, plain_run: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    shutil.copy(plain_run / "plan.json", folder)
    for name in ("results", "steps"):
        table = pq.read_table(plain_run / f"{name}.parquet")
        (folder / f"{name}.parquet").mkdir()
        for i, start in enumerate(range(0, len(table), 200)):
            pq.write_table(table.slice(start, 200), folder / f"{name}.parquet" / f"part-{i:05}.parquet")
    parts, whole = load_run(folder), load_run(plain_run)
    # A column that is null throughout a part is absent from its rows, which reads the same.
    assert [known(row) for row in parts.rows] == [known(row) for row in whole.rows]
    assert parts.summary() == whole.summary()
    assert list(parts.steps(("cell", "key"))) == list(whole.steps(("cell", "key")))


def test_tables_may_be_elsewhere(tmp_path: Path, plain_run: Path) -> None:
    folder, bucket = tmp_path / "run", tmp_path / "bucket"
    folder.mkdir()
    bucket.mkdir()
    plan = json.loads((plain_run / "plan.json").read_text())
    plan["config"] = {"run": {"results_uri": bucket.as_uri()}}
    (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ReportError, match=r"no results\.parquet"):
        load_run(folder)
    for name in ("results", "steps"):
        shutil.copy(plain_run / f"{name}.parquet", bucket)
    away, here = load_run(folder), load_run(plain_run)
    assert away.rows == here.rows
    assert away.count_steps() == here.count_steps() > 0
    plan["config"] = {"run": {"results_uri": "nosuch://bucket"}}
    (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ReportError, match="cannot be read"):
        load_run(folder)


def test_seconds_of_replies_are_those_of_the_wire(tmp_path: Path) -> None:
    def step(lease_s: float | None, **more: object) -> dict[str, object]:
        common = {"cell": '["a"]', "kind": "generation", "slot": "generation-anthropic-0", "resumed": False}
        # Each waited most of its ten seconds for the rate limit.
        return {**common, "started_at": 100.0, "ended_at": 110.0, "lease_s": lease_s, **more}

    in_a_batch = step(3600.0, slot=None)
    steps = [step(0.2), in_a_batch, step(None), step(0.4, resumed=True), step(1.0, kind="scoring")]
    pq.write_table(pa.Table.from_pylist(steps), tmp_path / "steps.parquet")
    run = Run("r", tmp_path, {}, [])
    assert run.evidence(run.summary()).generation_s == {"a": [0.2]}


def test_a_run_without_steps_has_none(tmp_path: Path, plain_run: Path) -> None:
    for name in ("plan.json", "results.parquet"):
        shutil.copy(plain_run / name, tmp_path)
    run = load_run(tmp_path)
    assert run.count_steps() == 0
    assert read_turns(run, [("hybrid-sonnet", "HumanEval/0", 0)]) == {}


def test_combined_runs_keep_their_cells_and_steps_apart(plain_run: Path, hostile_run: Path) -> None:
    both = combine([load_run(plain_run), load_run(hostile_run)])
    cells = both.summary().cells
    assert [cell.id for cell in cells][::3] == ["plain/generate_only-sonnet", "hostile/generate_only-sonnet"]
    assert cells[3].label == "generate_only · sonnet · run=hostile"
    assert (cells[0].synthetic, cells[3].synthetic) == (False, True)
    key = ("hostile/generate_only-sonnet", "HumanEval/1", 0)
    (turn,) = read_turns(both, [key])[key]
    assert turn.reply is not None
    assert "pwned" in turn.reply


def test_runs_that_were_priced_otherwise_are_named(tmp_path: Path) -> None:
    first = load_run(fabricate_run(tmp_path / "first", problems=3, gpu=True))
    second = load_run(fabricate_run(tmp_path / "second", problems=3, gpu=True))
    assert other_prices(combine([first, second])) == []
    second.plan["hardware"][0]["rent_usd_per_hour"] = 99.0
    both = combine([first, second])
    assert both.hardware == first.hardware
    assert other_prices(both) == ["second"]
    assert "with the rates and hardware of first; others were set in second." in cost_section(both, both.summary())
    third = load_run(fabricate_run(tmp_path / "third", problems=3, gpu=True))
    third.plan["rates"]["usd_per_kwh"] = 1.0
    assert other_prices(combine([first, third])) == ["third"]


def test_equal_names_cannot_be_combined(plain_run: Path) -> None:
    with pytest.raises(ReportError, match="same name"):
        combine([load_run(plain_run)] * 2)


def test_equal_folder_names_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    runs = [load_run(fabricate_run(tmp_path / parent / "run", problems=2)) for parent in ("a", "b")]
    assert combine(runs).name == "a/run + b/run"


def test_turns_of_a_trial_are_in_order(plain_run: Path) -> None:
    run = load_run(plain_run)
    repaired = next(r for r in run.rows if r["system"] == "hybrid" and r["turns"] == 3)
    key = (str(repaired["cell"]), str(repaired["problem"]), 0)
    turns = read_turns(run, [key])[key]
    assert [turn.turn for turn in turns] == [1, 2, 3]
    assert [len(turn.sent) for turn in turns] == [1, 3, 5]
    assert turns[0].feedback_verdict != "passed"
    assert turns[2].scoring_verdict == repaired["verdict"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "is not a folder"),
        (lambda f: (f / "plan.json").unlink(), "no plan.json"),
        (lambda f: (f / "plan.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "plan.json").write_text("[]"), "no JSON object"),
        (lambda f: (f / "results.parquet").unlink(), "no results.parquet"),
        (lambda f: (f / "results.parquet").write_bytes(b"PAR1 not"), "cannot be read"),
    ],
)
def test_what_is_not_a_run_is_refused_in_one_sentence(tmp_path: Path, spoil: object, said: str) -> None:
    folder = fabricate_run(tmp_path / "run", problems=2)
    assert callable(spoil)
    spoil(folder)
    with pytest.raises(ReportError, match=said) as caught:
        load_run(folder)
    assert "\n" not in str(caught.value)
