"""Makes the suite ``gpu`` for one dtype and one dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, cast

from orchestrator.core.digests import digest
from orchestrator.core.problems import Dialect, GpuTests, Limits, Problem, PublicProblem
from tasks.gpu.catalog import get, names, version
from tasks.gpu.cudf_references import CUDF, installed
from tasks.gpu.problem import DIALECTS, DTYPES, GpuProblem
from tasks.gpu.prompt import prompt_for

__all__ = ["FEEDBACK_SEEDS", "SCORING_SEEDS", "GpuSuite", "LeftOut", "load"]

SCORING_SEEDS: Final = (1009, 2003, 3001)
"""Three draws of the inputs. The seeds are public: an executor mixes them with a secret of its own."""
FEEDBACK_SEEDS: Final = (40_009, 50_021)
"""Other draws of the same kind."""

_MAX_TOKENS: Final = 4096
_LIMITS: Final = Limits(
    # Host side only, and until the program is timed: imports of kernels, compilers, launches and small calls. What
    # runs on the card is bounded by the wall clock.
    cpu_s=60.0,
    wall_s=305.0,
    # torch, cupy and a CUDA context map several GiB of host memory before any work is done.
    memory_bytes=16 << 30,
    address_space_bytes=64 << 30,
    file_bytes=1 << 30,
    open_files=4096,
    processes=1024,
)
_TRITON_CPU_S: Final = 180.0
"""A tuner compiles each of its configurations (a second at most) for several shapes. In the other dialects so much
would only let an endless loop hold a card three times as long."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A problem that the suite does not have in the asked dtype and dialect."""

    name: str
    reason: str


@dataclass(frozen=True)
class GpuSuite:
    """The suite at one dtype and dialect; an :class:`orchestrator.core.problems.Suite`."""

    problems: Sequence[Problem]
    dtype: str
    dialect: str
    left_out: tuple[LeftOut, ...] = ()
    """Problems that do not come in this dtype or dialect, and why."""
    why_empty: str = ""
    """Which keys leave no problem at all, and what would; empty where there are problems."""
    name: str = "gpu"
    max_tokens: int = _MAX_TOKENS

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the problems' digests, which cover inputs, references and tolerances."""
        return digest(self.name, [problem.digest for problem in self.problems])


def load(*, dtype: str | None = None, dialect: str | None = None, level: int | None = None) -> GpuSuite:
    """The suite in one dtype (default ``fp32``) and dialect (default ``torch``).

    ``cudf`` is a dialect of references alone: the ETL problems with a cuDF program, where cuDF is installed, for
    ``system=execute_only``. Problems that do not come in that dtype or dialect are left out and listed in
    ``left_out``; problems of other levels are not mentioned.

    Raises:
        ValueError: for a dtype, dialect or level that does not exist.
    """
    dtype = dtype or "fp32"
    dialect = dialect or "torch"
    if dtype not in DTYPES:
        raise ValueError(f"suite.dtype is {dtype!r}; must be one of {', '.join(DTYPES)}")
    if dialect not in (*DIALECTS, "cudf"):
        raise ValueError(f"suite.dialect is {dialect!r}; must be one of {', '.join(DIALECTS)}, cudf")
    if level not in (None, 1, 2, 3):
        raise ValueError(f"suite.level is {level!r}; must be 1, 2, 3 or null for all")
    problems, left_out = [], []
    asked = [problem for problem in map(get, names()) if level in (None, problem.level)]
    for problem in asked:
        name = problem.name
        if dialect == "cudf":
            reason = _why_no_cudf(problem, dtype)
            if reason:
                left_out.append(LeftOut(name, reason))
            else:
                problems.append(replace(_problem(problem, "cupy", dtype), reference=CUDF[name].lstrip("\n")))
        elif problem.supports(dialect, dtype):
            problems.append(_problem(problem, dialect, dtype))
        else:
            left_out.append(LeftOut(name, _why_not(problem, dialect, dtype)))
    empty = "" if problems else _why_empty(asked, dialect, dtype, level)
    return GpuSuite(tuple(problems), dtype, dialect, tuple(left_out), empty)


def _problem(problem: GpuProblem, dialect: str, dtype: str) -> Problem:
    marked = version(problem.name)
    return Problem(
        public=PublicProblem(
            id=f"gpu/{problem.name}",
            suite="gpu",
            prompt=prompt_for(problem, dialect, dtype),
            entry_point="solve",
            dialect=cast(Dialect, dialect),
        ),
        scoring=GpuTests("scoring", problem.name, dtype, SCORING_SEEDS, marked),
        feedback=GpuTests("feedback", problem.name, dtype, FEEDBACK_SEEDS, marked),
        reference=problem.reference(dialect, dtype),
        limits=replace(_LIMITS, cpu_s=_TRITON_CPU_S) if dialect == "triton" else _LIMITS,
    )


def _why_no_cudf(problem: GpuProblem, dtype: str) -> str:
    if problem.name not in CUDF:
        return f"comes in {', '.join(problem.dialects)}, not in cuDF"
    if not installed():
        return "comes in cuDF, which is not installed where this command runs"
    return "" if problem.supports("cupy", dtype) else _why_not(problem, "cupy", dtype)


def _why_not(problem: GpuProblem, dialect: str, dtype: str) -> str:
    if dialect not in problem.references:
        return f"comes in {', '.join(problem.dialects)}, not in {dialect}"
    if dtype not in problem.dtypes:
        return f"comes in {', '.join(problem.dtypes)}, not in {dtype}"
    return f"comes in {', '.join(_dtypes([problem], dialect))} with {dialect}, not in {dtype}"


def _dtypes(problems: Sequence[GpuProblem], dialect: str) -> list[str]:
    """The dtypes that any of the problems has in a dialect."""
    if dialect == "cudf":
        problems = [problem for problem in problems if problem.name in CUDF and installed()]
        dialect = "cupy"
    return [dtype for dtype in DTYPES if any(problem.supports(dialect, dtype) for problem in problems)]


def _why_empty(problems: Sequence[GpuProblem], dialect: str, dtype: str, level: int | None) -> str:
    if dialect == "cudf" and not installed():
        return (
            "suite.dialect=cudf needs cuDF, which is not installed where this command runs; install it there or"
            f" choose one of {', '.join(DIALECTS)}"
        )
    at = "" if level is None else f" of suite.level={level}"
    right = {
        f"{dialect} has": _dtypes(problems, dialect),
        f"{dtype} comes with": [name for name in DIALECTS if dtype in _dtypes(problems, name)],
    }
    has = "; ".join(f"{what} {', '.join(found)}" for what, found in right.items() if found)
    return f"no problem{at} comes in suite.dtype={dtype} with suite.dialect={dialect}; {has}"
