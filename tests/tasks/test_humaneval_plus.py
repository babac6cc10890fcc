"""HumanEval+ in its published forms, with lines made here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.problems import Example, Problem, PythonTests
from tasks import humaneval_plus
from tasks.suite import SuiteError

PLUS = {
    "task_id": "HumanEval/900",
    "prompt": 'def third(xs: list) -> float:\n    """ A third.\n    >>> third([3.0])\n    1.0\n    """\n',
    "contract": "",
    "canonical_solution": "\n    return sum(xs) / 3\n",
    "entry_point": "third",
    "base_input": [[[3.0]], [[1.0, 2.0]]],
    "plus_input": [[[0.1, 0.2]], [[float("inf")]]],
    "atol": 0,
}


def write(path: Path, *records: Any) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def check(problem: Problem, program: str) -> None:
    assert isinstance(problem.scoring, PythonTests)
    own: dict[str, Any] = {}
    exec(program, own)
    trusted: dict[str, Any] = {}
    exec(problem.scoring.setup, trusted)
    exec(problem.scoring.source, trusted)
    trusted["check"](own[problem.public.entry_point])


def plus(tmp_path: Path, **change: Any) -> Problem:
    path = tmp_path / "HumanEvalPlus.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(PLUS | change) + "\n").encode()))
    (problem,) = humaneval_plus.load(str(path)).problems
    return problem


def test_reference_passes(tmp_path: Path) -> None:
    problem = plus(tmp_path)
    assert problem.public.examples == (Example("third([3.0])", "1.0"),)
    check(problem, problem.reference)


def test_accepts_what_is_within_the_tolerance_of_floats(tmp_path: Path) -> None:
    check(plus(tmp_path), "def third(xs):\n    return sum(xs) / 3 + 1e-9\n")
    check(plus(tmp_path, atol=0.1), "def third(xs):\n    return sum(xs) / 3 + 0.05\n")


@pytest.mark.parametrize(
    "answer", ["sum(xs) / 3 + 1e-3", "[sum(xs) / 3]", "'x'", "None", "float('nan')", "round(sum(xs) / 3)"]
)
def test_refuses_what_is_not(tmp_path: Path, answer: str) -> None:
    with pytest.raises((AssertionError, TypeError)):
        check(plus(tmp_path), f"def third(xs):\n    return {answer}\n")


def test_compares_nested_floats(tmp_path: Path) -> None:
    problem = plus(
        tmp_path,
        prompt="def halves(xs):\n    '''Halves.'''\n",
        canonical_solution="    return [x / 2 for x in xs]\n",
        entry_point="halves",
        base_input=[[[0.1, 0.3]]],
        plus_input=[[[]]],
    )
    check(problem, "def halves(xs):\n    return [x * 0.5 + 1e-9 for x in xs]\n")
    for wrong in ("tuple(x / 2 for x in xs)", "[x / 2 for x in xs] + [0.0]", "[x / 2 + 0.1 for x in xs]"):
        with pytest.raises(AssertionError):
            check(problem, f"def halves(xs):\n    return {wrong}\n")


def test_judges_a_zero_by_the_polynomial(tmp_path: Path) -> None:
    problem = plus(
        tmp_path,
        prompt=(
            "def poly(xs: list, x: float):\n    return sum(c * x ** i for i, c in enumerate(xs))\n\n\n"
            "def find_zero(xs: list):\n    ''' A zero. '''\n"
        ),
        canonical_solution="    return 2.0\n",
        entry_point="find_zero",
        base_input=[[[-4, 0, 1]]],
        plus_input=[],
        atol=0.0001,
    )
    check(problem, "def find_zero(xs):\n    return -2.0\n")
    with pytest.raises(AssertionError):
        check(problem, "def find_zero(xs):\n    return 2.1\n")


def test_gives_each_call_its_own_arguments(tmp_path: Path) -> None:
    check(plus(tmp_path), "def third(xs):\n    s = sum(xs) / 3\n    xs.clear()\n    return s\n")


def test_with_a_ready_made_test(tmp_path: Path) -> None:
    record = {k: v for k, v in PLUS.items() if not k.endswith("_input")}
    record["test"] = "def check(candidate):\n    assert candidate([3.0]) == 1.0\n"
    (problem,) = humaneval_plus.load(write(tmp_path / "plus.jsonl", record)).problems
    check(problem, problem.reference)


ASSERTION = """import math

def is_floats(x):
    if isinstance(x, float):
        return True
    return isinstance(x, (list, tuple)) and all(isinstance(i, float) for i in x)


def allclose(out, exp, atol):
    # As numpy's does it: of shapes that fit each other, one without elements leaves nothing to compare.
    sizes = [len(v) if isinstance(v, list) else 1 for v in (out, exp)]
    assert 1 in sizes or sizes[0] == sizes[1]
    pairs = zip(*(v if isinstance(v, list) else [v] * max(sizes) for v in (out, exp)))
    return all(math.isclose(a, b, rel_tol=1e-07, abs_tol=atol) for a, b in pairs)


def assertion(out, exp, atol):
    exact_match = out == exp

    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert allclose(out, exp, atol)
    else:
        assert exact_match


def check(candidate):
    inputs = [[[3.0]], [[]]]
    results = [1.0, []]
    for i, (inp, exp) in enumerate(zip(inputs, results)):
        assertion(candidate(*inp), exp, 0)
"""


@pytest.mark.parametrize(
    ("one", "none", "right"),
    [
        ("1.0", "[]", True),
        ("1.0 + 1e-9", "[]", True),
        ("1", "[]", True),
        ("[]", "[]", False),
        ("[[]]", "[]", False),
        ("1.0", "7", False),
        ("1.0", "[7]", False),
        ("1.1", "[]", False),
    ],
)
def test_a_ready_made_test_takes_nothing_for_an_answer(tmp_path: Path, one: str, none: str, right: bool) -> None:
    record = {k: v for k, v in PLUS.items() if not k.endswith("_input")} | {"test": ASSERTION}
    (problem,) = humaneval_plus.load(write(tmp_path / "plus.jsonl", record)).problems
    program = f"def third(xs):\n    return {one} if xs else {none}\n"
    if right:
        check(problem, program)
        return
    with pytest.raises(AssertionError):
        check(problem, program)


def test_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="line 1: `base_input` and `plus_input` must hold a list"):
        plus(tmp_path, base_input=[3])
