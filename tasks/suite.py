"""What every suite of Python problems is made of."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from orchestrator.core.digests import digest
from orchestrator.core.problems import Limits, Problem

__all__ = ["MAX_TOKENS", "UNSETTLED", "PythonSuite", "SuiteError", "helpers_of"]

MAX_TOKENS: Final = 4096
"""Default cap on a reply: about ten times the longest reference of HumanEval, so that worst cases stay cheap."""

UNSETTLED: Final = Limits(cpu_s=0.0, wall_s=0.0)
"""Zero seconds mean: settle by preparation, from what the reference takes."""


class SuiteError(ValueError):
    """A suite that cannot be loaded, in one sentence that names the file, the line and what would be right."""


@dataclass(frozen=True)
class PythonSuite:
    """A set of problems whose tests are Python; an :class:`orchestrator.core.problems.Suite`."""

    name: str
    problems: Sequence[Problem]
    max_tokens: int = MAX_TOKENS

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the problems' digests: two runs with the same digest saw the same suite."""
        return digest(self.name, [problem.digest for problem in self.problems])


def helpers_of(prompt: str) -> str:
    """The prompt as trusted source that can be executed; a stub without so much as a docstring gets ``pass``.

    A prompt that is prose, not Python, has no helpers: then the result is empty.
    """
    for source in (prompt, prompt.rstrip() + "\n    pass\n"):
        try:
            ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        return source
    return ""
