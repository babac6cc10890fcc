"""The suites by name."""

from __future__ import annotations

import difflib
from typing import Final

from orchestrator.core.problems import Suite
from tasks.suite import SuiteError

__all__ = ["SuiteError", "load_suite", "suite_names"]

_NEEDS_PATH: Final = {
    "mbpp": "mbpp.jsonl or sanitized-mbpp.json as published with MBPP",
    "humaneval_plus": "HumanEvalPlus.jsonl.gz as published by EvalPlus",
    "custom": "a JSONL file by the contract in tasks/README.md",
}


def suite_names() -> tuple[str, ...]:
    """The names that :func:`load_suite` knows."""
    return ("humaneval", "humaneval_plus", "mbpp", "custom", "gpu")


def load_suite(
    name: str,
    *,
    path: str | None = None,
    fixes: bool = False,
    dtype: str | None = None,
    dialect: str | None = None,
    level: int | None = None,
) -> Suite:
    """Load a suite. Nothing is downloaded and no program is run.

    Args:
        name: one of :func:`suite_names`.
        path: the file; needed by all suites but ``humaneval`` (which has its own) and ``gpu`` (which has none).
        fixes: ``humaneval`` only: apply the published corrections.
        dtype: ``gpu`` only: ``fp64``, ``fp32``, ``bf16`` or ``fp16``.
        dialect: ``gpu`` only: ``torch``, ``cupy``, ``triton`` or ``cuda``; ``cudf`` for references alone.
        level: ``gpu`` only: 1, 2 or 3.

    Raises:
        SuiteError: for an unknown name, an option that the suite does not have, or a file that is not right.
    """
    if name not in suite_names():
        near = difflib.get_close_matches(name, suite_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SuiteError(f"suite {name!r} is not known; there are {', '.join(suite_names())}{hint}")
    if fixes and name != "humaneval":
        raise SuiteError(f"suite.fixes corrects humaneval only, not {name}")
    if name == "gpu":
        return _gpu(path, dtype, dialect, level)
    for key, value in (("dtype", dtype), ("dialect", dialect), ("level", level)):
        if value is not None:
            raise SuiteError(f"suite.{key} belongs to the suite gpu, not to {name}")
    if path is None and name in _NEEDS_PATH:
        raise SuiteError(f"suite {name} needs suite.path=FILE: {_NEEDS_PATH[name]}")
    return _python(name, path, fixes)


def _python(name: str, path: str | None, fixes: bool) -> Suite:
    if name == "humaneval" or path is None:
        from tasks import humaneval

        return humaneval.load(path, fixes=fixes)
    if name == "mbpp":
        from tasks import mbpp

        return mbpp.load(path)
    if name == "humaneval_plus":
        from tasks import humaneval_plus

        return humaneval_plus.load(path)
    from tasks import custom

    return custom.load(path)


def _gpu(path: str | None, dtype: str | None, dialect: str | None, level: int | None) -> Suite:
    if path is not None:
        raise SuiteError("suite.path does not go with the suite gpu, whose problems are part of the package")
    from tasks import gpu

    try:
        return gpu.load(dtype=dtype, dialect=dialect, level=level)
    except SuiteError:
        raise
    except ValueError as wrong:
        raise SuiteError(str(wrong)) from wrong
