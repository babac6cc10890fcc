"""Each claim beside what was measured, with one of four words and the sentence that gives the reason.

``supported`` and ``refuted`` are said only where the measurement's uncertainty allows it; otherwise it is
``cannot tell``. What this run did not measure, or measured without a model, is ``not measured``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orchestrator.core.claims import (
    CAPABILITIES,
    TABLE_1,
    WORKLOADS,
    ClaimedSystem,
    Workload,
    is_claimed_card,
)
from orchestrator.core.comparison import ALPHA, Paired, compare, correct_for_several
from orchestrator.core.figures import in_bytes, in_seconds, in_times, p_text, percent
from orchestrator.core.rows import Row, by_problem, card_of, is_graded, is_passed, number, values_of
from orchestrator.core.statistics import median, median_interval
from orchestrator.core.summary import CellSummary, Rate, Summary

__all__ = [
    "Evidence",
    "Finding",
    "Status",
    "findings",
    "gap_finding",
    "is_claude",
    "is_humaneval",
    "rate_finding",
    "time_finding",
]

Status = Literal["supported", "refuted", "cannot tell", "not measured"]

MARGIN = 0.10
"""A rate, or a difference, supports a claimed one when its whole interval lies within 10 points of it."""
FEWEST = 6
"""Values from which a median has a 95% interval at all (``median_interval``)."""
FACTOR = 1.5
"""A time or size supports a claimed one when its whole interval lies within this factor of it."""
CLAIMED_GAP = 0.08
REHEARSAL = "this was a rehearsal and no model was called"


@dataclass(frozen=True, slots=True)
class Finding:
    """One claim and what came of it."""

    subject: str
    claimed: str
    measured: str
    status: Status
    sentence: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What claims are judged by."""

    summary: Summary
    rows: Mapping[str, Sequence[Row]]
    """Result rows by cell."""
    generation_s: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Seconds from sending to the last byte of each reply by cell, without those of the journal and of batches."""
    hardware: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields of ``HardwareConfig`` by class."""
    rates: Mapping[str, Any] = field(default_factory=dict)


def findings(evidence: Evidence) -> list[Finding]:
    """Every claim of Table 1, the workloads and the capabilities, in the article's order."""
    found: list[Finding] = []
    for row in TABLE_1:
        found.extend(_table_1_row(row, evidence))
    found.extend(_gaps(evidence))
    found.append(_headline(evidence))
    found.extend(_capabilities(evidence))
    found.extend(_workload(workload, evidence) for workload in WORKLOADS)
    return found


def rate_finding(subject: str, claimed: float, rate: Rate, counted: str) -> Finding:
    """Judge a claimed rate by a measured one.

    Args:
        counted: the measured count, e.g. ``137/164``.
    """
    measured = f"{counted} = {percent(rate.value)} ({percent(rate.low)} to {percent(rate.high)})"
    if not rate.low <= claimed <= rate.high:
        status: Status = "refuted"
        why = f"{claimed:.0%} lies outside the 95% interval"
    elif rate.low >= claimed - MARGIN and rate.high <= claimed + MARGIN:
        status, why = "supported", f"the whole 95% interval lies within {MARGIN * 100:.0f} points of {claimed:.0%}"
    else:
        status, why = "cannot tell", f"the 95% interval is too wide with n = {rate.problems}"
    return Finding(subject, f"{claimed:.0%}", measured, status, _say(status, rate.problems, f"{measured}; {why}."))


def gap_finding(subject: str, claimed: float | None, paired: Paired) -> Finding:
    """Judge the claim that B beats A: by ``claimed`` (a share), or at all where that is None."""
    points = f"{paired.difference * 100:+.1f} points ({paired.low * 100:+.1f} to {paired.high * 100:+.1f})"
    test = f"{paired.test} {p_text(paired.p_adjusted)}, {len(paired.b_only)} gained, {len(paired.a_only)} lost"
    significant = paired.p_adjusted < ALPHA
    if paired.one_sided:
        text = f"{points}, {test}; but {paired.unmatched} more problems were graded for one of the two only."
        shown = "better" if claimed is None else f"{claimed * 100:+.0f} points"
        return Finding(subject, shown, points, "cannot tell", _say("cannot tell", paired.problems, text))
    if claimed is None:
        status: Status = "cannot tell"
        if significant:
            status = "supported" if paired.difference > 0 else "refuted"
        reach = f"{paired.problems} problems show differences from {paired.detectable * 100:.1f} points up"
        text = f"{points}, {test}" + ("." if significant else f"; {reach}.")
        return Finding(subject, "better", points, status, _say(status, paired.problems, text))
    if not paired.low <= claimed <= paired.high:
        status, why = "refuted", f"{claimed * 100:+.0f} points lie outside the 95% interval"
    elif significant and paired.low >= claimed - MARGIN and paired.high <= claimed + MARGIN:
        status, why = (
            "supported",
            f"the interval leaves out 0 and lies within {MARGIN * 100:.0f} points of the claim",
        )
    elif significant:
        status, why = "cannot tell", f"the interval reaches more than {MARGIN * 100:.0f} points from the claim"
    else:
        status, why = "cannot tell", "neither 0 nor the claimed difference can be excluded"
    sentence = _say(status, paired.problems, f"{points}, {test}; {why}.")
    return Finding(subject, f"{claimed * 100:+.0f} points", points, status, sentence)


def time_finding(
    subject: str,
    claimed: float,
    values: Sequence[float],
    show: Callable[[float], str],
    setting: str | None,
    *,
    fewest: int = 1,
) -> Finding:
    """Judge a claimed median by measured values.

    Args:
        show: writes a value with its unit.
        setting: None where the measurement was made as the article's was; otherwise how it differs, and then
            the figure is shown and not judged.
        fewest: values that a verdict takes. One is enough of a fixed piece of work, whose trial is many timed
            rounds; a median over problems takes ``FEWEST``.
    """
    middle = median(values)
    if middle is None:
        return _unmeasured(subject, show(claimed), "nothing of the kind was measured in this run")
    low, high = median_interval(values)
    measured = f"{show(middle)} (median of {len(values)}; {show(low)} to {show(high)})"
    if setting is not None:
        text = f"Cannot tell: {measured}, but {setting}."
        return Finding(subject, show(claimed), measured, "cannot tell", text)
    status: Status
    if len(values) < fewest:
        status = "cannot tell"
    elif high < claimed / FACTOR or low > claimed * FACTOR:
        status = "refuted"
    elif low >= claimed / FACTOR and high <= claimed * FACTOR:
        status = "supported"
    else:
        status = "cannot tell"
    text = f"{measured}, judged within a factor of {FACTOR:g} of {show(claimed)}."
    return Finding(subject, show(claimed), measured, status, _say(status, len(values), text))


def _table_1_row(row: ClaimedSystem, evidence: Evidence) -> list[Finding]:
    cells = [c for c in evidence.summary.cells if c.system == row.system and is_humaneval(c) and c.graded]
    if not cells:
        given = [
            text
            for value, text in (
                (row.pass_at_1, f"{row.pass_at_1 or 0:.0%} pass@1"),
                (row.execute_s, f"{row.execute_s} s"),
                (row.memory_bytes, f"{(row.memory_bytes or 0) / 1e9:.1f} GB"),
            )
            if value is not None
        ]
        reason = f"this run has no graded {row.system} on HumanEval"
        return [_unmeasured(f"Table 1, {row.name}", ", ".join(given), reason)]
    found = []
    for cell in cells:
        name = f"Table 1, {row.name} ({cell.label})"
        rows = evidence.rows.get(cell.id, ())
        if row.pass_at_1 is not None and cell.pass_at_1 is not None:
            found.append(_claimed_rate(f"{name}: pass@1", row.pass_at_1, cell))
        found.extend(_claimed_effort(name, row, cell, rows))
    return found


def _claimed_effort(name: str, row: ClaimedSystem, cell: CellSummary, rows: Sequence[Row]) -> list[Finding]:
    memory = "gpu_peak_memory_bytes" if cell.gpu is not None else "peak_memory_bytes"
    graded = [row for row in rows if is_graded(row)]
    found = []
    for quantity, column, claimed, show in (
        ("execution time per problem", "execute_s", row.execute_s, in_seconds),
        ("memory", memory, row.memory_bytes, in_bytes),
    ):
        if claimed is None:
            continue
        subject = f"{name}: {quantity}"
        if cell.synthetic:
            found.append(_unmeasured(subject, show(claimed), REHEARSAL))
        else:
            # Samples of one problem are alike, so the problem is the unit.
            each = (median(values_of(group, column)) for group in by_problem(graded).values())
            values = [value for value in each if value is not None]
            found.append(time_finding(subject, claimed, values, show, _other_setting(cell), fewest=FEWEST))
    return found


def _claimed_rate(subject: str, claimed: float, cell: CellSummary) -> Finding:
    rate = cell.pass_at_1
    if rate is None or cell.synthetic:
        shown = "" if rate is None else f"; its synthetic figure is {percent(rate.value)}"
        return _unmeasured(subject, f"{claimed:.0%}", f"{REHEARSAL}{shown}")
    counted = f"{cell.passed}/{cell.graded}"
    if abs(rate.value - cell.passed / cell.graded) >= 0.0005:
        # Problems with unequal numbers of graded samples.
        counted += " passed, mean over problems"
    return _about_sonnet(rate_finding(subject, claimed, rate, counted), cell)


def _gaps(evidence: Evidence) -> list[Finding]:
    subject = "Table 1, hybrid beats Claude alone"
    pairs = [
        (a, b, paired)
        for a in evidence.summary.cells
        for b in evidence.summary.cells
        if a.system == "generate_only" and b.system == "hybrid" and _same_but_system(a, b)
        if (paired := compare(evidence.rows.get(a.id, ()), evidence.rows.get(b.id, ()))) is not None
    ]
    real = [(a, b, p) for a, b, p in pairs if not (a.synthetic or b.synthetic)]
    if not real:
        why = REHEARSAL if pairs else "it needs both systems on the same problems"
        return [_unmeasured(subject, "+8 points", why)]
    found: list[Finding] = []
    corrected = correct_for_several([p for _, _, p in real])
    for (_, b, _), paired in zip(real, corrected, strict=True):
        name = f"{subject} ({b.label})"
        made = [gap_finding(f"{name}: at all", None, paired)]
        if is_humaneval(b):
            made.append(gap_finding(f"{name}: 83% to 91%", CLAIMED_GAP, paired))
        made = [_about_sonnet(finding, b) for finding in made]
        found.extend(map(_marked_oracle, made) if b.feedback == "oracle" else made)
    return found


def _about_sonnet(finding: Finding, cell: CellSummary) -> Finding:
    """The finding, judged only where the cell's model is the one that the article speaks of."""
    if _is_sonnet(cell):
        return finding
    text = f"Cannot tell: {finding.measured}, but the claim is about Claude Sonnet and this is {cell.model}."
    return replace(finding, status="cannot tell", sentence=text)


def _marked_oracle(finding: Finding) -> Finding:
    text = finding.sentence + " Feedback came from the scoring tests (oracle), so this is an upper bound."
    return replace(finding, sentence=text)


def _headline(evidence: Evidence) -> Finding:
    """The title's claim needs a model that runs on the user's own card beside Sonnet, on the same problems.

    What looked at the scoring tests is left out: ahead of a Sonnet that did not, it shows nothing. Of several
    Sonnets (by effort, say) the one that solved most is the one to beat.
    """
    subject, claimed = 'Title: a "$500 GPU" beats Claude Sonnet', "better"
    cells = [c for c in evidence.summary.cells if c.model is not None and c.graded and not c.synthetic]
    claude = [c for c in cells if _is_sonnet(c) and c.system == "generate_only"]
    local = [c for c in cells if not is_claude(c)]
    fair = [c for c in local if c.feedback != "oracle"]
    if claude and local and not fair:
        return _unmeasured(subject, claimed, "every model on a card had feedback from the scoring tests (oracle)")
    if not claude or not local:
        why = (
            "the GPU of the article only runs programs and generates none, so there is nothing to compare; "
            "it needs an open-weights model on the card beside Claude Sonnet (sweep headline)"
        )
        return _unmeasured(subject, claimed, why)
    claude.sort(key=lambda c: c.pass_at_1.value if c.pass_at_1 is not None else 0.0, reverse=True)
    rivals = [(next((c for c in claude if c.suite_digest == b.suite_digest), claude[0]), b) for b in fair]
    pairs = [
        (a, b, paired)
        for a, b in rivals
        if (paired := compare(evidence.rows.get(a.id, ()), evidence.rows.get(b.id, ()))) is not None
    ]
    if not pairs:
        return _unmeasured(subject, claimed, "the two were graded on no problem in common")
    corrected = correct_for_several([paired for _, _, paired in pairs])
    best = max(range(len(pairs)), key=lambda i: corrected[i].difference)
    name = f"{subject} ({pairs[best][1].label} against {pairs[best][0].label})"
    finding = gap_finding(name, None, corrected[best])
    return replace(finding, sentence=finding.sentence + " Which card the model ran on is not recorded.")


def _capabilities(evidence: Evidence) -> list[Finding]:
    found = []
    hybrids = [c for c in evidence.summary.cells if c.system == "hybrid" and c.graded]
    cells = [c for c in hybrids if not c.synthetic]
    rows = [row for cell in cells for row in evidence.rows.get(cell.id, ()) if is_graded(row)]
    for claim, verdicts in CAPABILITIES:
        subject = f"The hybrid can {claim}"
        failed = [r for r in rows if r.get("first_turn_verdict") in verdicts]
        if not failed:
            why = f"no hybrid trial with a real model had a first turn that ended in {' or '.join(verdicts)}"
            if hybrids and not cells:
                why = REHEARSAL
            found.append(_unmeasured(subject, "yes", why))
            continue
        mended = sum(map(is_passed, failed))
        rest = Counter(str(r.get("verdict")) for r in failed if not is_passed(r))
        measured = f"{mended} of {len(failed)} mended"
        left = ", ".join(f"{n} {v}" for v, n in rest.most_common()) or "none"
        text = (
            f"of {len(failed)} first turns that ended in {' or '.join(verdicts)}, {mended} passed in the end "
            f"(the others: {left}). A second independent try would mend some too."
        )
        status: Status = "supported" if mended else "cannot tell"
        finding = Finding(subject, "yes", measured, status, _say(status, len(failed), text))
        oracle = any(row.get("feedback") == "oracle" for row in failed)
        found.append(_marked_oracle(finding) if oracle else finding)
    return found


def _workload(workload: Workload, evidence: Evidence) -> Finding:
    subject = f"Workload, {workload.name}"
    cells = [c for c in evidence.summary.cells if c.system == workload.system and not c.synthetic]
    rows = [
        row
        for cell in cells
        for row in evidence.rows.get(cell.id, ())
        if is_passed(row) and str(row.get("problem")).rpartition("/")[2] in workload.problems
    ]
    if not cells and any(c.system == workload.system and c.gpu is not None for c in evidence.summary.cells):
        return _unmeasured(subject, workload.claim, REHEARSAL)
    timed = [(row, v) for row in rows if (v := number(row.get("cpu_speedup"))) is not None]
    on_card = [(row, v) for row, v in timed if card_of(row) is not None]
    if not on_card:
        why = "no correct program of it was timed on a card in this run"
        if timed:
            middle = median(v for _, v in timed) or 0.0
            why = f"no card was there; on the CPU itself, torch was {in_times(middle)} as fast as NumPy"
        return _unmeasured(subject, workload.claim, why)
    values = [v for _, v in on_card]
    cards = sorted({str(card_of(row)) for row, _ in on_card})
    if workload.cpu_speedup is None:
        shown = f"{median(values) or 0.0:.3g} times the CPU version ({', '.join(cards)})"
        return Finding(subject, workload.claim, shown, "cannot tell", f"No figure is claimed; measured {shown}.")
    setting = None if all(map(is_claimed_card, cards)) else f"on {', '.join(cards)}"
    finding = time_finding(subject, workload.cpu_speedup, values, in_times, setting)
    return Finding(subject, workload.claim, finding.measured, finding.status, finding.sentence)


def _other_setting(cell: CellSummary) -> str | None:
    if cell.gpus and all(map(is_claimed_card, cell.gpus)):
        return None
    return f"on {', '.join(cell.gpus) or 'CPU (' + (cell.hardware or 'unknown') + ')'} and not on an RTX 4060"


def _same_but_system(a: CellSummary, b: CellSummary) -> bool:
    def rest(cell: CellSummary) -> dict[str, Any]:
        return {k: v for k, v in cell.axes.items() if k not in ("system", "turns")}

    return (a.suite, a.suite_digest, a.model) == (b.suite, b.suite_digest, b.model) and rest(a) == rest(b)


def is_humaneval(cell: CellSummary) -> bool:
    """Whether the cell ran the suite that the article's Table 1 is about."""
    return cell.suite.lower() == "humaneval"


def is_claude(cell: CellSummary) -> bool:
    """Whether the cell's model is one of Anthropic's."""
    return (cell.model_id or "").startswith("claude") or cell.model in ("sonnet", "opus", "haiku")


def _is_sonnet(cell: CellSummary) -> bool:
    """Whether the cell's model is of the family that the article names; Haiku and Opus are not."""
    return is_claude(cell) and "sonnet" in (cell.model_id or cell.model or "")


def _unmeasured(subject: str, claimed: str, why: str) -> Finding:
    return Finding(subject, claimed, "n/a", "not measured", f"Not measured: {why}.")


def _say(status: Status, n: int, text: str) -> str:
    word = f"Cannot tell with n = {n}" if status == "cannot tell" else status.capitalize()
    return f"{word}: {text}"
