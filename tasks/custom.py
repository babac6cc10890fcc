"""A user's own suite: one JSON object a line, by the contract in ``tasks/README.md``."""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from orchestrator.core.problems import Example, ExampleTests, Limits, Problem, PublicProblem, PythonTests
from tasks.examples import public_examples
from tasks.files import Record, read_lines
from tasks.suite import UNSETTLED, PythonSuite, SuiteError, helpers_of

__all__ = ["FIELDS", "load", "problems_of"]

FIELDS: Final = (
    "id",
    "prompt",
    "entry_point",
    "reference",
    "tests",
    "cases",
    "atol",
    "examples",
    "setup",
    "limits",
)

_CASES = """\
import json

_cases = json.loads({cases!r})
_atol = {atol!r}


def _same(out, expected):
    if isinstance(expected, list):
        return type(out) is list and len(out) == len(expected) and all(map(_same, out, expected))
    if isinstance(expected, dict):
        return type(out) is dict and out.keys() == expected.keys() and all(_same(out[k], expected[k]) for k in out)
    if isinstance(expected, float) and isinstance(out, (int, float)) and not isinstance(out, bool):
        return out == expected or abs(out - expected) <= _atol or (out != out and expected != expected)
    return type(out) is type(expected) and out == expected


def check(candidate):
    for number, case in enumerate(_cases, 1):
        out = candidate(*case["input"], **case["keywords"])
        assert _same(out, case["output"]), f"case {{number}}"
"""


def load(path: str) -> PythonSuite:
    """The suite in a file; its name is the file's, without endings.

    Raises:
        SuiteError: for the first line that breaks the contract.
    """
    problems = []
    for _, found in problems_of(path):
        if isinstance(found, SuiteError):
            raise found
        problems.append(found)
    if not problems:
        raise SuiteError(f"{path} holds no problem; it must hold one JSON object a line")
    return PythonSuite(_name(path), tuple(problems))


def problems_of(path: str | Path) -> Iterator[tuple[int, Problem | SuiteError]]:
    """Yield, for each line that holds something, its number and its problem or what is wrong with it.

    Raises:
        SuiteError: where the file itself cannot be read.
    """
    suite = _name(path)
    seen: dict[str, int] = {}
    for count, found in enumerate(read_lines(path), 1):
        if isinstance(found, SuiteError):
            yield count, found
            continue
        try:
            problem = _to_problem(found, suite)
            if problem.id in seen:
                raise found.error(f"the id {problem.id!r} was used on line {seen[problem.id]}; ids must differ")
        except SuiteError as wrong:
            yield found.line, wrong
            continue
        seen[problem.id] = found.line
        yield found.line, problem


def _name(path: str | Path) -> str:
    return Path(path).name.split(".", 1)[0] or "custom"


def _to_problem(record: Record, suite: str) -> Problem:
    for key in record.data:
        if key not in FIELDS:
            raise record.error(f"`{key}` is not a field; the fields are {', '.join(FIELDS)}")
    entry_point = record.identifier("entry_point")
    prompt = record.text("prompt")
    if not prompt.strip():
        raise record.error("`prompt` is empty; it must say what the function does")
    reference = record.text("reference")
    _must_parse(record, "reference", reference)
    setup = record.text("setup") if "setup" in record.data else helpers_of(prompt)
    _must_parse(record, "setup", setup)
    examples = _examples(record, prompt, entry_point)
    own_id = record.text("id", str(record.line))
    return Problem(
        public=PublicProblem(f"{suite}/{own_id}", suite, prompt, entry_point, examples=examples),
        scoring=PythonTests(setup, _tests(record)),
        feedback=ExampleTests(setup, examples),
        reference=reference,
        limits=_limits(record),
        alternatives=(own_id,),
    )


def _must_parse(record: Record, key: str, source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as problem:
        line = f" on its line {problem.lineno}" if isinstance(problem, SyntaxError) and problem.lineno else ""
        raise record.error(f"`{key}` is not Python{line}: {problem.args[0] if problem.args else problem}") from None


def _tests(record: Record) -> str:
    if ("tests" in record.data) == ("cases" in record.data):
        raise record.error("a problem must have either `tests` or `cases`")
    if "tests" in record.data:
        source = record.text("tests")
        tree = _must_parse(record, "tests", source)
        if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
            raise record.error("`tests` must define `check(candidate)`")
        return source
    cases = [_case(record, number, case) for number, case in enumerate(record.items("cases"), 1)]
    if not cases:
        raise record.error("`cases` is empty; it must hold at least one pair of input and output")
    return _CASES.format(cases=json.dumps(cases), atol=record.number("atol", 0.0))


def _case(record: Record, number: int, case: Any) -> dict[str, Any]:
    if not isinstance(case, dict) or not {"input", "output"} <= case.keys() <= {"input", "keywords", "output"}:
        raise record.error(f"case {number} must be an object with `input` and `output` (and `keywords`, if any)")
    if not isinstance(case["input"], list):
        raise record.error(f"case {number}: `input` must be the list of the call's arguments")
    if not isinstance(case.get("keywords", {}), dict):
        raise record.error(f"case {number}: `keywords` must be an object of arguments by name")
    return {"input": case["input"], "keywords": case.get("keywords", {}), "output": case["output"]}


def _examples(record: Record, prompt: str, entry_point: str) -> tuple[Example, ...]:
    if "examples" not in record.data:
        return public_examples(prompt, entry_point)
    examples = []
    for number, given in enumerate(record.items("examples"), 1):
        if not isinstance(given, dict) or given.keys() != {"call", "expected"}:
            raise record.error(f"example {number} must be an object with `call` and `expected`")
        for key, value in given.items():
            if not isinstance(value, str) or not _is_expression(value):
                raise record.error(f"example {number}: `{key}` must be a Python expression")
        if not any(isinstance(n, ast.Name) and n.id == entry_point for n in ast.walk(ast.parse(given["call"]))):
            raise record.error(f"example {number}: `call` does not call `{entry_point}`")
        examples.append(Example(given["call"].strip(), given["expected"].strip()))
    return tuple(examples)


def _is_expression(source: str) -> bool:
    try:
        ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _limits(record: Record) -> Limits:
    given = record.data.get("limits", {})
    known = {field.name: field.default for field in dataclasses.fields(Limits)}
    if not isinstance(given, dict):
        raise record.error('`limits` must be an object, such as {"cpu_s": 5}')
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise record.error(f"`limits` has no `{key}`; it may hold {', '.join(known)}")
        seconds = key.endswith("_s")
        right = isinstance(value, int | float if seconds else int) and not isinstance(value, bool)
        if not right or not 0 < value < float("inf"):
            what = "a number of seconds" if seconds else "a whole number"
            raise record.error(f"`limits.{key}` is {value!r}; it must be {what} above 0")
        changes[key] = float(value) if seconds else value
    return dataclasses.replace(UNSETTLED, **changes)
