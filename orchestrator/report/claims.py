"""The article's claims in the terminal: each with its word, its reason, and Table 2 with its formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.benefit import benefit_table
from orchestrator.core.findings import findings
from orchestrator.report import words
from orchestrator.report.load import Run

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["terminal_claims"]

STYLES = {"supported": "bold green", "refuted": "bold red", "cannot tell": "bold yellow", "not measured": "dim"}


def terminal_claims(run: Run) -> RenderableType:
    """Which of the article's claims this run supports, refutes, cannot tell about or did not measure."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    summary = run.summary()
    evidence = run.evidence(summary)
    found = findings(evidence)
    counts = ", ".join(f"{sum(f.status == status for f in found)} {status}" for status in STYLES)
    parts: list[RenderableType] = [Text(f"The article's claims: {counts}", style="bold")]
    if summary.synthetic:
        parts.append(Text(words.SYNTHETIC, style="yellow"))
    for finding in found:
        # Two columns, so that what does not fit one line goes on beside its status and not below it.
        head = Table.grid()
        head.add_column(width=13)
        head.add_column(overflow="fold")
        claim = Text.assemble(words.clean(finding.subject), (f" (claimed: {finding.claimed})", "dim"))
        head.add_row(Text(finding.status, style=STYLES[finding.status]), claim)
        parts.append(head)
        parts.append(Padding(Text(words.clean(finding.sentence)), (0, 0, 0, 13)))
    parts.append(Text("\nCost and benefit (its Table 2)", style="bold"))
    for row in benefit_table(evidence):
        mark = " (synthetic)" if row.synthetic else ""
        parts.append(
            Text.assemble(
                f"{words.clean(row.system)}{mark}, {row.quantity}: ",
                (row.computed, "bold"),
                (f" (claimed: {row.claimed})", "dim"),
            )
        )
        parts.append(Padding(Text(words.clean(row.formula), style="dim"), (0, 0, 0, 13)))
    return Group(*parts)
