"""What a sweep came to, in a line or two for the end of its terminal output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from orchestrator.core.benefit import BenefitRow, benefit_table
from orchestrator.core.findings import Finding, findings
from orchestrator.report import words
from orchestrator.report.charts_headline import headlines
from orchestrator.report.load import load_run

__all__ = ["claims_line", "conclusions"]

ARTICLE = "article"
"""The sweep whose purpose is to put every claim to the test."""


def conclusions(run_dir: Path | str) -> list[str]:
    """The sentence of each headline chart, and for the article's sweep how many of its claims were measured.

    Raises:
        ReportError: when the run cannot be read.
    """
    run = load_run(run_dir)
    summary = run.summary()
    evidence = run.evidence(summary)
    lines = [words.clean(made.sentence) for made in headlines(summary, evidence.rows)]
    if run.plan.get("sweep") == ARTICLE:
        lines.append(words.clean(claims_line(findings(evidence), benefit_table(evidence))))
    return lines


def claims_line(found: Sequence[Finding], benefit: Sequence[BenefitRow] = ()) -> str:
    """``N of M rows measured: x supported, y refuted, z cannot tell; not measured: ... because ...``."""
    counts = Counter(finding.status for finding in found)
    measured = len(found) - counts["not measured"]
    judged = ", ".join(f"{counts[status]} {status}" for status in ("supported", "refuted", "cannot tell"))
    line = f"{measured} of {len(found)} rows of the article measured: {judged}"
    reasons: dict[str, list[str]] = {}
    for finding in found:
        if finding.status == "not measured":
            why = finding.sentence.removeprefix("Not measured: ").rstrip(".").partition("; ")[0]
            reasons.setdefault(why, []).append(finding.subject)
    missing = [f"{_listed(subjects)} because {why}" for why, subjects in reasons.items()]
    if missing:
        line += f"; not measured: {'; '.join(missing)}"
    if benefit:
        computed = [row for row in benefit if row.computed != words.NA]
        marked = ", from synthetic replies" if any(row.synthetic for row in computed) else ""
        line += f". Table 2: {len(computed)} of {len(benefit)} figures computed{marked}"
    return line


def _listed(subjects: Sequence[str]) -> str:
    """One subject by name, several by number and kind: ``4 rows of Table 1``."""
    if len(subjects) == 1:
        return subjects[0]
    kinds = Counter(subject.partition(",")[0] if "," in subject else "its own words" for subject in subjects)
    return ", ".join(f"{count} row{'s' * (count != 1)} of {KINDS.get(kind, kind)}" for kind, count in kinds.items())


KINDS = {"Workload": "the workloads", "its own words": "what it says the hybrid can do"}
