"""EvalPlus's HumanEval+ from its published files: inputs with a reference, or a ready-made ``test``."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from orchestrator.core.problems import ExampleTests, Problem, PublicProblem, PythonTests
from tasks import humaneval
from tasks.examples import public_examples
from tasks.files import Record, open_records
from tasks.suite import UNSETTLED, PythonSuite, helpers_of

__all__ = ["load"]

# The comparison is that of EvalPlus: equal, or within the tolerance where the answer is made of floats.
_COMPARISON = """\
import math


def _floats(value):
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _close(out, exp, atol):
    if isinstance(exp, (list, tuple)):
        return (
            type(out) is type(exp)
            and len(out) == len(exp)
            and all(_close(a, b, atol) for a, b in zip(out, exp))
        )
    if isinstance(exp, (int, float)) and isinstance(out, (int, float)):
        return out == exp or (math.isfinite(exp) and abs(out - exp) <= atol + 1e-7 * abs(exp))
    return out == exp


def _same(out, exp, atol):
    if out == exp:
        return True
    atol = atol or (1e-6 if _floats(exp) else 0)
    return bool(atol) and type(out) is type(exp) and _close(out, exp, atol)
"""

# The one problem whose answer is not unique (a zero of a polynomial) is judged by what it should satisfy.
_SOURCE = """\
import copy
import json

{comparison}

_inputs = json.loads({inputs!r})
_atol = {atol!r}
_reference = {{"__name__": "reference"}}
exec(compile({reference!r}, "reference.py", "exec"), _reference)
_expected = _reference[{entry_point!r}]


def check(candidate):
    for args in _inputs:
        out = candidate(*copy.deepcopy(args))
        {assertion}
"""

# Ready-made tests compare by numpy's allclose, which an empty list passes whatever was expected (broadcast against
# it, nothing is left to compare), and which takes any number for an empty list.
_OWN_ASSERTION = re.compile(r"^def assertion\(out, exp, atol\):", re.MULTILINE)
_ASSERTION = """

{comparison}

def assertion(out, exp, atol):
    assert _same(out, exp, atol), f"expected {{exp!r}}"
"""

_EQUAL = 'assert _same(out, _expected(*copy.deepcopy(args)), _atol), f"input {args!r}"'
_ZERO = 'assert abs(_reference["poly"](*args, out)) <= _atol, f"input {args!r}"'


def load(path: str) -> PythonSuite:
    """All problems of a published file, e.g. ``HumanEvalPlus.jsonl.gz``, plain or gzipped.

    Raises:
        SuiteError: for a file that is not of that form.
    """
    return PythonSuite("humaneval_plus", tuple(_to_problem(record) for record in open_records(path)))


def _to_problem(record: Record) -> Problem:
    if "test" in record.data and "base_input" not in record.data:
        return _ready_made(record)
    prompt = record.text("prompt")
    entry_point = record.identifier("entry_point")
    reference = prompt + record.text("canonical_solution")
    inputs = record.items("base_input") + record.items("plus_input")
    for args in inputs:
        if not isinstance(args, list):
            raise record.error("`base_input` and `plus_input` must hold a list of arguments for each call")
    setup = helpers_of(prompt)
    examples = public_examples(prompt, entry_point)
    source = _SOURCE.format(
        comparison=_COMPARISON,
        inputs=json.dumps(inputs),
        atol=record.number("atol", 0.0),
        reference=reference,
        entry_point=entry_point,
        assertion=_ZERO if entry_point == "find_zero" else _EQUAL,
    )
    return Problem(
        public=PublicProblem(record.text("task_id"), "humaneval_plus", prompt, entry_point, examples=examples),
        scoring=PythonTests(setup, source),
        feedback=ExampleTests(setup, examples),
        reference=reference,
        limits=UNSETTLED,
    )


def _ready_made(record: Record) -> Problem:
    problem = humaneval.to_problem(record, "humaneval_plus")
    source = record.text("test")
    if _OWN_ASSERTION.search(source) is None:
        return problem
    stricter = source.rstrip() + _ASSERTION.format(comparison=_COMPARISON)
    return replace(problem, scoring=PythonTests(helpers_of(problem.public.prompt), stricter))
