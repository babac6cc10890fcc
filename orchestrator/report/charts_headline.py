"""The chart behind the headline: solved problems against dollars, and the sentence that it comes to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.figures import p_text
from orchestrator.core.findings import is_claude
from orchestrator.core.headline import Budget, Strategy, equal_budget, real_difference, strategies
from orchestrator.core.rows import Row
from orchestrator.core.summary import Summary
from orchestrator.report import words
from orchestrator.report.figure import Chart, chart, log_axis, safe
from orchestrator.report.series import COLOURS

__all__ = ["SPAN", "Headline", "drawn_line", "headline_chart", "headlines"]

MOST_POINTS = 120
"""On one line: more are not seen."""
SPAN = 100
"""The axis of dollars begins at this part of what the cheapest strategy spent, if not later."""
SYMBOLS = {"single": "circle", "best": "square", "oracle": "square", "repaired": "diamond"}
DASHES = {"single": "solid", "best": "dash", "oracle": "dot", "repaired": "solid"}


@dataclass(frozen=True, slots=True)
class Headline:
    """What strategies bought on one suite, cut at the same number of dollars, and what that says."""

    suite: str
    found: tuple[Strategy, ...]
    budget: Budget
    sentence: str
    left_out: tuple[str, ...]
    """Systems that are not in it for want of a price."""
    synthetic: bool
    colours: Mapping[str, str]
    """By cell and kind."""


def headlines(summary: Summary, rows: Mapping[str, Sequence[Row]]) -> list[Headline]:
    """One for each suite on which there are two priced strategies or more, the one with most of them first."""
    by_suite: defaultdict[str, list[Strategy]] = defaultdict(list)
    for one in strategies(summary, rows):
        by_suite[one.cell.suite_digest or one.cell.suite].append(one)
    made = []
    for digest, found in by_suite.items():
        budget = equal_budget(found)
        if budget is None or sum(not one.bound for one in found) < 2:
            continue
        unpriced = tuple(
            cell.label
            for cell in summary.cells
            if cell.model is not None
            and cell.graded
            and (cell.suite_digest or cell.suite) == digest
            and not cell.usd_per_problem
        )
        synthetic = any(one.cell.synthetic for one in found)
        colours = {_key(one): COLOURS[i % len(COLOURS)] for i, one in enumerate(_coloured(found))}
        made.append(
            Headline(
                found[0].cell.suite,
                tuple(found),
                budget,
                _sentence(found, budget, synthetic),
                unpriced,
                synthetic,
                {_key(one): colours[_key(_parent(one, found))] for one in found},
            )
        )
    return sorted(made, key=lambda h: -len(h.found))


def headline_chart(headline: Headline, number: int = 1) -> Chart:
    """The lines of all strategies up to the equal budget, with a marker where each of them ends.

    ``number``: of the chart, where a page has several.
    """
    data: list[dict[str, Any]] = []
    budget = headline.budget
    starts: list[float] = []
    ends: list[float] = []
    for one in headline.found:
        kept = drawn_line(one, budget)
        if not kept:
            continue
        kind = one.kind.split()[0]
        starts.append(kept[0][0])
        ends.append(kept[-1][0])
        colour = headline.colours[_key(one)]
        name = safe(one.label) + (" (upper bound)" if one.bound else "")
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [float(f"{usd:.4g}") for usd, _ in kept],
                "y": [round(solved, 2) for _, solved in kept],
                "line": {"color": colour, "width": 1.5 if one.bound else 2.5, "dash": DASHES[kind]},
                "marker": {
                    # Only the end of a line is marked: there stands what its dollars came to.
                    "size": [0] * (len(kept) - 1) + [13],
                    "color": colour,
                    "symbol": SYMBOLS[kind] + ("-open" if one.bound else ""),
                    "line": {"width": 2 if one.bound else 0, "color": colour},
                },
                "hovertemplate": f"{name}: %{{y:.1f}} solved for $%{{x:.3g}}<extra></extra>",
            }
        )
    # The first problems of a suite cost next to nothing; the axis leaves out what nobody could read.
    span = [max(min(starts), min(ends) / SPAN), max(ends)]
    cut = (
        f"The lines are cut at {words.dollars(budget.usd)} each, {budget.why}."
        if budget.cut
        else f"Up to {words.dollars(budget.usd)} each: {budget.why}."
    )
    left = f" Not drawn for want of a price: {', '.join(headline.left_out)}." if headline.left_out else ""
    if lost := headline.found[0].lost:
        left += f" {lost} problem{'s' * (lost != 1)} left out for all, since our own failures took it from one."
    return chart(
        "headline" if number == 1 else f"headline-{number}",
        f"Solved problems against dollars ({headline.suite})",
        "Each line goes through the same problems in the same order and pays what its own replies cost, on a log "
        f"scale; its marker is where it ended.{_kinds(headline)} {cut}{left}",
        data,
        {
            "height": 440,
            "xaxis": log_axis(span, words.dollar_tick, title={"text": "dollars spent"}),
            "yaxis": {"rangemode": "tozero", "title": {"text": "problems solved"}},
            "showlegend": True,
        },
        synthetic=headline.synthetic,
    )


def _kinds(headline: Headline) -> str:
    """What the markers that are there mean."""
    said = {
        "best": " Square: the best of k tries, chosen by public tests.",
        "repaired": " Diamond: what failed went back to the model.",
    }
    kinds = {one.kind.split()[0] for one in headline.found}
    hollow = " Hollow: the scoring tests chose, an upper bound that nobody can buy."
    return "".join(said[kind] for kind in said if kind in kinds) + hollow * any(o.bound for o in headline.found)


def drawn_line(one: Strategy, budget: Budget) -> list[tuple[float, float]]:
    """A strategy's (dollars, problems solved) up to the budget, thinned, both ends kept; empty of nothing."""
    count = len(one.within(budget.usd))
    line = one.line()[:count]
    stride = max(1, -(-count // MOST_POINTS))
    return [*line[:-1:stride], line[-1]] if line else []


def _sentence(found: Sequence[Strategy], budget: Budget, synthetic: bool) -> str:
    """Who solved most for the same dollars, against whom, and whether that is real."""
    real = sorted((one for one in found if not one.bound), key=lambda one: -one.solved(budget.usd))
    best = real[0]
    rivals = [one for one in real[1:] if is_claude(one.cell) != is_claude(best.cell)]
    rival = rivals[0] if rivals else real[1]
    planned = max(len(one.bought) for one in found)
    p, shown = real_difference(rival, best, budget.usd, compared=len(real) - 1)
    most, less = _problems(best.solved(budget.usd)), _problems(rival.solved(budget.usd))
    if most == less:
        what = f"{best.label} and {rival.label} solved as many: {most} of {planned} problems"
    else:
        after = "the best of the other kind of model" if rivals else "next"
        what = f"{best.label} solved most: {most} of {planned} problems; {after}, {rival.label}, solved {less}"
    text = f"With {words.dollars(budget.usd)} each, {what}"
    if synthetic:
        return f"{text}. No model was called, so this answers nothing yet."
    said = "the difference is real" if shown else f"the difference is not shown to be real with n = {planned}"
    return f"{text} ({p_text(p)}): {said}."


def _problems(solved: float) -> str:
    """Problems to a tenth: of several samples a problem only some may pass, and 59.7 of 60 are not all."""
    return f"{solved:.1f}".removesuffix(".0")


def _coloured(found: Sequence[Strategy]) -> list[Strategy]:
    """Strategies that have a colour of their own: the oracle takes that of the tries it chooses among."""
    return [one for one in found if one.kind.split()[0] != "oracle"]


def _parent(one: Strategy, found: Sequence[Strategy]) -> Strategy:
    if one.kind.split()[0] != "oracle":
        return one
    own = [other for other in _coloured(found) if other.cell.id == one.cell.id]
    return own[-1]


def _key(one: Strategy) -> str:
    return f"{one.cell.id} {one.kind}"
