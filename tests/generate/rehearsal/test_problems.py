from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.core.problems import ExampleTests, Limits, Problem, PublicProblem, PythonTests
from orchestrator.generate.rehearsal.problems import read_problems, write_problems


def _problem(problem_id: str, prompt: str, reference: str) -> Problem:
    return Problem(
        public=PublicProblem(id=problem_id, suite="s", prompt=prompt, entry_point="f"),
        scoring=PythonTests("", "def check(candidate): assert candidate() == 'secret'"),
        feedback=ExampleTests("", ()),
        reference=reference,
        limits=Limits(cpu_s=2, wall_s=15),
    )


def test_what_the_orchestrator_writes_is_read_back_and_holds_no_test(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    write_problems(path, [_problem("S/1", "one\u2028", "def f(): ..."), _problem("S/0", "two", "r2")])
    assert "secret" not in path.read_text()
    book = read_problems(path)
    assert len(book) == 2
    assert book.first_id == "S/1"
    found = book.find("S/1", "")
    assert found is not None
    assert (found.prompt, found.entry_point, found.dialect) == ("one\u2028", "f", "python")
    assert found.reference == "def f(): ..."
    assert book.find("S/2", "") is None


def test_several_problems_of_one_id_are_told_apart_by_the_conversation(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    lines = [
        {"id": "gpu/a", "prompt": "in torch", "entry_point": "solve", "dialect": "torch", "reference": "T"},
        {"id": "gpu/a", "prompt": "raw kernels", "entry_point": "solve", "dialect": "cuda", "reference": "C"},
        {
            "id": "gpu/b",
            "prompt": "sum",
            "entry_point": "solve",
            "dialect": "triton",
            "references": {"cuda": "BC", "triton": "BT"},
        },
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    book = read_problems(path)

    def reference(problem_id: str, opening: str) -> str:
        found = book.find(problem_id, opening)
        assert found is not None
        return found.reference

    assert reference("gpu/a", "Please: raw kernels, quick") == "C"
    assert reference("gpu/a", "Please: in torch, not CUDA") == "T"
    assert reference("gpu/a", "nothing known") == "T"
    assert reference("gpu/b", "sum, in CUDA please") == "BC"
    assert reference("gpu/b", "sum") == "BT"


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "a"}', '{"id": 1, "prompt": "p", "reference": "r"}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "problems.jsonl"
    good = json.dumps({"id": "a", "prompt": "p", "entry_point": "f", "reference": "r"})
    path.write_text(f"{good}\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_problems(path)
