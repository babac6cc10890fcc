"""The four questions that a stranger has, answered in a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.comparison import ALPHA, RELEVANT, Paired
from orchestrator.core.figures import p_text
from orchestrator.core.summary import CellSummary, Summary
from orchestrator.report import words
from orchestrator.report.series import Difference, judged

__all__ = ["Answer", "answers", "difference_sentence"]


MOST = "Which system solved most?"


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, the answer in a few words, and what stands behind it."""

    question: str
    short: str
    detail: str


def answers(summary: Summary, differences: Sequence[Difference]) -> list[Answer]:
    """Which solved most, is it real, what did a solved problem cost, why did problems fail.

    Rates on different suites cannot be compared: where a run has several, the answers are about the largest.
    """
    cells = sorted(judged(summary), key=lambda c: c.pass_at_1.value if c.pass_at_1 else 0.0, reverse=True)
    if not cells:
        return [Answer(MOST, "nothing was graded", "No trial ended in a verdict.")]
    largest = max(cells, key=lambda c: c.problems)
    others = sorted({c.suite for c in cells} - {largest.suite})
    cells = [c for c in cells if c.suite == largest.suite]
    most = _most(cells[0], cells)
    if others:
        told = f"{most.detail} Of {largest.suite}; the tables have {', '.join(others)}."
        most = Answer(f"Which system solved most of {largest.suite}?", most.short, told)
    return [most, _real(cells[0], differences), _cost(cells[0], cells), _why(cells[0])]


def difference_sentence(difference: Difference) -> str:
    """One comparison in plain words, with the uncertainty."""
    paired = difference.paired
    a, b = words.named(difference.a), words.named(difference.b)
    synthetic = difference.a.synthetic or difference.b.synthetic
    size = f"{abs(paired.difference) * 100:.1f} points"
    spread = f"95% interval {words.points(paired.low)} to {words.points(paired.high)}"
    gained = len(paired.b_only)
    flips = f"better on {gained} problem{'s' * (gained != 1)}, worse on {len(paired.a_only)}"
    test = f"{paired.test} {p_text(paired.p_adjusted)}"
    if paired.p_adjusted < ALPHA and not paired.one_sided:
        word = "more" if paired.difference > 0 else "less"
        real = "no model was called, so it says nothing" if synthetic else "the difference is real"
        return f"{b} solves {size} {word} than {a} ({spread}; {flips}; {test}): {real}."
    return (
        f"{b} against {a}: {words.points(paired.difference)} points ({spread}; {flips}; {test}): {_unsure(paired)}."
    )


def _unsure(paired: Paired) -> str:
    if paired.one_sided:
        more = f"{paired.unmatched} more problems were graded for one of the two only"
        return f"cannot tell with n = {paired.problems}, since {more}"
    reach = f"{paired.problems} problems show differences from {paired.detectable * 100:.1f} points up"
    if paired.detectable <= RELEVANT:
        return f"no difference shown, and {reach}"
    return f"cannot tell with n = {paired.problems}, since {reach}"


def _most(best: CellSummary, cells: Sequence[CellSummary]) -> Answer:
    level = [c for c in cells if c.passed == best.passed and c.graded == best.graded]
    others = [f"{words.named(c)} {words.solved(c)}" for c in cells if c not in level]
    detail = f"{words.solved(best)} solved, 95% interval {words.interval(best.pass_at_1)}%."
    if best.feedback == "oracle":
        detail += " Its feedback came from the scoring tests (oracle), so this is an upper bound."
    if best.infrastructure_and_not_run:
        detail += f" Of {best.planned} planned, {best.infrastructure_and_not_run} are in no rate."
    if others:
        detail += f" Then {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}."
    return Answer(MOST, ", ".join(words.named(c) for c in level), detail)


def _real(best: CellSummary, differences: Sequence[Difference]) -> Answer:
    question = "Is the difference real?"
    own = [d for d in differences if best.id in (d.a.id, d.b.id)]
    if not own:
        return Answer(question, "nothing to compare", "It takes two systems that were graded on the same problems.")
    # The nearest rival decides whether the best one is the best.
    nearest = min(own, key=lambda d: abs(d.paired.difference))
    if nearest.a.synthetic or nearest.b.synthetic:
        short = "of a rehearsal only"
    elif nearest.paired.one_sided:
        short = f"cannot tell with n = {nearest.paired.problems}"
    elif nearest.paired.p_adjusted < ALPHA:
        short = "yes"
    elif nearest.paired.detectable <= RELEVANT:
        short = "not shown"
    else:
        short = f"cannot tell with n = {nearest.paired.problems}"
    return Answer(question, short, difference_sentence(nearest))


def _cost(best: CellSummary, cells: Sequence[CellSummary]) -> Answer:
    question = "What did a solved problem cost?"
    listed = [f"{words.dollars(c.usd_per_solved)} with {words.named(c)}" for c in cells if c.id != best.id][:3]
    detail = "API dollars over problems solved, so that failures are charged."
    if listed:
        detail = f"{', '.join(listed)}. {detail}"
    if best.model is None:
        return Answer(question, "no model was called", "Only reference programs were run.")
    return Answer(question, f"{words.dollars(best.usd_per_solved)} with {words.named(best)}", detail)


def _why(best: CellSummary) -> Answer:
    failed = best.graded - best.passed
    kinds = sorted(
        ((n, v) for v, n in best.verdicts.items() if v not in ("passed", "infrastructure", "not_run")), reverse=True
    )
    listed = ", ".join(f"{n} {verdict}" for n, verdict in kinds) or "none failed"
    detail = f"{words.named(best)}: {failed} of {best.graded} did not pass."
    detail += " Type a problem's id to read what happened."
    return Answer("Why did a problem fail?", listed, detail)
