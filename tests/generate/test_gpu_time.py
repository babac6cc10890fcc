from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.generate.gpu_time import BusyMeter


def test_time_is_shared_among_those_who_use_it() -> None:
    meter = BusyMeter()
    first = meter.start(10.0)
    second = meter.start(12.0)
    assert meter.stop(16.0, second) == pytest.approx(2.0)
    assert meter.stop(17.0, first) == pytest.approx(5.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 20)), min_size=1, max_size=12))
def test_the_shares_add_up_to_the_time_that_the_server_was_busy(spans: list[tuple[float, float]]) -> None:
    events = sorted(
        [(start, 1, n) for n, (start, _) in enumerate(spans)]
        + [(start + length, 0, n) for n, (start, length) in enumerate(spans)]
    )
    meter = BusyMeter()
    marks: dict[int, float] = {}
    shares = busy = 0.0
    previous = events[0][0]
    for at, begins, n in events:
        busy += (at - previous) if marks else 0.0
        previous = at
        if begins:
            marks[n] = meter.start(at)
        else:
            shares += meter.stop(at, marks.pop(n))
    assert shares == pytest.approx(busy)
