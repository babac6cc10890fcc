"""Finds the problems: every module of ``tasks.gpu.problems`` is one, in the order of level and then of the list."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from orchestrator.core.digests import digest
from tasks.gpu import problems as _package
from tasks.gpu.problem import GpuProblem

__all__ = ["get", "names", "version"]


@cache
def _all() -> dict[str, GpuProblem]:
    found: dict[str, GpuProblem] = {}
    for module in pkgutil.iter_modules(_package.__path__):
        if module.name.startswith("_"):
            continue
        problem: GpuProblem = importlib.import_module(f"{_package.__name__}.{module.name}").PROBLEM
        if problem.name != module.name:
            raise ValueError(f"problem {problem.name!r} stands in {module.name}.py")
        found[problem.name] = problem
    return dict(sorted(found.items(), key=lambda item: (item[1].level, item[0])))


def names() -> tuple[str, ...]:
    """Names of all problems, by level, then alphabetically."""
    return tuple(_all())


def get(name: str) -> GpuProblem:
    """The problem called ``name`` (``softmax``, or ``gpu/softmax``).

    Raises:
        KeyError: if there is none.
    """
    short = name.removeprefix("gpu/")
    if short not in _all():
        raise KeyError(f"no gpu problem {short!r}; there are: {', '.join(_all())}")
    return _all()[short]


@cache
def version(name: str) -> str:
    """SHA-256 of what decides a verdict on this problem: its module and the shared parts of the suite."""
    here = Path(__file__).parent
    shared = sorted([*here.glob("problems/_*.py"), here / "draw.py", here / "problem.py", here / "launch.py"])
    sources = [path.read_text(encoding="utf-8") for path in (here / "problems" / f"{name}.py", *shared)]
    return digest(sources)
