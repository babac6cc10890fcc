"""HumanEval as the package carries it. The programs run here are the suite's own references."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from orchestrator.core.problems import ExampleTests, Problem, PythonTests
from tasks import humaneval
from tasks.fixes import FIXES
from tasks.suite import PythonSuite


@pytest.fixture(scope="module")
def suite() -> PythonSuite:
    return humaneval.load()


@pytest.fixture(scope="module")
def fixed() -> PythonSuite:
    return humaneval.load(fixes=True)


def check(problem: Problem, program: str) -> None:
    """Run a suite's own program on a suite's own tests, in this process."""
    assert isinstance(problem.scoring, PythonTests)
    own: dict[str, Any] = {}
    exec(program, own)
    trusted: dict[str, Any] = {}
    exec(problem.scoring.setup, trusted)
    exec(problem.scoring.source, trusted)
    trusted[problem.public.entry_point] = own[problem.public.entry_point]
    trusted["check"](own[problem.public.entry_point])


def failing_examples(problem: Problem) -> list[str]:
    assert isinstance(problem.feedback, ExampleTests)
    space: dict[str, Any] = {}
    exec(problem.reference, space)
    return [e.call for e in problem.feedback.examples if eval(e.call, space) != eval(e.expected, space)]


def test_all_problems_are_there_in_order(suite: PythonSuite) -> None:
    assert [problem.id for problem in suite.problems] == [f"HumanEval/{i}" for i in range(164)]
    assert suite.name == "humaneval"


def test_every_reference_passes_its_own_tests(suite: PythonSuite, fixed: PythonSuite) -> None:
    for problem in (*suite.problems, *fixed.problems):
        check(problem, problem.reference)


def test_nothing_of_the_scoring_tests_is_public(suite: PythonSuite) -> None:
    for problem in suite.problems:
        assert isinstance(problem.scoring, PythonTests)
        assert "def check(candidate" not in repr(problem.public)
        assert problem.public.prompt in problem.reference


def test_how_many_problems_have_public_examples(suite: PythonSuite) -> None:
    having = [p for p in suite.problems if p.public.examples]
    assert len(having) == 141
    assert sum(len(p.public.examples) for p in having) == 398
    sound = [p for p in having if len(failing_examples(p)) < len(p.public.examples)]
    assert len(sound) == 140


def test_which_examples_the_references_refute(suite: PythonSuite) -> None:
    refuted = {problem.id for problem in suite.problems if failing_examples(problem)}
    assert refuted == {"HumanEval/47", "HumanEval/116", "HumanEval/130", "HumanEval/148"}


def test_feedback_and_public_examples_are_the_same(suite: PythonSuite) -> None:
    for problem in suite.problems:
        assert isinstance(problem.feedback, ExampleTests)
        assert problem.feedback.examples == problem.public.examples


def test_helpers_of_the_prompt_are_there_for_the_tests(suite: PythonSuite) -> None:
    for number, helper in ((32, "poly"), (38, "encode_cyclic"), (50, "encode_shift")):
        space: dict[str, Any] = {}
        exec(suite.problems[number].feedback.setup, space)  # type: ignore[union-attr]
        assert callable(space[helper])


def test_fixes_change_exactly_the_listed_problems(suite: PythonSuite, fixed: PythonSuite) -> None:
    changed = {
        a.id
        for a, b in zip(suite.problems, fixed.problems, strict=True)
        if (a.public.prompt, a.scoring, a.reference) != (b.public.prompt, b.scoring, b.reference)
    }
    assert changed == {fix.task_id for fix in FIXES}
    assert fixed.name == "humaneval_fixed"
    assert fixed.digest != suite.digest


def test_fixed_prompts_have_no_example_that_their_reference_refutes(fixed: PythonSuite) -> None:
    for fix in FIXES:
        problem = next(p for p in fixed.problems if p.id == fix.task_id)
        assert failing_examples(problem) == []


LESS_THAN_100 = """
def is_multiply_prime(a):
    assert a < 100, "the prompt promises less than 100"
    primes = [p for p in range(2, 50) if all(p % d for d in range(2, p))]
    return any(i * j * k == a for i in primes for j in primes for k in primes)
"""
NON_NEGATIVE = """
def sort_array(arr):
    assert all(x >= 0 for x in arr), "the prompt promises non-negative integers"
    return sorted(arr, key=lambda x: (bin(x).count("1"), x))
"""
EVERY_VALUE_ONCE = """
def minPath(grid, k):
    n = len(grid)
    at = {grid[i][j]: (i, j) for i in range(n) for j in range(n)}
    assert sorted(at) == list(range(1, n * n + 1)), "the prompt promises every value once"
    i, j = at[1]
    near = min(grid[a][b] for a, b in ((i-1, j), (i+1, j), (i, j-1), (i, j+1)) if 0 <= a < n and 0 <= b < n)
    return [1 if step % 2 == 0 else near for step in range(k)]
"""


@pytest.mark.parametrize(
    ("number", "program"),
    [(75, LESS_THAN_100), (116, NON_NEGATIVE), (129, EVERY_VALUE_ONCE)],
)
def test_published_tests_refuse_programs_that_rely_on_the_prompt(
    suite: PythonSuite, fixed: PythonSuite, number: int, program: str
) -> None:
    with pytest.raises(AssertionError, match="the prompt promises"):
        check(suite.problems[number], program)
    check(fixed.problems[number], program)


@pytest.mark.parametrize("number", [95, 124])
def test_published_references_fail_the_fixed_tests(suite: PythonSuite, fixed: PythonSuite, number: int) -> None:
    check(suite.problems[number], suite.problems[number].reference)
    with pytest.raises(AssertionError):
        check(fixed.problems[number], suite.problems[number].reference)


def test_loading_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tasks.registry import load_suite; load_suite('humaneval');"
        "heavy = {'numpy', 'torch', 'ray', 'mlflow', 'anthropic', 'doctest', 'unittest'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
