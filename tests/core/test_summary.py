"""The summary: what counts, what does not, and what is unknown."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from orchestrator.core.rows import number
from orchestrator.core.statistics import pass_at_k, wilson
from orchestrator.core.summary import CellSummary, rate_over_problems, summarise
from orchestrator.core.tables import RESULTS, STEPS


def row(problem: int, verdict: str, **more: Any) -> dict[str, Any]:
    return {"cell": "c", "system": "hybrid", "problem": f"p/{problem}", "sample": 0, "verdict": verdict, **more}


def only(rows: list[dict[str, Any]], **cell: Any) -> CellSummary:
    (summary,) = summarise(rows, [{"id": "c", **cell}]).cells
    return summary


def test_one_sample_a_problem_gives_wilson() -> None:
    cell = only([row(i, "passed" if i < 7 else "wrong_answer") for i in range(10)])
    assert (cell.passed, cell.graded, cell.problems, cell.coverage) == (7, 10, 10, 1.0)
    assert cell.pass_at_1 is not None
    assert cell.pass_at_1.method == "wilson"
    assert (cell.pass_at_1.low, cell.pass_at_1.high) == wilson(7, 10)
    assert cell.pass_at_k == {}


def test_effort_is_in_the_label_whether_axis_or_not() -> None:
    rows = [row(0, "passed", model="sonnet")]
    assert only(rows, effort="low").label == "hybrid · sonnet · effort=low"
    assert only(rows, effort="low", axes={"model.effort": "low"}).label == "hybrid · sonnet · effort=low"
    assert only(rows).label == "hybrid · sonnet"


def test_ours_are_in_no_rate_and_are_named() -> None:
    rows = [row(0, "passed"), row(1, "error"), row(2, "infrastructure"), row(3, "not_run")]
    cell = only(rows, planned=6)
    assert (cell.graded, cell.passed, cell.planned) == (2, 1, 6)
    assert cell.pass_at_1 is not None
    assert cell.pass_at_1.value == 0.5
    # Two planned trials have no row at all: they were not run either.
    assert (cell.infrastructure, cell.not_run) == (1, 3)
    assert cell.infrastructure_and_not_run == "1 infrastructure, 3 not_run"
    assert cell.coverage == pytest.approx(2 / 6)


def test_nothing_graded_has_no_rate() -> None:
    cell = only([row(0, "not_run")])
    assert cell.pass_at_1 is None
    assert (cell.usd_per_solved, cell.execute_s_median, cell.first_turn) == (None, None, None)
    assert only([], planned=3).not_run == 3
    assert only([]).coverage is None


def test_several_samples_average_over_problems() -> None:
    verdicts = {0: ["passed", "passed", "error"], 1: ["error", "error", "error"]}
    rows = [row(p, v, sample=i) for p, found in verdicts.items() for i, v in enumerate(found)]
    cell = only(rows)
    assert cell.samples == 3
    assert cell.pass_at_1 is not None
    assert cell.pass_at_1.value == pytest.approx((2 / 3 + 0) / 2)
    assert list(cell.pass_at_k) == [3]
    assert cell.pass_at_k[3].value == pytest.approx(((pass_at_k(3, 2, 3) or 0) + 0) / 2)


def test_pass_at_k_is_over_problems_that_have_k_samples() -> None:
    rows = [row(0, "passed", sample=i) for i in range(5)]
    rows += [row(1, "error", sample=i) for i in range(4)] + [row(1, "infrastructure", sample=4)]
    cell = only(rows, samples=5)
    assert cell.pass_at_k[5].value == 1.0
    assert cell.pass_at_k[5].problems == 1


@pytest.mark.parametrize(
    ("samples", "ks"), [(1, []), (2, [2]), (5, [5]), (12, [5, 10, 12]), (100, [5, 10, 25, 50, 100])]
)
def test_ks_are_the_usual_ones_and_all_samples(samples: int, ks: list[int]) -> None:
    rows = [row(0, "passed" if i % 2 else "error", sample=i, public_verdict="passed") for i in range(samples)]
    cell = only(rows)
    assert (list(cell.pass_at_k), list(cell.selected_at_k)) == (ks, ks)


def test_selected_at_k_needs_public_verdicts() -> None:
    rows = [
        row(0, "passed", sample=0, public_verdict="passed"),
        row(0, "error", sample=1, public_verdict="error"),
        row(1, "error", sample=0, public_verdict="passed"),
        row(1, "passed", sample=1, public_verdict="passed"),
    ]
    cell = only(rows)
    # Problem 0: public tests pick the right one. Problem 1: both look the same, so it is a coin.
    assert cell.selected_at_k[2].value == pytest.approx((1 + 0.5) / 2)
    assert cell.pass_at_k[2].value == 1.0
    # A reply without a program was tried on nothing: nobody would choose it, and the other rates stay.
    rows += [row(2, "no_code", sample=0), row(2, "passed", sample=1, public_verdict="passed")]
    assert only(rows).selected_at_k[2].value == pytest.approx((1 + 0.5 + 1) / 3)
    del rows[0]["public_verdict"]
    assert only(rows).selected_at_k == {}
    assert only([row(0, "no_code", sample=i) for i in range(2)]).selected_at_k == {}


def test_first_turn_and_repair_are_apart() -> None:
    rows = [
        row(0, "passed", first_turn_verdict="passed"),
        row(1, "passed", first_turn_verdict="error"),
        row(2, "error", first_turn_verdict="wrong_answer"),
        row(3, "wrong_answer", first_turn_verdict="passed"),
        row(4, "infrastructure", first_turn_verdict="error"),
        row(5, "error", first_turn_verdict="error"),
        row(6, "passed", first_turn_verdict="passed"),
    ]
    cell = only(rows)
    assert cell.first_turn is not None
    assert (cell.first_turn.value, cell.first_turn.problems) == (0.5, 6)
    assert cell.repaired is not None
    assert (cell.repaired.value, cell.repaired.problems) == (pytest.approx(1 / 3), 3)
    assert cell.broken == 1


def test_failures_are_charged() -> None:
    rows = [row(i, "passed" if i == 0 else "error", api_usd=0.25) for i in range(4)]
    rows.append(row(4, "infrastructure", api_usd=1.0))
    cell = only(rows)
    assert cell.api_usd == 2.0
    assert cell.usd_per_problem == 0.5
    assert cell.usd_per_solved == 2.0


def test_unknown_price_is_none_and_never_zero() -> None:
    rows = [row(0, "passed", api_usd=0.5), row(1, "passed", api_usd=None)]
    cell = only(rows)
    assert (cell.api_usd, cell.usd_per_problem, cell.usd_per_solved) == (None, None, None)
    assert only([row(0, "passed")]).api_usd is None
    # What was never run bought nothing, so its missing price hides nothing.
    assert only([row(0, "passed", api_usd=0.5), row(1, "not_run", api_usd=None)]).api_usd == 0.5
    assert only([row(0, "not_run")]).api_usd is None
    # A retry that ended in our own failure may have bought something.
    assert only([row(0, "passed", api_usd=0.5), row(1, "infrastructure", output_tokens=9)]).api_usd is None


def test_times_tokens_and_memory() -> None:
    rows = [
        row(i, "passed", execute_s=float(i), peak_memory_bytes=100 * i, input_tokens=10, cache_read_tokens=1,
            started_at=100.0 + i, ended_at=101.0 + i)
        for i in range(1, 6)
    ]  # fmt: skip
    rows.append(row(9, "infrastructure", execute_s=1e9, input_tokens=10))
    cell = only(rows)
    assert (cell.execute_s_median, cell.execute_s_p95) == (3.0, pytest.approx(4.8))
    assert (cell.peak_memory_bytes, cell.peak_memory_bytes_median) == (500, 300)
    assert (cell.input_tokens, cell.cache_read_tokens, cell.output_tokens) == (60, 5, None)
    assert cell.wall_s == 5.0
    # What the journal answered has no time, and without it the others do not make the cell's.
    assert only([*rows, row(10, "passed")]).wall_s is None


def test_label_names_what_the_axes_set() -> None:
    axes = json.dumps({"system": "hybrid", "model": "sonnet", "model.effort": "low"})
    assert only([row(0, "passed", axes=axes, model="sonnet")]).label == "hybrid · sonnet · effort=low"
    assert only([row(0, "passed")]).label == "hybrid"
    # A suite and a card are named by themselves.
    assert only([], axes={"suite": "mbpp", "hardware": "h200", "samples": 5}).label == (
        "unknown · mbpp · h200 · samples=5"
    )


def test_nan_reads_as_missing() -> None:
    assert number(math.nan) is None
    assert number(True) is None
    cell = only([row(0, "passed", execute_s=math.nan, api_usd=math.nan)])
    assert (cell.execute_s_median, cell.api_usd) == (None, None)


def test_a_cell_that_only_the_rows_name_is_appended() -> None:
    summary = summarise([row(0, "passed") | {"cell": "x"}], [{"id": "c", "planned": 2}])
    assert [cell.id for cell in summary.cells] == ["c", "x"]


def test_synthetic_if_any_trial_is() -> None:
    assert summarise([row(0, "passed", synthetic=True), row(1, "passed")], []).synthetic
    assert not summarise([row(0, "passed", synthetic=False)], []).synthetic
    # Before there is any trial the plan tells.
    assert only([], synthetic=True).synthetic
    assert not only([row(0, "passed", synthetic=False)], synthetic=True).synthetic


def test_shared_replies_and_cards_are_told() -> None:
    rows = [row(i, "passed", shared=i > 0, gpu=card) for i, card in enumerate(["b", "a", "b", None])]
    cell = only(rows)
    assert (cell.shared, cell.gpus) == (3, ("a", "b"))


def test_share_without_examples() -> None:
    cell = only([row(i, "passed", feedback_examples=n) for i, n in enumerate([0, 2, 1, 3, None])])
    assert cell.without_examples == 0.25
    assert only([row(0, "passed")]).without_examples is None


def test_gpu_measures() -> None:
    rows = [
        row(
            0,
            "passed",
            speedup=2.0,
            cpu_speedup=20.0,
            gpu_time_s=1.0,
            gpu_reference_time_s=2.0,
            comparison="faster",
        ),
        row(
            1, "passed", speedup=0.5, cpu_speedup=5.0, gpu_time_s=4.0, gpu_reference_time_s=2.0, comparison="slower"
        ),
        row(2, "wrong_answer", gpu_reference_time_s=2.0),
        row(3, "error", gpu_reference_time_s=2.0),
    ]
    gpu = only(rows).gpu
    assert gpu is not None
    assert gpu.correct.value == 0.5
    # A speed counts from more than p times on, and only where the program is correct.
    assert {p: rate.value for p, rate in gpu.fast_p.items()} == {"0.5": 0.25, "1": 0.25, "1.5": 0.25, "2": 0.0}
    assert gpu.speedup == pytest.approx(1.0)
    assert gpu.speedup_failures_zero == pytest.approx(2.5 / 4)
    assert gpu.cpu_speedup == pytest.approx(10.0)
    assert gpu.comparisons == {"faster": 1, "slower": 1}
    assert (gpu.joules, gpu.joules_measured, gpu.joules_per_call_median) == (None, 0, None)


def test_a_right_program_that_was_not_timed_is_not_a_slow_one() -> None:
    timed = row(0, "passed", speedup=2.5, gpu_time_s=1.0)
    untimed = row(1, "passed", dtype="fp32")
    gpu = only([timed, untimed, row(2, "error")]).gpu
    assert gpu is not None
    assert {(rate.value, rate.problems) for rate in gpu.fast_p.values()} == {(0.5, 2)}
    without = only([untimed, row(2, "error")]).gpu
    assert without is not None
    assert (without.fast_p, without.correct.value) == ({}, 0.5)
    wrong = only([row(2, "error", dtype="fp32")]).gpu
    assert wrong is not None
    assert {rate.value for rate in wrong.fast_p.values()} == {0.0}


def test_energy_per_call_is_of_the_right_programs() -> None:
    rows = [
        row(n, verdict, gpu_time_s=1.0, joules=800.0, joules_per_call=each)
        for n, (verdict, each) in enumerate([("passed", 2.0), ("passed", 4.0), ("wrong_answer", 0.1)])
    ]
    gpu = only(rows).gpu
    assert gpu is not None
    assert (gpu.joules_per_call_median, gpu.joules) == (3.0, 2400.0)


def test_an_unmeasured_speed_is_neither_a_failure_nor_a_speed() -> None:
    rows = [
        row(0, "passed", speedup=3.0, gpu_time_s=1.0),
        row(1, "passed", gpu_time_s=None, gpu_reference_time_s=1.0),
    ]
    gpu = only(rows).gpu
    assert gpu is not None
    assert (gpu.speedup, gpu.speedup_measured, gpu.speedup_failures_zero) == (pytest.approx(3.0), 1, 3.0)
    assert gpu.cpu_speedup_failures_zero is None


def test_a_suite_without_speed_has_no_gpu_part() -> None:
    assert only([row(0, "passed")]).gpu is None


def test_to_dict_is_json_and_holds_what_is_derived() -> None:
    rows = [row(p, "passed", sample=s, gpu_time_s=1.0) for p in range(3) for s in range(2)]
    data = json.loads(json.dumps(summarise(rows, [{"id": "c", "planned": 6}]).to_dict(), allow_nan=False))
    cell = data["cells"][0]
    assert cell["coverage"] == 1.0
    assert cell["pass_at_k"]["2"]["value"] == 1.0
    assert cell["gpu"]["correct"]["value"] == 1.0


def test_rate_of_no_problems_is_none() -> None:
    assert rate_over_problems([]) is None
    assert rate_over_problems([[]]) is None


def test_problems_count_alike_however_many_samples_they_have() -> None:
    rate = rate_over_problems([[True], [False, True, True, True], []])
    assert rate is not None
    assert (rate.value, rate.problems, rate.method) == (pytest.approx(0.875), 2, "wilson")


def test_columns_are_named_once_and_have_types_that_pyarrow_knows() -> None:
    import pyarrow as pa

    for table in (RESULTS, STEPS):
        names = [column.name for column in table]
        assert len(names) == len(set(names))
        assert pa.schema([(c.name, pa.type_for_alias(c.type)) for c in table]).names == names
        assert all(column.meaning for column in table)
