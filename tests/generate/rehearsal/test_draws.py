from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.generate.rehearsal.draws import RequestId, draw, pick, pick_weighted


def test_ids_are_read_as_they_are_written() -> None:
    who = RequestId("HumanEval/7", 3, 2, 1)
    assert str(who) == "HumanEval/7;3;2;1"
    assert RequestId.parse(str(who)) == who
    assert who.step == "HumanEval/7;3;2"


@pytest.mark.parametrize("text", ["", "a", "a;0;0", "a;0;0;x", ";0;0;0", "a;b;0;0;0", "a;-1;0;0", "a;0;0;0\n"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        RequestId.parse(text)


def test_draws_depend_on_every_part_and_are_spread_evenly() -> None:
    assert draw(1, "a", 2) == draw(1, "a", 2)
    assert len({draw(1, "a"), draw(2, "a"), draw(1, "b"), draw("1a"), draw(1, "a", "")}) == 5
    tenths = Counter(int(draw("spread", i) * 10) for i in range(10_000))
    assert set(tenths) == set(range(10))
    assert all(850 < count < 1150 for count in tenths.values())


def test_picks_follow_the_weights() -> None:
    counts = Counter(pick_weighted({"a": 3.0, "b": 1.0, "never": 0.0}, "weights", i) for i in range(4000))
    assert set(counts) == {"a", "b"}
    assert 2850 < counts["a"] < 3150
    assert {pick("xyz", "options", i) for i in range(50)} == set("xyz")
    with pytest.raises(ValueError, match="Nothing to pick"):
        pick_weighted({"a": 0.0}, 1)
