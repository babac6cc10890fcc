"""The bench of several cards: declared cards here, and what it would say of runs that went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scripts.bench.cards import Outcome, judge, programs

ROOT = Path(__file__).resolve().parents[2]


def test_every_program_is_a_step_of_its_own_and_its_verdict_is_known() -> None:
    answers, expected = programs(24)
    assert len({answer["solution"] for answer in answers}) == len(expected) == 24
    assert Counter(expected.values()) == {"passed": 20, "wrong_answer": 4}


def test_a_run_is_complete_only_with_every_verdict_as_it_must_be() -> None:
    _, expected = programs(6)
    good = Outcome("good", 1, dict(expected), 1.0, 2.0)
    assert judge([good], expected) == []
    first, *others = expected
    lacking = Outcome("lacking", 2, {key: expected[key] for key in others}, 1.0, 2.0)
    differing = Outcome("differing", 2, {**expected, first: "infrastructure", "gpu/x#0": "passed"}, 1.0, 2.0)
    assert judge([good, lacking, differing], expected) == [
        f"lacking: 1 programs without a verdict, the first {first}",
        "differing: 1 programs never asked for, the first gpu/x#0",
        f"differing: 1 programs judged otherwise, the first {first}",
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_declared_cards_give_the_same_verdicts_with_a_node_killed(tmp_path: Path) -> None:
    words = ["--device", "cpu", "--cards", "1,2", "--programs", "12", "--rejoin", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench.cards", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "cards.json").read_text())
    assert found["complete"]
    names = [run["name"] for run in found["runs"]]
    assert names == ["1 card", "2 cards", "node killed", "killed and rejoined"]
    for run in found["runs"]:
        assert run["verdicts"] == found["expected"]
    one, two, killed, _ = found["runs"]
    assert len(one["by_slot"]) == 1
    assert len(two["by_slot"]) == 2
    assert 6 <= killed["killed_after"] < 12
