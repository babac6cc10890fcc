"""What suites of Python problems have in common."""

from __future__ import annotations

import dataclasses

from orchestrator.core.problems import ExampleTests, Problem, PublicProblem, PythonTests
from tasks.suite import UNSETTLED, PythonSuite, helpers_of

PROBLEM = Problem(
    public=PublicProblem("mine/f", "mine", "def f():\n    '''One.'''\n", "f"),
    scoring=PythonTests("", "def check(candidate):\n    assert candidate() == 1\n"),
    feedback=ExampleTests("", ()),
    reference="def f():\n    return 1\n",
    limits=UNSETTLED,
)


def test_the_digest_follows_all_that_decides_a_verdict() -> None:
    suite = PythonSuite("mine", (PROBLEM,))
    others = [
        PythonSuite("yours", (PROBLEM,)),
        PythonSuite("mine", (PROBLEM, PROBLEM)),
        PythonSuite("mine", (dataclasses.replace(PROBLEM, reference="f = lambda: 1\n"),)),
        PythonSuite("mine", (dataclasses.replace(PROBLEM, scoring=PythonTests("", "def check(c): pass\n")),)),
    ]
    assert len({suite.digest, *(other.digest for other in others)}) == 5
    assert suite.digest == PythonSuite("mine", (PROBLEM,)).digest


def test_unsettled_limits_are_settled_by_preparation() -> None:
    assert (UNSETTLED.cpu_s, UNSETTLED.wall_s) == (0.0, 0.0)


def test_helpers_of_a_prompt_can_be_executed() -> None:
    for prompt in (
        "import math\n\ndef g():\n    return math.pi\n\ndef f():\n    '''One.'''\n",
        "import math\n\ndef g():\n    return math.pi\n\ndef f():\n",
        "import math\n\ndef g():\n  return math.pi\n\ndef f():\n  '''One.'''",
    ):
        space: dict[str, object] = {}
        exec(helpers_of(prompt), space)
        assert {"math", "g", "f"} <= space.keys()


def test_prose_has_no_helpers() -> None:
    assert helpers_of("Write a function f that returns one.") == ""
