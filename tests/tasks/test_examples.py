"""Public examples: what is read out of prompts, and what is left alone."""

from __future__ import annotations

import pytest

from orchestrator.core.problems import Example
from tasks.examples import public_examples


def stub(docstring: str) -> str:
    return f'def f(x, y=0):\n    """{docstring}\n    """\n'


READ = {
    "session": ("\n    >>> f(2)\n    4\n", [("f(2)", "4")]),
    "two sessions": ("\n    >>> f(1)\n    2\n    >>> f(2)\n    'b'", [("f(1)", "2"), ("f(2)", "'b'")]),
    "session with a remark": ("\n    >>> f(2)  # twice\n    4", [("f(2)", "4")]),
    "session over lines": ("\n    >>> f(\n    ...   2)\n    4", [("f(2)", "4")]),
    "session around the call": ("\n    >>> round(f(2), 1)\n    4.0", [("round(f(2), 1)", "4.0")]),
    "session that compares": ("\n    >>> f(2) == 4", [("f(2)", "4")]),
    "answer over lines": ("\n    >>> f(2)\n    [1,\n     2]", [("f(2)", "[1, 2]")]),
    "sessions before lines": ("\n    f(1) == 1\n    >>> f(2)\n    4", [("f(2)", "4")]),
    "equals": ("\n    f(2) == 4", [("f(2)", "4")]),
    "one equals sign": ("\n    f(2) = 4", [("f(2)", "4")]),
    "arrow": ("\n    f(2) => 4", [("f(2)", "4")]),
    "long arrow": ("\n    f(2) ==> 4", [("f(2)", "4")]),
    "arrow without spaces": ("\n    f(2)==>4", [("f(2)", "4")]),
    "thin arrow": ("\n    f(2) -> 4", [("f(2)", "4")]),
    "drawn arrow": ("\n    f(2) ➞ 4 ", [("f(2)", "4")]),
    "returns": ("\n    f(2) returns 'a'", [("f(2)", "'a'")]),
    "should return, with a full stop": ("\n    f(2) should return 16.", [("f(2)", "16")]),
    "remark arrow": ("\n    f(2)   # returns 'db'", [("f(2)", "'db'")]),
    "remark after": ("\n    f(2) => 'No' (it is not)", [("f(2)", "'No'")]),
    "hash after": ("\n    f(2) == [1, 5] # sorted", [("f(2)", "[1, 5]")]),
    "bullet": ("\n    * f(2) => []", [("f(2)", "[]")]),
    "for before": ("\n    for f(2) == 4", [("f(2)", "4")]),
    "lower-case truth": ("\n    f(2) => true\n    f(3) => false.", [("f(2)", "True"), ("f(3)", "False")]),
    "chain of sums": ("\n    f(2) -> 19 - 5 - 6 = 8", [("f(2)", "8")]),
    "call over lines": ("\n    f([\n      1,\n      2\n    ], 1) == []", [("f([1, 2], 1)", "[]")]),
    "bracket in a string": ("\n    f(')(') == 'No'", [("f(')(')", "'No'")]),
    "keyword argument": ("\n    f(2, y=3) == {1: 2}", [("f(2, y=3)", "{1: 2}")]),
    "repeated": ("\n    f(2) == 4\n    f(2) == 4", [("f(2)", "4")]),
}


@pytest.mark.parametrize(("docstring", "expected"), READ.values(), ids=READ.keys())
def test_reads(docstring: str, expected: list[tuple[str, str]]) -> None:
    assert public_examples(stub(docstring), "f") == tuple(Example(*pair) for pair in expected)


LEFT = {
    "nothing": "\n    Doubles x.",
    "other function": "\n    g(2) == 4\n    self.f(2) == 4\n    xf(2) == 4",
    "names as arguments": "\n    f(a) => True\n    f(xs) == 3",
    "answer in words": "\n    f(2) returns the double",
    "answer is no literal": "\n    f(2) == other(3)",
    "unbalanced": "\n    f(2 == 4",
    "quote too many": "\n    f(2) == ''a'",
    "call without an answer": "\n    f(2)",
    "session without an answer": "\n    >>> f(2)",
    "session that raises": "\n    >>> f(2)\n    Traceback (most recent call last):\n    ValueError",
    "statement": "\n    >>> x = f(2)\n    >>> x\n    4",
    "words after the literal": "\n    f(2) == 4 or so",
}


@pytest.mark.parametrize("docstring", LEFT.values(), ids=LEFT.keys())
def test_leaves_alone(docstring: str) -> None:
    assert public_examples(stub(docstring), "f") == ()


def test_prose_prompts_are_read_too() -> None:
    assert public_examples("Write f.\nf(2) == 4\n", "f") == (Example("f(2)", "4"),)


def test_only_the_entry_points_docstring_counts() -> None:
    prompt = 'def g(x):\n    """\n    >>> f(1)\n    1\n    """\n    return x\n\n' + stub("\n    >>> f(2)\n    4")
    assert public_examples(prompt, "f") == (Example("f(2)", "4"),)
