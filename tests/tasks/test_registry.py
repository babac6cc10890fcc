"""Suites by name, and what bad names, options and files get."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from tasks.registry import SuiteError, load_suite, suite_names


def test_humaneval_needs_nothing() -> None:
    suite = load_suite("humaneval")
    assert len(suite.problems) == 164
    assert suite.digest == load_suite("humaneval").digest


def test_humaneval_takes_a_file_of_its_own_form(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text(
        '{"task_id": "HumanEval/0", "prompt": "def f():\\n", "entry_point": "f", '
        '"canonical_solution": "    return 1\\n", '
        '"test": "def check(candidate):\\n    assert candidate() == 1\\n"}\n'
    )
    (problem,) = load_suite("humaneval", path=str(path)).problems
    assert problem.reference == "def f():\n    return 1\n"


def test_gpu_is_passed_its_options() -> None:
    suite = load_suite("gpu", dtype="fp32", dialect="torch", level=1)
    assert suite.name == "gpu"
    assert {problem.public.dialect for problem in suite.problems} == {"torch"}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("humanevil", {}, "did you mean humaneval"),
        ("", {}, "there are humaneval, humaneval_plus, mbpp, custom, gpu"),
        ("mbpp", {}, r"needs suite\.path=FILE: mbpp\.jsonl"),
        ("humaneval_plus", {}, r"needs suite\.path=FILE"),
        ("custom", {}, r"tasks/README\.md"),
        ("mbpp", {"path": "x", "fixes": True}, "corrects humaneval only"),
        ("humaneval", {"dtype": "fp32"}, "belongs to the suite gpu"),
        ("humaneval", {"dialect": "cuda"}, "belongs to the suite gpu"),
        ("humaneval", {"level": 1}, "belongs to the suite gpu"),
        ("gpu", {"path": "x"}, "does not go with"),
        ("gpu", {"dtype": "fp31"}, "fp31"),
    ],
)
def test_refuses_in_one_sentence(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SuiteError, match=words) as raised:
        load_suite(name, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", [name for name in suite_names() if name != "gpu"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "holds no problem"),
        (b"\n\n", "holds no problem"),
        (b"[]", "holds no problem"),
        (b"{", "line 1: not JSON"),
        (b"3\n", "line 1: a number; a line must be one JSON object"),
        (b"[3]", "element 1: a number"),
        (b"[", "is not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (gzip.compress(b"{}")[:12], "cannot be read"),
        (b"{}\n", "line 1: `"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / "suite.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SuiteError, match=words) as raised:
        load_suite(name, path=str(path))
    assert str(path) in str(raised.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="is a folder"):
        load_suite("custom", path=str(tmp_path))


def test_fixes_for_another_version_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"task_id": "HumanEval/47", "prompt": "def median(l):\\n"}\n')
    with pytest.raises(SuiteError, match="not as published"):
        load_suite("humaneval", path=str(path), fixes=True)
