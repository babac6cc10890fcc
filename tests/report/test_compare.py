"""Runs against each other: matching, verdicts, and what stops a verdict."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.report.compare import GATE, compare_runs, print_comparison
from orchestrator.report.errors import ReportError
from orchestrator.report.load import load_run
from tests.report.fabricate import fabricate_run


def printed(a: Path, b: Path) -> list[str]:
    out = io.StringIO()
    print_comparison(Console(file=out, width=200), compare_runs(load_run(a), load_run(b)))
    return out.getvalue().splitlines()


@pytest.fixture(scope="module")
def weaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate_run(tmp_path_factory.mktemp("runs") / "weaker", skill=-0.3)


def test_better_and_worse(plain_run: Path, weaker: Path) -> None:
    assert printed(weaker, plain_run)[0] == "better"
    assert printed(plain_run, weaker)[0] == "worse"


def test_the_same_run_shows_no_difference(plain_run: Path) -> None:
    comparison = compare_runs(load_run(plain_run), load_run(plain_run))
    assert comparison.verdict == "no difference shown"
    assert [(pair.a.id, pair.b.id) for pair in comparison.pairs] == [
        ("generate_only-sonnet", "generate_only-sonnet"),
        ("hybrid-sonnet", "hybrid-sonnet"),
    ]


def test_few_problems_cannot_tell(tmp_path: Path) -> None:
    a = fabricate_run(tmp_path / "a", problems=8)
    b = fabricate_run(tmp_path / "b", problems=8, seed=1)
    comparison = compare_runs(load_run(a), load_run(b))
    assert comparison.verdict == "cannot tell"


def test_flipped_problems_are_named_in_order(plain_run: Path, weaker: Path) -> None:
    lines = printed(weaker, plain_run)
    gained = next(line for line in lines if line.startswith("  gained"))
    ids = [int(part.split("/")[1]) for part in gained.split(": ")[1].split(", ")]
    assert ids == sorted(ids)
    assert gained.startswith(f"  gained {len(ids)}: ")
    rows = {(r["cell"], r["problem"]): r["verdict"] for r in load_run(plain_run).rows}
    before = {(r["cell"], r["problem"]): r["verdict"] for r in load_run(weaker).rows}
    for i in ids:
        key = ("generate_only-sonnet", f"HumanEval/{i}")
        assert (before[key] != "passed", rows[key]) == (True, "passed")


def test_other_suites_cannot_be_paired(plain_run: Path, tmp_path: Path) -> None:
    other = fabricate_run(tmp_path / "other", suite="other")
    comparison = compare_runs(load_run(plain_run), load_run(other))
    assert comparison.verdict == "cannot tell"
    assert "different suites" in comparison.pairs[0].why


def test_a_rehearsal_against_a_model_cannot_tell(plain_run: Path, tmp_path: Path) -> None:
    rehearsal = fabricate_run(tmp_path / "rehearsal", synthetic=True, skill=-0.3)
    comparison = compare_runs(load_run(plain_run), load_run(rehearsal))
    assert comparison.verdict == "cannot tell"
    assert comparison.synthetic


def test_much_that_was_not_graded_stops_the_verdict(plain_run: Path, tmp_path: Path) -> None:
    holes = fabricate_run(tmp_path / "holes", skill=-0.3, ours=0.3)
    comparison = compare_runs(load_run(plain_run), load_run(holes))
    assert comparison.verdict == "cannot tell"
    assert "graded in one run only" in comparison.pairs[0].why


def test_one_system_each_is_compared_whatever_it_is(tmp_path: Path) -> None:
    a = fabricate_run(tmp_path / "a", systems=("generate_only",))
    b = fabricate_run(tmp_path / "b", systems=("hybrid", "execute_only"), models=("opus",))
    (pair,) = compare_runs(load_run(a), load_run(b)).pairs
    assert (pair.a.id, pair.b.id) == ("generate_only-sonnet", "hybrid-opus")


def test_what_was_an_axis_does_not_matter(plain_run: Path, tmp_path: Path) -> None:
    plan = json.loads((plain_run / "plan.json").read_text())
    for cell in plan["cells"]:
        cell["axes"] = {"system": cell["system"]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    for name in ("results.parquet", "steps.parquet"):
        shutil.copy(plain_run / name, tmp_path)
    pairs = compare_runs(load_run(plain_run), load_run(tmp_path)).pairs
    assert [pair.b.id for pair in pairs] == ["generate_only-sonnet", "hybrid-sonnet"]


def test_a_cell_that_is_unclear_keeps_the_whole_from_being_better(plain_run: Path, tmp_path: Path) -> None:
    # The hybrid gained a lot; the other system lost so many of its trials that nothing is known of it.
    a = fabricate_run(tmp_path / "a", skill=-0.3)
    b = load_run(plain_run)
    kept = [r for r in b.rows if r["cell"] != "generate_only-sonnet" or int(r["problem"].split("/")[1]) < 40]
    comparison = compare_runs(load_run(a), replace(b, rows=kept))
    assert {pair.b.id: pair.verdict for pair in comparison.pairs} == {
        "generate_only-sonnet": "cannot tell",
        "hybrid-sonnet": "better",
    }
    assert comparison.verdict == "cannot tell"


def test_a_cell_without_a_counterpart_is_named(plain_run: Path, tmp_path: Path) -> None:
    two = fabricate_run(tmp_path / "two", models=("sonnet", "haiku"))
    assert compare_runs(load_run(two), load_run(plain_run)).left_out == ("generate_only-haiku", "hybrid-haiku")
    assert "Not compared, without a counterpart: generate_only-haiku, hybrid-haiku" in printed(two, plain_run)
    assert compare_runs(load_run(plain_run), load_run(plain_run)).left_out == ()


def test_an_oracle_is_not_better_than_what_had_none(tmp_path: Path) -> None:
    a = fabricate_run(tmp_path / "a", systems=("hybrid",), skill=-0.3)
    b = fabricate_run(tmp_path / "b", systems=("hybrid",), feedback="oracle")
    (pair,) = compare_runs(load_run(a), load_run(b)).pairs
    assert (pair.verdict, "oracle" in pair.why) == ("cannot tell", True)
    (same,) = compare_runs(load_run(b), load_run(b)).pairs
    assert same.verdict == "no difference shown"


def test_named_cells(plain_run: Path) -> None:
    run = load_run(plain_run)
    (pair,) = compare_runs(run, run, ("generate_only-sonnet", "hybrid-sonnet")).pairs
    assert pair.verdict == "better"
    with pytest.raises(ReportError, match="no cell 'x'; there are generate_only-sonnet"):
        compare_runs(run, run, ("x", "hybrid-sonnet"))


def test_nothing_to_match_is_refused(tmp_path: Path) -> None:
    a = fabricate_run(tmp_path / "a", problems=3, models=("sonnet", "haiku"), systems=("generate_only",))
    b = fabricate_run(tmp_path / "b", problems=3, models=("opus",), systems=("generate_only", "hybrid"))
    with pytest.raises(ReportError, match="--cells"):
        compare_runs(load_run(a), load_run(b))


def test_the_gate_does_not_open_when_it_cannot_tell() -> None:
    assert GATE == {"better": 0, "no difference shown": 0, "worse": 1, "cannot tell": 3}
