"""MBPP in its published forms, with lines made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.problems import Example, ExampleTests, Problem, PythonTests
from tasks import mbpp
from tasks.suite import SuiteError

MBPP = {
    "text": "Write a function to add two numbers.",
    "code": "import math\r\ndef helper(a):\r\n  return a\r\ndef plus(a, b):\r\n  return helper(a) + b\r\n",
    "task_id": 2,
    "test_setup_code": "",
    "test_list": ["assert plus(1, 2) == 3", "assert set([plus(2, 3)]) == {5}", "assert not plus(0, 0)"],
    "challenge_test_list": [],
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


def test_full(tmp_path: Path) -> None:
    suite = mbpp.load(write(tmp_path / "mbpp.jsonl", MBPP))
    (problem,) = suite.problems
    assert (suite.name, problem.id, problem.public.entry_point) == ("mbpp", "MBPP/2", "plus")
    assert problem.alternatives == ("2", "Mbpp/2")
    assert problem.public.prompt == '"""\nWrite a function to add two numbers.\nassert plus(1, 2) == 3\n"""\n'
    assert problem.public.examples == (Example("plus(1, 2)", "3"),)
    check(problem, problem.reference)
    with pytest.raises(AssertionError):
        check(problem, "def plus(a, b):\n    return 3\n")


def test_shows_only_its_first_test(tmp_path: Path) -> None:
    (problem,) = mbpp.load(write(tmp_path / "mbpp.jsonl", MBPP)).problems
    assert "set(" not in repr(problem.public)
    assert "set(" not in repr(problem.feedback)


def test_sanitized_is_a_json_array(tmp_path: Path) -> None:
    record = {
        "source_file": "x",
        "task_id": 3,
        "prompt": "Write a function to halve a number.",
        "code": "def half(x):\n    return x / 2",
        "test_imports": ["import math"],
        "test_list": ["assert math.isclose(half(3), 1.5)"],
    }
    path = tmp_path / "sanitized-mbpp.json"
    path.write_text(json.dumps([record], indent=1))
    (problem,) = mbpp.load(str(path)).problems
    assert problem.public.examples == (Example("bool(math.isclose(half(3), 1.5))", "True"),)
    assert isinstance(problem.feedback, ExampleTests)
    assert "import math" in problem.feedback.setup
    check(problem, problem.reference)


def test_prompt_with_quotes_and_backslashes_is_still_python(tmp_path: Path) -> None:
    record = MBPP | {"text": 'Say """hi""" and \\x.', "test_list": ["assert plus('\\n', '') == '\\n'"]}
    (problem,) = mbpp.load(write(tmp_path / "mbpp.jsonl", record)).problems
    compile(problem.public.prompt + problem.reference, "completion.py", "exec")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test_list": []}, "at least one assertion"),
        ({"test_list": [1]}, "list of texts"),
        ({"test_list": ["assert other(1)"]}, "calls no function"),
        ({"code": "def plus(:"}, "not Python"),
        ({"code": None}, "`code` is missing"),
        ({"task_id": None}, "task_id"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = write(tmp_path / "mbpp.jsonl", MBPP, MBPP | change)
    with pytest.raises(SuiteError, match=words) as raised:
        mbpp.load(path)
    assert "line 2" in str(raised.value)
