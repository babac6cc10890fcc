"""``python -m tasks.validate``, with the real executor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.validate import main

_ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "id": "good",
    "prompt": 'def double(x):\n    """Twice x.\n    >>> double(2)\n    4\n    """\n',
    "entry_point": "double",
    "reference": "def double(x):\n    return 2 * x\n",
    "cases": [{"input": [3], "output": 6}],
}


def write(path: Path, *records: Any) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_a_sound_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "mine.jsonl", GOOD, GOOD | {"id": "again"})
    assert main([path]) == 0
    assert capsys.readouterr().out == f"{path}: 2 problems, 0 wrong\n"


def test_everything_wrong_is_said_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = "def check(candidate):\n    candidate(1)\n"
    path = write(
        tmp_path / "mine.jsonl",
        GOOD,
        GOOD | {"id": "wrong reference", "reference": "def double(x):\n    return x\n"},
        GOOD | {"id": "raises", "reference": "def double(x):\n    return x / 0\n"},
        {"id": "no contract"},
        {**{k: v for k, v in GOOD.items() if k != "cases"}, "id": "tests nothing", "tests": nothing},
        GOOD | {"id": "example", "examples": [{"call": "double(1)", "expected": "3"}]},
    )
    assert main([path]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{path}: 6 problems, 5 wrong"
    expected = {
        2: ["invalid reference: wrong_answer", "case 1"],
        3: ["invalid reference: error", "ZeroDivisionError"],
        4: ["`entry_point` is missing"],
        5: ["the tests pass a function that does nothing"],
        6: ["the reference does not give double(1) == 3"],
    }
    for (number, words), line in zip(expected.items(), lines[:-1], strict=True):
        assert line.startswith(f"{path}, line {number}")
        assert all(word in line for word in words)


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.jsonl")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_an_empty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "mine.jsonl")
    assert main([path]) == 1
    assert "holds no problem" in capsys.readouterr().out


def test_a_published_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {
        "task_id": "HumanEval/900",
        "prompt": 'def third(x):\n    """ A third. """\n',
        "canonical_solution": "    return x / 3\n",
        "entry_point": "third",
        "base_input": [[3.0]],
        "plus_input": [[1]],
        "atol": 0,
    }
    path = write(tmp_path / "plus.jsonl", record)
    assert main([path, "--suite", "humaneval_plus"]) == 0
    assert "1 problem, 0 wrong" in capsys.readouterr().out


def test_an_entry_point_that_is_called_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {
        "task_id": 56,
        "prompt": "Write a function to check if a number is one less than twice its reverse.",
        "code": "def rev(n):\n    return int(str(n)[::-1])\ndef check(n):\n    return 2 * rev(n) == n + 1\n",
        "test_imports": [],
        "test_list": ["assert check(70) == False", "assert check(73) == True"],
    }
    path = write(tmp_path / "mbpp.jsonl", record)
    assert main([path, "--suite", "mbpp"]) == 0
    assert "1 problem, 0 wrong" in capsys.readouterr().out


def test_the_command(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", GOOD | {"reference": "def double(x):\n    return 0\n"})
    done = subprocess.run(
        [sys.executable, "-m", "tasks.validate", path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert done.returncode == 1
    assert "line 1 (mine/good): invalid reference" in done.stdout
    assert done.stderr == ""
