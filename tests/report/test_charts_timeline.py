"""The timeline: lanes, both kinds of slots, and what is one request."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.charts_timeline import Span, lanes, timeline_charts
from orchestrator.report.load import Run, combine, load_run


def span(start: float, end: float, slot: str = "s") -> Span:
    return Span(start, end, "generation", slot, start)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.sampled_from("ab")), max_size=40))
def test_spans_of_a_lane_never_overlap_and_no_lane_is_wasted(raw: list[tuple[int, int, str]]) -> None:
    placed = lanes([span(start, start + length, slot) for start, length, slot in raw])
    assert len(placed) == len(raw)
    ends: dict[tuple[str, int], float] = {}
    for one, lane in placed:
        assert ends.get((one.slot, lane), 0.0) <= one.start
        ends[(one.slot, lane)] = one.end
    for slot in "ab":
        own = [(s.start, s.end) for s, _ in placed if s.slot == slot]
        most = max((sum(a <= t < b for a, b in own) for t, _ in own), default=0)
        assert 1 + max((lane for s, lane in placed if s.slot == slot), default=-1) == most


def test_both_kinds_of_slots_have_rows(plain_run: Path) -> None:
    flight, slots = timeline_charts(load_run(plain_run), synthetic=False)
    assert {trace["name"] for trace in flight.figure["data"]} >= {"generating", "executing"}
    rows = slots.figure["layout"]["yaxis"]["categoryarray"]
    assert {"run 1", "run 2"} <= set(rows)
    assert any(row.startswith("ask 0") for row in rows)
    assert {trace["name"] for trace in slots.figure["data"]} == {"generation", "feedback", "scoring", "reference"}


def test_a_shared_purchase_is_one_request_and_waiting_is_not_generating(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def step(cell: str, key: str) -> dict[str, object]:
        return {
            "cell": cell, "kind": "generation", "key": key, "slot": "generation-anthropic-0", "started_at": 100.0,
            "ended_at": 110.0, "lease_s": 4.0, "resumed": False,
        }  # fmt: skip

    steps = [step("a", "g-1"), step("b", "g-1"), step("a", "g-2")]
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        pq.write_table(pa.Table.from_pylist(steps), folder / "steps.parquet")
    # Two runs that asked the same thing bought it twice.
    both = combine([Run(folder.name, folder, {}, []) for folder in folders])
    _, asks = timeline_charts(both, synthetic=False)[0].figure["data"]
    assert max(asks["y"]) == 4
    pq.write_table(pa.Table.from_pylist(steps), tmp_path / "steps.parquet")
    flight, slots = timeline_charts(Run("r", tmp_path, {}, []), synthetic=False)
    waits, asks = flight.figure["data"]
    assert (waits["name"], waits["x"], max(waits["y"])) == ("waiting to be sent", [0.0, 6.0], 2)
    assert (asks["name"], asks["x"], max(asks["y"])) == ("generating", [6.0, 10.0], 2)
    assert slots.figure["layout"]["yaxis"]["categoryarray"] == ["ask anthropic-0 · 2", "ask anthropic-0 · 1"]
