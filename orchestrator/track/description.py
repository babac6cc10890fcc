"""What MLflow's page of a run says first: the results in a few lines of Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

from orchestrator.core.figures import percent
from orchestrator.core.summary import CellSummary, Rate, Summary

__all__ = ["TRIAL_COLUMNS", "cell_description", "sweep_description", "trials_table"]

TRIAL_COLUMNS: Final = (
    "problem", "sample", "verdict", "reason", "turns", "first_turn_verdict", "public_verdict", "execute_s",
    "wall_s", "input_tokens", "output_tokens", "api_usd", "speedup",
)  # fmt: skip
MOST_TRIALS: Final = 5_000
"""Rows of a cell's table: what MLflow's page still shows at once. All rows are in ``results.parquet``."""

SYNTHETIC: Final = "**SYNTHETIC: no model was called. These figures are a rehearsal's and say nothing of a model.**"


ENDED: Final = {
    "budget": "The budget ended this sweep",
    "interrupted": "This sweep was interrupted",
    "failed": "This sweep failed",
}
"""By a run's status, where it ended before its plan did."""


def sweep_description(summary: Summary, status: str = "done") -> str:
    """Markdown for the parent run: how it ended if not as planned, one line a cell, then the notes."""
    lines = [SYNTHETIC, ""] if summary.synthetic else []
    if status in ENDED:
        missing, planned = (sum(getattr(cell, name) for cell in summary.cells) for name in ("not_run", "planned"))
        lines += [
            f"**{ENDED[status]}: {missing} of {planned} trials were not run** (`resume=` goes on with them).",
            "",
        ]
    lines += [
        "| cell | pass@1 | 95% | graded | $ per solved | median s |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_row(cell))} |" for cell in summary.cells]
    lines += ["", *(f"- {note}" for note in summary.notes)]
    return "\n".join([*lines, "", "`report.html` under Artifacts has everything, `plots/` the main charts."])


def cell_description(cell: CellSummary) -> str:
    """Markdown for a cell's run: its rates and what its trials ended with."""
    lines = [SYNTHETIC, ""] if cell.synthetic else []
    named = {
        "pass@1": cell.pass_at_1,
        "solved at the first turn": cell.first_turn,
        "repaired of those": cell.repaired,
    }
    named |= {f"pass@{k}": rate for k, rate in cell.pass_at_k.items()}
    named |= {f"selected@{k} by public tests": rate for k, rate in cell.selected_at_k.items()}
    lines += [f"- {name}: {_rate(rate)} ({_interval(rate)})" for name, rate in named.items() if rate is not None]
    ended = ", ".join(f"{count} {verdict}" for verdict, count in sorted(cell.verdicts.items(), key=lambda v: -v[1]))
    return "\n".join([*lines, f"- {ended}"]) if ended else "\n".join(lines)


def trials_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A cell's trials as CSV, failures first: MLflow's page shows it as a table."""
    ordered = sorted(rows, key=lambda row: (row.get("verdict") == "passed", str(row["problem"]), row["sample"]))
    filled = [name for name in TRIAL_COLUMNS if any(row.get(name) is not None for row in ordered)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(filled)
    for row in ordered[:MOST_TRIALS]:
        writer.writerow([_cell_text(row.get(name)) for name in filled])
    return text.getvalue()


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(cell: CellSummary) -> list[str]:
    seconds = cell.execute_s_median
    return [
        cell.id + (" *" if cell.synthetic else ""),
        _rate(cell.pass_at_1),
        _interval(cell.pass_at_1),
        f"{cell.graded}/{cell.planned}",
        "no model"
        if cell.model is None
        else "unknown"
        if cell.usd_per_solved is None
        else f"{cell.usd_per_solved:.4f}",
        "-" if seconds is None else f"{seconds:.3g}",
    ]


def _rate(rate: Rate | None) -> str:
    return "-" if rate is None else percent(rate.value)


def _interval(rate: Rate | None) -> str:
    return "-" if rate is None else f"{percent(rate.low)} to {percent(rate.high)}"
