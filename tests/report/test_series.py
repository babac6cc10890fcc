"""The numbers behind the charts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.rows import by_cell
from orchestrator.core.summary import summarise
from orchestrator.report.figure import log_axis
from orchestrator.report.series import differences, in_flight, quantiles, turn_curve


def hybrid(first: str, final: str, turns: int) -> dict[str, object]:
    return {"verdict": final, "first_turn_verdict": first, "turns": turns}


def test_turn_curve() -> None:
    rows = [
        hybrid("passed", "passed", 1),
        hybrid("error", "passed", 2),
        hybrid("error", "passed", 3),
        hybrid("error", "error", 3),
        hybrid("error", "not_run", 1),
    ]
    assert turn_curve(rows) == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert turn_curve([{"verdict": "passed"}]) == []


def test_what_passed_at_first_stays_passed_in_between() -> None:
    # Public tests failed on a program that the scoring tests would have passed: it went on to a third turn.
    assert turn_curve([hybrid("passed", "passed", 3)]) == [(1, 1.0), (2, 1.0), (3, 1.0)]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=60))
def test_in_flight_counts_open_spans(raw: list[tuple[float, float]]) -> None:
    spans = [(start, start + length) for start, length in raw]
    times, counts = in_flight(span for span in spans)
    assert counts[-1] == 0
    for time, count in zip(times, counts, strict=True):
        assert count == sum(start <= time < end for start, end in spans)


def test_in_flight_is_thinned_without_losing_the_peak() -> None:
    spans = [(i / 10, i / 10 + 0.05) for i in range(5000)] + [(250.0, 251.0)] * 7
    times, counts = in_flight(spans, most=100)
    assert len(times) <= 102
    assert max(counts) >= 7
    assert counts[-1] == 0
    assert in_flight([]) == ([], [])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=900))
def test_quantiles_keep_both_ends(values: list[float]) -> None:
    xs, shares = quantiles(values, most=50)
    assert len(xs) <= 50
    assert (xs[0], xs[-1], shares[-1]) == (min(values), max(values), 1.0)
    assert shares == sorted(shares)


def test_differences_put_the_better_one_second() -> None:
    rows = [
        {"cell": cell, "system": cell, "model": "m", "problem": str(i), "verdict": "passed" if i < k else "error"}
        for cell, k in (("a", 10), ("b", 30), ("c", 20))
        for i in range(40)
    ]
    summary = summarise(rows, [])
    found = differences(summary, by_cell(rows))
    assert [(d.a.id, d.b.id) for d in found] == [("c", "b"), ("a", "b"), ("a", "c")]
    assert all(d.paired.difference > 0 for d in found)
    assert all(d.paired.p_adjusted >= d.paired.p for d in found)


def test_many_cells_are_compared_with_the_best_alone() -> None:
    rows = [
        {"cell": f"c{k}", "system": "s", "model": "m", "problem": str(i), "verdict": "passed" if i < k else "error"}
        for k in range(8)
        for i in range(10)
    ]
    found = differences(summarise(rows, []), by_cell(rows))
    assert {d.b.id for d in found} == {"c7"}
    assert len(found) == 7


@given(st.floats(1e-9, 1e9), st.floats(1, 1e6))
def test_a_log_axis_always_has_ticks_inside(low: float, factor: float) -> None:
    axis = log_axis([low, low * factor], lambda v: f"{v:g}")
    assert axis["tickvals"]
    assert all(10 ** axis["range"][0] <= tick <= 10 ** axis["range"][1] for tick in axis["tickvals"])
