"""Published mistakes in HumanEval's own files, and their corrections, for ``suite.fixes=true``.

Only what can be checked against the problem's own words is listed: a test that breaks a promise of its prompt, an
example in a prompt that contradicts the prompt's own rule and tests, a reference that its prompt refutes. What is
a matter of reading stays as published; so does HumanEval/163, whose tests agree with the last example of its
prompt although they are often reported as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tasks.files import Record

__all__ = ["FIXES", "Fix", "apply_fixes"]

_PULL_23 = "https://github.com/openai/human-eval/pull/23"
_EVALPLUS_12 = "https://github.com/evalplus/evalplus/issues/12"
_EVALPLUS = "the input contracts and references of EvalPlus, https://github.com/evalplus/evalplus"


@dataclass(frozen=True, slots=True)
class Fix:
    """One corrected problem."""

    task_id: str
    what: str
    """The mistake, in one sentence."""
    source: str
    """Where it was published."""
    changes: tuple[tuple[str, str, str], ...]
    """(field, published text, corrected text); the published text stands in the field exactly once."""


FIXES: Final[tuple[Fix, ...]] = (
    Fix(
        "HumanEval/47",
        "The prompt's second example gives 15.0 where the median, and the test, is 8.0.",
        _PULL_23,
        (("prompt", "    15.0\n", "    8.0\n"),),
    ),
    Fix(
        "HumanEval/75",
        "The prompt promises that the number is less than 100; six tests pass larger ones.",
        _EVALPLUS_12,
        (
            (
                "test",
                "    assert candidate(125) == True\n"
                "    assert candidate(3 * 5 * 7) == True\n"
                "    assert candidate(3 * 6 * 7) == False\n"
                "    assert candidate(9 * 9 * 9) == False\n"
                "    assert candidate(11 * 9 * 9) == False\n"
                "    assert candidate(11 * 13 * 7) == True\n",
                "    assert candidate(3 * 3 * 11) == True\n"
                "    assert candidate(2 * 6 * 7) == False\n"
                "    assert candidate(9 * 9) == False\n"
                "    assert candidate(97) == False\n",
            ),
        ),
    ),
    Fix(
        "HumanEval/95",
        "The reference stops at the second key and the tests do not notice: mixed cases after it pass.",
        _PULL_23,
        (
            (
                "canonical_solution",
                "            else:\n                break\n        return state",
                "            else:\n                continue\n        return state",
            ),
            (
                "test",
                "    # Check some edge cases that are easy to work out by hand.\n",
                "    # Check some edge cases that are easy to work out by hand.\n"
                '    assert candidate({"A":"banana", "B":"banana", "p":"pineapple"}) == False\n',
            ),
        ),
    ),
    Fix(
        "HumanEval/116",
        "The prompt promises non-negative integers and orders them by their ones; one test passes negative "
        "ones, and the examples are sorted by value.",
        _EVALPLUS_12,
        (
            (
                "prompt",
                "    >>> sort_array([1, 5, 2, 3, 4]) == [1, 2, 3, 4, 5]\n"
                "    >>> sort_array([-2, -3, -4, -5, -6]) == [-6, -5, -4, -3, -2]\n"
                "    >>> sort_array([1, 0, 2, 3, 4]) [0, 1, 2, 3, 4]\n",
                "    >>> sort_array([1, 5, 2, 3, 4]) == [1, 2, 4, 3, 5]\n"
                "    >>> sort_array([1, 0, 2, 3, 4]) == [0, 1, 2, 4, 3]\n",
            ),
            ("test", "    assert candidate([-2,-3,-4,-5,-6]) == [-4, -2, -6, -5, -3]\n", ""),
        ),
    ),
    Fix(
        "HumanEval/124",
        "`and` binds more tightly than `or` in the reference, so it refuses the 31st of every month, and the "
        "tests do not notice.",
        _EVALPLUS,
        (
            (
                "canonical_solution",
                "        if month in [1,3,5,7,8,10,12] and day < 1 or day > 31:\n",
                "        if month in [1,3,5,7,8,10,12] and (day < 1 or day > 31):\n",
            ),
            (
                "canonical_solution",
                "        if month in [4,6,9,11] and day < 1 or day > 30:\n",
                "        if month in [4,6,9,11] and (day < 1 or day > 30):\n",
            ),
            (
                "canonical_solution",
                "        if month == 2 and day < 1 or day > 29:\n",
                "        if month == 2 and (day < 1 or day > 29):\n",
            ),
            (
                "test",
                "    assert candidate('03-11-2000') == True\n",
                "    assert candidate('03-11-2000') == True\n\n    assert candidate('12-31-1999') == True\n",
            ),
        ),
    ),
    Fix(
        "HumanEval/129",
        "The prompt promises that every value from 1 to N * N appears exactly once; one test repeats 3.",
        _EVALPLUS,
        (("test", "    assert candidate([[1, 3], [3, 2]], 10) == [1, 3, 1, 3, 1, 3, 1, 3, 1, 3]\n", ""),),
    ),
)


def apply_fixes(record: Record) -> Mapping[str, Any]:
    """The record's data with its corrections, if it has any.

    Raises:
        SuiteError: if the published text is not there: then the file is another version than the fixes are for.
    """
    data = dict(record.data)
    for fix in FIXES:
        if fix.task_id != data.get("task_id"):
            continue
        for field, old, new in fix.changes:
            if str(data.get(field)).count(old) != 1:
                raise record.error(f"`{field}` is not as published, so suite.fixes=true cannot correct it")
            data[field] = data[field].replace(old, new)
    return data
