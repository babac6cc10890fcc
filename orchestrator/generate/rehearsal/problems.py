"""The file of problems that the rehearsal server answers, written by the orchestrator from its suites.

One JSON object a line: ``id``, ``prompt``, ``entry_point``, ``dialect`` and either ``reference`` (a whole program
that passes) or ``references`` (one such program by dialect). The same id may stand on several lines (the same
problem in another dialect or dtype, with another prompt): the line whose prompt the conversation opens with
answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.problems import Problem

__all__ = ["ProblemBook", "RehearsalProblem", "read_problems", "write_problems"]


@dataclass(frozen=True, slots=True)
class RehearsalProblem:
    """One line of the file, in one dialect."""

    id: str
    prompt: str
    entry_point: str
    dialect: str
    reference: str


class ProblemBook:
    """The problems by id."""

    def __init__(self, problems: Iterable[RehearsalProblem]) -> None:
        self._by_id: dict[str, list[RehearsalProblem]] = {}
        for problem in problems:
            self._by_id.setdefault(problem.id, []).append(problem)

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def first_id(self) -> str:
        """The id of the first problem; empty if there is none."""
        return next(iter(self._by_id), "")

    def find(self, problem_id: str, opening: str) -> RehearsalProblem | None:
        """The problem of that id; None if there is none.

        Args:
            problem_id: the id.
            opening: system prompt and first user message. Decides between several problems of one id: the one
                whose prompt it holds, else the one whose dialect it names, else the first.
        """
        variants = self._by_id.get(problem_id, [])
        if len(variants) <= 1:
            return variants[0] if variants else None
        prompted = [variant for variant in variants if variant.prompt and variant.prompt in opening]
        named = [
            variant
            for variant in prompted or variants
            if re.search(rf"\b{re.escape(variant.dialect)}\b", opening, re.IGNORECASE)
        ]
        return (named or prompted or variants)[0]


def read_problems(path: str | Path) -> ProblemBook:
    """Read the file.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is not of the form that this module's docstring gives.
    """
    problems: list[RehearsalProblem] = []
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                problems += _read_line(line)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: not a problem ({error!r}).") from error
    return ProblemBook(problems)


def _read_line(line: str) -> list[RehearsalProblem]:
    data = json.loads(line)
    if not isinstance(data, dict):
        raise TypeError("a JSON object is needed")
    dialect = data.get("dialect", "python")
    references = data.get("references") or {dialect: data["reference"]}
    # The line's own dialect first: the first variant answers where nothing else decides.
    order = sorted(references, key=lambda name: (name != dialect, name))
    return [
        RehearsalProblem(
            id=str(data["id"]),
            prompt=str(data["prompt"]),
            entry_point=str(data["entry_point"]),
            dialect=name,
            reference=str(references[name]),
        )
        for name in order
    ]


def write_problems(path: str | Path, problems: Iterable[Problem]) -> None:
    """Write the file from a suite's problems, in their order.

    Raises:
        OSError: it cannot be written.
    """
    with Path(path).open("w", encoding="utf-8") as file:
        for problem in problems:
            line = {
                "id": problem.id,
                "prompt": problem.public.prompt,
                "entry_point": problem.public.entry_point,
                "dialect": problem.public.dialect,
                "reference": problem.reference,
            }
            file.write(json.dumps(line) + "\n")
