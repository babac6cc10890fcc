"""New verdicts on old answers: every program that a run recorded is judged anew, and no model is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.core.systems import Outcome, System, Tools
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.scheduler import Assignment
from orchestrator.plan.folders import PLAN_FILE
from orchestrator.report.load import Run
from orchestrator.track.tables import read_rows

__all__ = ["Regrade", "RegradeError"]

TrialKey = tuple[str, str, int]

KEPT: Final = (
    "model_id",
    "turns",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "api_usd",
    "shared",
    "synthetic",
    "feedback_examples",
    "public_verdict",
)
"""What the answers cost and how they came about: it stays what it was."""


class RegradeError(Exception):
    """The recorded run cannot be judged anew. One sentence for people."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    row: Mapping[str, Any]
    first: str | None
    """Program of the first turn."""
    final: str | None
    """Program that was graded."""


class Regrade:
    """The recorded trials of one run, and what became of their verdicts."""

    def __init__(self, folder: Path) -> None:
        """Read the recorded run.

        Raises:
            RegradeError: it holds no tables (it was killed), or they cannot be read.
        """
        self._folder = folder
        try:
            recorded = Run(folder.name, folder, json.loads((folder / PLAN_FILE).read_text(encoding="utf-8")), [])
            rows = read_rows(recorded.table("results.parquet"))
            columns = ("trial", "cell", "problem", "sample", "turn", "kind", "program")
            steps = read_rows(recorded.table("steps.parquet"), columns)
        except (OSError, ValueError) as error:
            raise RegradeError(
                f"regrade={folder} holds no complete tables ({error}); finish it first with resume={folder}"
            ) from error
        programs = _programs(steps)
        self._trials = {
            key: _Recorded(row, *programs.get(key, (None, None))) for row in rows if (key := _key(row)) is not None
        }
        self.changed: list[dict[str, Any]] = []

    def system(self, assignment: Assignment) -> System:
        """What stands in for the cell's system in a trial."""
        recorded = self._trials.get((assignment.cell.id, assignment.problem.id, assignment.sample))

        async def judge(tools: Tools) -> Outcome:
            return await _judge(tools, recorded, reference=assignment.cell.system == "execute_only")

        return judge

    def columns(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A regraded trial's columns that stay as recorded; notes the verdict if it changed."""
        recorded = self._trials.get((row["cell"], row["problem"], row["sample"]))
        if recorded is None:
            return {}
        before, after = recorded.row["verdict"], row["verdict"]
        if before != after:
            trial = {name: row[name] for name in ("cell", "problem", "sample")}
            self.changed.append({**trial, "before": before, "after": after, "reason": row["reason"]})
        return {name: recorded.row.get(name) for name in KEPT}

    def finish(self, folder: Path) -> list[str]:
        """Write ``changed.json`` into the new run's folder; returns the notes for the table."""
        changed = sorted(self.changed, key=lambda c: (c["cell"], c["problem"], c["sample"]))
        (folder / "changed.json").write_text(json.dumps(changed, indent=1) + "\n", encoding="utf-8")
        notes = [f"{len(changed)} of {len(self._trials)} verdicts of {self._folder.name} changed (changed.json)"]
        notes += [
            f"{c['cell']} {c['problem']}#{c['sample']}: {c['before']} -> {c['after']}"
            + (f" ({c['reason']})" if c["reason"] else "")
            for c in changed
        ]
        return notes


async def _judge(tools: Tools, recorded: _Recorded | None, *, reference: bool) -> Outcome:
    if reference:
        return Outcome((await tools.reference()).verdict, None, "", 0, None)
    if recorded is None:
        return Outcome(Verdict.NOT_RUN, None, "the recorded run has no answer for it", 0, None)
    row = recorded.row
    turns = int(row["turns"] or 0)
    first_verdict = Verdict(row["first_turn_verdict"]) if row.get("first_turn_verdict") else None
    if first_verdict is not None and recorded.first is not None:
        first_verdict = (await tools.grade(recorded.first, 1)).verdict
    if recorded.final is None:
        # There was no program to judge (or none was reached): nothing new can be said of it.
        return Outcome(Verdict(row["verdict"]), None, str(row["reason"] or ""), turns, first_verdict)
    verdict = (await tools.grade(recorded.final, max(turns, 1))).verdict
    return Outcome(verdict, recorded.final, "", turns, first_verdict)


def _key(row: Mapping[str, Any]) -> TrialKey:
    return str(row["cell"]), str(row["problem"]), int(row["sample"])


def _programs(steps: list[dict[str, Any]]) -> dict[TrialKey, tuple[str | None, str | None]]:
    """First and final program of every trial: what its scoring steps ran, the earliest and the latest turn."""
    scored: dict[TrialKey, dict[int, str]] = {}
    first: dict[TrialKey, str | None] = {}
    for step in steps:
        (cell,) = json.loads(step["cell"])
        key = (str(cell), str(step["problem"]), int(step["sample"]))
        if step["kind"] == "scoring":
            scored.setdefault(key, {})[int(step["turn"])] = step["program"]
        elif step["kind"] == "generation" and step["turn"] == 1:
            first[key] = step["program"]
    return {
        key: (first.get(key), programs[max(programs)] if (programs := scored.get(key)) else None)
        for key in first.keys() | scored.keys()
    }
