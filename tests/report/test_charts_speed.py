"""Speed against the reference, the roofline and the turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.findings import findings
from orchestrator.report import terminal_table, write_report
from orchestrator.report.charts_roofline import points, roofline_chart, roofs
from orchestrator.report.charts_speed import best_so_far, speed_turn_chart
from orchestrator.report.load import load_run
from tests.report.fabricate import fabricate_run


@pytest.fixture(scope="module")
def cpu_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPU suite on a machine without a card."""
    return fabricate_run(tmp_path_factory.mktemp("runs") / "cpu", problems=6, gpu=True, on_card=False)


def test_the_best_so_far_never_gets_worse_and_wrong_programs_have_no_speed() -> None:
    def step(turn: int, verdict: str, speedup: float | None, **more: Any) -> dict[str, Any]:
        return {
            "cell": ("c",), "kind": "feedback", "problem": "p", "sample": 0, "turn": turn, "verdict": verdict,
            "speedup": speedup, **more,
        }  # fmt: skip

    steps = [
        step(3, "passed", 1.2),
        step(1, "wrong_answer", None),
        step(2, "passed", 1.5),
        step(4, "wrong_answer", 9.0),
        step(1, "passed", 0.5, problem="q"),
        step(1, "passed", 7.0, kind="scoring", problem="q"),
        step(1, "passed", 7.0, cell=("other",)),
    ]
    assert best_so_far(steps, "c") == [[None, 1.5, 1.5, 1.5], [0.5, 0.5, 0.5, 0.5]]
    assert best_so_far([], "c") == []


def test_the_chart_of_turns_says_how_many_it_is_a_mean_of(gpu_run: Path, plain_run: Path) -> None:
    run = load_run(gpu_run)
    drawn = speed_turn_chart(run, run.summary())
    assert drawn is not None
    thin, thick = drawn.figure["data"]
    assert thin["showlegend"] is False
    assert thick["y"][0] == pytest.approx(0.9)
    assert [text.endswith(" of 36 right") for text in thick["text"]] == [True] * 3
    plain = load_run(plain_run)
    assert speed_turn_chart(plain, plain.summary()) is None


def row(problem: str, **more: Any) -> dict[str, Any]:
    return {
        "cell": "c", "problem": problem, "verdict": "passed", "gpu": "Card", "dtype": "fp32", "gpu_time_s": 0.5,
        "operations": 10, "least_bytes": 5, "peak_bytes_per_s": 100.0, "peak_operations_per_s": 400.0, **more,
    }  # fmt: skip


def test_intensity_and_attained_rate_by_problem_and_dtype() -> None:
    rows = [row("a", gpu_time_s=0.5), row("a", gpu_time_s=1.0), row("a", gpu_time_s=2.0)]
    rows += [row("a", dtype="fp64"), row("moves", operations=0), row("wrong", verdict="error")]
    fp32, fp64 = points(rows)
    assert (fp32.dtype, fp32.intensity, fp32.operations_per_s) == ("fp32", 2.0, 10.0)
    assert (fp64.dtype, fp64.operations_per_s) == ("fp64", 20.0)


def test_roofs_are_the_highest_measured_and_apart_by_card_and_dtype() -> None:
    rows = [row("a"), row("b", peak_bytes_per_s=120.0), row("c", dtype="fp64", peak_operations_per_s=50.0)]
    rows += [row("d", gpu=None), row("e", peak_bytes_per_s=None)]
    found = {(roof.place, roof.dtype): roof for roof in roofs(rows)}
    assert set(found) == {("Card", "fp32"), ("Card", "fp64"), ("this CPU", "fp32")}
    assert found[("Card", "fp32")].bytes_per_s == 120.0
    assert found[("Card", "fp64")].ridge == 0.5


def test_the_roofline_says_where_its_ceilings_come_from(gpu_run: Path, plain_run: Path) -> None:
    run = load_run(gpu_run)
    summary = run.summary()
    drawn = roofline_chart(summary, run.evidence(summary).rows)
    assert drawn is not None
    assert "NVIDIA GeForce RTX 4060 fp32 250 GB/s and 12 Top/s" in drawn.caption
    roof, *cells = drawn.figure["data"]
    assert roof["y"][1] == roof["y"][2] == 12e12
    assert roof["x"][1] == pytest.approx(48)
    assert [trace["name"] for trace in cells] == [
        "generate_only · sonnet", "execute_only", "hybrid · sonnet",
    ]  # fmt: skip
    plain = load_run(plain_run)
    assert roofline_chart(plain.summary(), plain.evidence(plain.summary()).rows) is None


def test_nothing_is_said_of_a_card_where_there_was_none(cpu_run: Path, tmp_path: Path) -> None:
    from rich.console import Console

    run = load_run(cpu_run)
    summary = run.summary()
    page = write_report([cpu_run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Speed, on CPUs: no card was there" in page
    assert "say nothing about any GPU" in page
    console = Console(width=120, record=True, file=(tmp_path / "out").open("w"))
    console.print(terminal_table(summary))
    text = console.export_text()
    for said in (page.split("<script", 1)[0], text):
        assert "On the card" not in said
        assert "on the card," not in said
        assert "the GPU reference" not in said
    assert "no card was there" in text
    workloads = [f for f in findings(run.evidence(summary)) if f.subject.startswith("Workload")]
    assert {f.status for f in workloads} == {"not measured"}


def test_a_cpu_time_is_no_evidence_for_a_claim_about_a_card(cpu_run: Path) -> None:
    run = load_run(cpu_run)
    for each in run.rows:
        each["problem"] = "gpu/gram"
    (gram,) = [f for f in findings(run.evidence(run.summary())) if f.subject == "Workload, matrix product"]
    assert gram.status == "not measured"
    assert "no card was there; on the CPU itself, torch was" in gram.sentence
