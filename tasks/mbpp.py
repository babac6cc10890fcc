"""MBPP from its published files: ``mbpp.jsonl`` or ``sanitized-mbpp.json``.

A problem says what its function does but not what it is called, so the first of its tests is part of the prompt,
as is usual with this data set; that test is also its one public example. The others are seen by nobody.
"""

from __future__ import annotations

import ast
import textwrap

from orchestrator.core.problems import Example, ExampleTests, Problem, PublicProblem, PythonTests
from tasks.files import Record, open_records
from tasks.suite import UNSETTLED, PythonSuite

__all__ = ["load"]


def load(path: str) -> PythonSuite:
    """All problems of a published file.

    Raises:
        SuiteError: for a file that is not of that form.
    """
    return PythonSuite("mbpp", tuple(_to_problem(record) for record in open_records(path)))


def _to_problem(record: Record) -> Problem:
    number = record.data.get("task_id")
    if not isinstance(number, int | str):
        raise record.error("`task_id` is missing; it must be the problem's number")
    text = record.text("text") if "text" in record.data else record.text("prompt")
    code = record.text("code").replace("\r\n", "\n")
    tests = [test.strip() for test in record.texts("test_list")]
    if not tests:
        raise record.error("`test_list` is empty; it must hold at least one assertion")
    entry_point = _entry_point(record, code, tests[0])
    setup = "\n".join([*record.texts("test_imports", []), record.text("test_setup_code", "")]).strip() + "\n"
    example = _example(tests[0])
    examples = (example,) if example is not None else ()
    name = str(number).rsplit("/", 1)[-1]
    return Problem(
        public=PublicProblem(f"MBPP/{name}", "mbpp", _prompt(text, tests[0]), entry_point, examples=examples),
        scoring=PythonTests(setup, _check(entry_point, tests)),
        feedback=ExampleTests(setup, examples),
        reference=code,
        limits=UNSETTLED,
        alternatives=(name, f"Mbpp/{name}"),
    )


def _entry_point(record: Record, code: str, test: str) -> str:
    """The function of the reference that the first test calls."""
    try:
        defined = {
            node.name
            for node in ast.parse(code).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        called = [n.id for n in ast.walk(ast.parse(test)) if isinstance(n, ast.Name) and n.id in defined]
    except SyntaxError as problem:
        raise record.error(f"the reference or its first test is not Python: {problem.msg}") from None
    if not called:
        raise record.error(f"the first test calls no function that `code` defines: {test!r}")
    return called[0]


def _prompt(text: str, test: str) -> str:
    """A docstring, so that a completion of it is a program."""
    body = f"{text.strip()}\n{test}"
    if "\\" in body:
        return 'r"""\n' + body.replace('"""', "'''") + '\n"""\n'
    return '"""\n' + body.replace('"""', "'''") + '\n"""\n'


def _example(test: str) -> Example | None:
    """``assert f(2) == 4`` as a call and its answer; other assertions as something that is true."""
    statement = ast.parse(test).body[0]
    if not isinstance(statement, ast.Assert):
        return None
    claim = statement.test
    if isinstance(claim, ast.Compare) and len(claim.ops) == 1 and isinstance(claim.ops[0], ast.Eq):
        return Example(ast.unparse(claim.left), ast.unparse(claim.comparators[0]))
    return Example(f"bool({ast.unparse(claim)})", "True")


def _check(entry_point: str, tests: list[str]) -> str:
    body = "\n".join([f"{entry_point} = candidate", *tests])
    return "def check(candidate):\n" + textwrap.indent(body, "    ") + "\n"
