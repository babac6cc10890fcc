"""A user's own suite: what the contract accepts, and how it refuses the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.problems import Example, Problem, PythonTests
from tasks import custom
from tasks.suite import SuiteError

LINE: dict[str, Any] = {
    "id": "double",
    "prompt": 'import math\n\ndef double(x):\n    """Twice x.\n    >>> double(2)\n    4\n    """\n',
    "entry_point": "double",
    "reference": "def double(x):\n    return 2 * x\n",
    "cases": [{"input": [3], "output": 6}, {"input": [], "keywords": {"x": "a"}, "output": "aa"}],
}


def write(path: Path, *records: Any) -> str:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records) + "\n")
    return str(path)


def one(tmp_path: Path, **change: Any) -> Problem:
    record = {key: value for key, value in (LINE | change).items() if value is not None}
    (problem,) = custom.load(write(tmp_path / "mine.jsonl", record)).problems
    return problem


def passes(problem: Problem, program: str) -> bool:
    assert isinstance(problem.scoring, PythonTests)
    own: dict[str, Any] = {}
    exec(program, own)
    trusted: dict[str, Any] = {}
    exec(problem.scoring.setup, trusted)
    exec(problem.scoring.source, trusted)
    try:
        trusted["check"](own[problem.public.entry_point])
    except AssertionError:
        return False
    return True


def test_cases(tmp_path: Path) -> None:
    problem = one(tmp_path)
    assert problem.id == "mine/double"
    assert problem.public.suite == "mine"
    assert problem.public.examples == (Example("double(2)", "4"),)
    assert passes(problem, problem.reference)
    assert not passes(problem, "def double(x):\n    return 6\n")


def test_tests(tmp_path: Path) -> None:
    source = "def check(candidate):\n    assert candidate(math.pi) == 2 * math.pi\n"
    problem = one(tmp_path, cases=None, tests=source)
    assert passes(problem, problem.reference)
    assert not passes(problem, "def double(x):\n    return x\n")


@pytest.mark.parametrize(
    ("expected", "answer", "good"),
    [
        (2.0, "2.0", True),
        (2.0, "2", True),
        (2.0, "2.05", True),
        (2.0, "2.2", False),
        (2.0, "True", False),
        (2, "2.0", False),
        (1, "True", False),
        (True, "1", False),
        ([1, 2], "(1, 2)", False),
        ([1.0, [2.0]], "[1.05, [1.95]]", True),
        ([1.0], "[1.0, 1.0]", False),
        ({"a": 1.0}, "{'a': 1.01}", True),
        ({"a": 1}, "{'b': 1}", False),
        (None, "None", True),
        ("a", "'a'", True),
        ("a", "['a']", False),
    ],
)
def test_how_cases_are_compared(tmp_path: Path, expected: Any, answer: str, good: bool) -> None:
    problem = one(tmp_path, cases=[{"input": [0], "output": expected}], atol=0.1)
    assert passes(problem, f"def double(x):\n    return {answer}\n") is good


def test_an_object_that_equals_everything_does_not_pass(tmp_path: Path) -> None:
    program = "class Yes:\n    def __eq__(self, other):\n        return True\n\ndef double(x):\n    return Yes()\n"
    assert not passes(one(tmp_path), program)


def test_own_examples_setup_and_limits(tmp_path: Path) -> None:
    problem = one(
        tmp_path,
        examples=[{"call": "double(4)", "expected": "8"}],
        setup="LIMIT = 3\n",
        limits={"cpu_s": 7, "memory_bytes": 1 << 20},
    )
    assert problem.public.examples == (Example("double(4)", "8"),)
    assert problem.feedback.setup == "LIMIT = 3\n"  # type: ignore[union-attr]
    assert (problem.limits.cpu_s, problem.limits.wall_s, problem.limits.memory_bytes) == (7.0, 0.0, 1 << 20)


def test_the_line_number_is_the_id_where_none_is_given(tmp_path: Path) -> None:
    record = {key: value for key, value in LINE.items() if key != "id"}
    suite = custom.load(write(tmp_path / "mine.jsonl", record, "", record))
    assert [problem.id for problem in suite.problems] == ["mine/1", "mine/3"]


def test_prose_prompt(tmp_path: Path) -> None:
    problem = one(tmp_path, prompt="Write double(x), which gives twice x.")
    assert passes(problem, problem.reference)


WRONG = {
    "unknown field": ({"test": "x"}, "`test` is not a field"),
    "no prompt": ({"prompt": None}, "`prompt` is missing"),
    "empty prompt": ({"prompt": " "}, "`prompt` is empty"),
    "prompt is a number": ({"prompt": 3}, "`prompt` is a number; it must be text"),
    "no entry point": ({"entry_point": None}, "`entry_point` is missing"),
    "entry point is no name": ({"entry_point": "a b"}, "must be the name of a function"),
    "no reference": ({"reference": None}, "`reference` is missing"),
    "reference is not Python": ({"reference": "x = 1\ndef f(:"}, "not Python on its line 2"),
    "no tests": ({"cases": None}, "either `tests` or `cases`"),
    "both kinds of tests": ({"tests": "def check(candidate): pass"}, "either `tests` or `cases`"),
    "no check": ({"cases": None, "tests": "x = 1"}, "must define `check"),
    "tests are not Python": ({"cases": None, "tests": "def"}, "`tests` is not Python"),
    "no cases": ({"cases": []}, "`cases` is empty"),
    "case is a list": ({"cases": [[1, 2]]}, "case 1 must be an object"),
    "case without output": ({"cases": [{"input": [1]}]}, "case 1 must be an object"),
    "case with more": ({"cases": [{"input": [1], "output": 1, "x": 1}]}, "case 1 must be an object"),
    "input is no list": ({"cases": [{"input": 1, "output": 1}]}, "`input` must be the list"),
    "keywords are no object": ({"cases": [{"input": [], "output": 1, "keywords": 1}]}, "`keywords` must be"),
    "negative tolerance": ({"atol": -1}, "`atol` is -1"),
    "true as tolerance": ({"atol": True}, "`atol` is True"),
    "examples without answer": ({"examples": [{"call": "double(1)"}]}, "example 1 must be an object"),
    "example is not Python": ({"examples": [{"call": "double(", "expected": "1"}]}, "must be a Python expression"),
    "example calls another": ({"examples": [{"call": "f(1)", "expected": "1"}]}, "does not call `double`"),
    "limits is a number": ({"limits": 3}, "`limits` must be an object"),
    "unknown limit": ({"limits": {"cpu": 3}}, "`limits` has no `cpu`"),
    "zero limit": ({"limits": {"cpu_s": 0}}, "a number of seconds above 0"),
    "text as limit": ({"limits": {"cpu_s": "3"}}, "a number of seconds above 0"),
    "fraction of bytes": ({"limits": {"memory_bytes": 1.5}}, "a whole number above 0"),
    "setup is not Python": ({"setup": "def"}, "`setup` is not Python"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG.keys())
def test_says_what_is_wrong_and_where(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    record = {key: value for key, value in (LINE | {"id": "b"} | change).items() if value is not None}
    with pytest.raises(SuiteError, match=words) as raised:
        custom.load(write(tmp_path / "mine.jsonl", LINE, record))
    assert str(tmp_path / "mine.jsonl") in str(raised.value)
    assert "line 2" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_same_id_twice(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="line 2: the id 'mine/double' was used on line 1"):
        custom.load(write(tmp_path / "mine.jsonl", LINE, LINE))


def test_every_line_is_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", "{", LINE, "[1]", LINE | {"id": 3}, LINE | {"id": "last"})
    found = list(custom.problems_of(path))
    assert [isinstance(item, SuiteError) for _, item in found] == [True, False, True, True, False]
    assert [line for line, _ in found] == [1, 2, 3, 4, 5]
