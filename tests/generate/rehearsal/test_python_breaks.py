"""Broken programs are really broken, in the way that they are said to be."""

from __future__ import annotations

import pytest

from orchestrator.generate.rehearsal.python_breaks import PYTHON_BREAKS, break_python, cut_python
from orchestrator.generate.rehearsal.python_source import find_entry
from tests.generate.rehearsal.parts import human_eval, passes, reference

FEW = ("HumanEval/0", "HumanEval/2", "HumanEval/53", "HumanEval/115", "HumanEval/163")


@pytest.mark.parametrize("kind", ["syntax_error", "off_by_one", "wrong_operator", "exception"])
@pytest.mark.parametrize("task_id", FEW)
def test_broken_programs_fail_their_tests(task_id: str, kind: str) -> None:
    assert passes(task_id, reference(task_id))
    broken = break_python(reference(task_id), human_eval()[task_id]["entry_point"], kind, variant=1)
    assert broken is not None
    assert not passes(task_id, broken)


@pytest.mark.slow
@pytest.mark.parametrize("variant", range(3))
@pytest.mark.parametrize("kind", ["syntax_error", "off_by_one", "wrong_operator", "exception"])
def test_every_problem_is_really_broken(kind: str, variant: int) -> None:
    survivors = []
    places = 0
    for task_id, problem in human_eval().items():
        broken = break_python(reference(task_id), problem["entry_point"], kind, variant)
        if broken is not None:
            places += 1
            if passes(task_id, broken):
                survivors.append(task_id)
    assert survivors == []
    assert places >= 130


@pytest.mark.parametrize("variant", range(2))
def test_memory_hogs_need_more_than_a_gibibyte(variant: int) -> None:
    task_id = "HumanEval/2"
    broken = break_python(reference(task_id), "truncate_number", "memory_hog", variant)
    assert broken is not None
    assert not passes(task_id, broken)


@pytest.mark.parametrize("variant", range(2))
def test_endless_loops_use_up_their_cpu_time(variant: int) -> None:
    task_id = "HumanEval/2"
    broken = break_python(reference(task_id), "truncate_number", "endless_loop", variant)
    assert broken is not None
    compile(broken, "broken", "exec")
    assert not passes(task_id, broken, cpu_s=1)


@pytest.mark.parametrize("variant", range(4))
def test_syntax_errors_do_not_parse_but_everything_else_does(variant: int) -> None:
    for task_id, problem in human_eval().items():
        for kind in PYTHON_BREAKS:
            broken = break_python(reference(task_id), problem["entry_point"], kind, variant)
            if broken is None:
                continue
            assert broken != reference(task_id)
            if kind == "syntax_error":
                with pytest.raises(SyntaxError):
                    compile(broken, task_id, "exec")
            else:
                compile(broken, task_id, "exec")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_program_that_was_cut_fails(share: float) -> None:
    for task_id in FEW:
        source = reference(task_id)
        cut = cut_python(source, human_eval()[task_id]["entry_point"], share)
        assert 0 < cut < len(source)
        assert not passes(task_id, source[:cut])


def test_what_cannot_be_broken_says_so() -> None:
    assert break_python("x = 1\n", "f", "exception", 0) is None
    assert break_python("def f(:\n", "f", "exception", 0) is None
    assert break_python("def f(x):\n    print(x)\n", "f", "off_by_one", 0) is None
    assert break_python("def f(x):\n    return x\n", "f", "wrong_operator", 0) is None


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): return x\n",
        'def f(x):\n    """Only words."""\n',
        'def f(x):\n    "Words."; return x\n',
        "def f(x):\n    @staticmethod\n    def g():\n        return 1\n    return x\n",
        "@print\ndef f(x): return x\n",
        "def f(x):\n\treturn x  # Größe\n",
        "x = 'ä'; y = 2\ndef f(x):\n    if x:\n        return 'ö'\n    return 'ü' + x\n",
    ],
)
def test_statements_go_to_the_start_of_the_body_whatever_its_layout(source: str) -> None:
    entry = find_entry(source, "f")
    assert entry is not None
    changed = entry.with_first("first = 1\nwhile first:\n    raise KeyError(first)")
    space: dict[str, object] = {}
    exec(compile(changed.replace("@print\n", ""), "changed", "exec"), space)
    function = space["f"]
    assert callable(function)
    with pytest.raises(KeyError):
        function("a")
