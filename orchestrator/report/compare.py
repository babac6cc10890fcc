"""One run against another: a verdict first, then what flipped, coverage and cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.core.comparison import ALPHA, Outcome, Paired, compare, correct_for_several, outcome
from orchestrator.core.figures import p_text
from orchestrator.core.rows import by_cell, natural
from orchestrator.core.summary import CellSummary
from orchestrator.report import words
from orchestrator.report.errors import ReportError
from orchestrator.report.load import Run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["GATE", "CellPair", "Comparison", "compare_runs", "print_comparison"]

GATE: dict[Outcome, int] = {"better": 0, "no difference shown": 0, "worse": 1, "cannot tell": 3}
"""Exit code of ``--gate``: a gate that could not tell does not open."""


@dataclass(frozen=True, slots=True)
class CellPair:
    """One cell of A beside the cell of B that does the same."""

    a: CellSummary
    b: CellSummary
    paired: Paired | None
    verdict: Outcome
    why: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All pairs, and what they come to: one worse cell makes B worse, and it is better where no cell is unclear."""

    a: str
    b: str
    pairs: tuple[CellPair, ...]
    verdict: Outcome
    synthetic: bool
    left_out: tuple[str, ...] = ()
    """Cells of A that have no counterpart in B and are in no verdict."""


def compare_runs(a: Run, b: Run, cells: tuple[str, str] | None = None) -> Comparison:
    """Compare run B with run A, the baseline, cell by cell.

    Cells are matched by system, model and axes; where each run has one cell that calls a model, those two are
    compared whatever they are. ``execute_only`` is left out where there is anything else to compare, since it
    grades the suite's own programs.

    Args:
        cells: ids of one cell of A and one of B to compare instead.

    Raises:
        ReportError: when no cell of A has a counterpart in B, or a named cell does not exist.
    """
    left, right = a.summary(), b.summary()
    matched = _named(left.cells, right.cells, cells) if cells else _matched(left.cells, right.cells)
    if not matched:
        raise ReportError(
            "No cell of the first run has a counterpart in the second "
            f"({_names(left.cells)} against {_names(right.cells)}); name one of each with --cells A,B."
        )
    rows_a, rows_b = by_cell(a.rows), by_cell(b.rows)
    raw = [compare(rows_a.get(x.id, ()), rows_b.get(y.id, ())) for x, y in matched]
    corrected = iter(correct_for_several([p for p in raw if p is not None]))
    pairs = tuple(
        _judge(x, y, None if p is None else next(corrected)) for (x, y), p in zip(matched, raw, strict=True)
    )
    verdicts = [pair.verdict for pair in pairs]
    # What gained in one cell is no answer for a cell that may have lost.
    order: tuple[Outcome, ...] = ("worse", "cannot tell", "better")
    verdict: Outcome = next((v for v in order if v in verdicts), "no difference shown")
    return Comparison(
        a.name,
        b.name,
        pairs,
        verdict,
        left.synthetic or right.synthetic,
        () if cells else tuple(c.id for c in _judged(left.cells) if all(c.id != x.id for x, _ in matched)),
    )


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print the verdict first, then each pair."""
    from rich.text import Text

    style = {"better": "bold green", "worse": "bold red"}.get(comparison.verdict, "bold")
    console.print(Text(comparison.verdict, style=style))
    console.print(Text(f"{words.clean(comparison.b)} against {words.clean(comparison.a)} (the baseline)"))
    if comparison.synthetic:
        console.print(Text(words.SYNTHETIC, style="yellow"))
    if comparison.left_out:
        console.print(Text(f"Not compared, without a counterpart: {words.clean(', '.join(comparison.left_out))}"))
    for pair in comparison.pairs:
        console.print()
        _print_pair(console, pair)


def _print_pair(console: Console, pair: CellPair) -> None:
    from rich.text import Text

    a, b, paired = pair.a, pair.b, pair.paired
    name = a.label if a.label == b.label else f"{b.label} against {a.label}"
    console.print(Text.assemble((words.clean(name), "bold"), f": {pair.verdict}. {words.clean(pair.why)}"))
    if paired is not None:
        _print_flips(console, "gained", paired.b_only)
        _print_flips(console, "lost", paired.a_only)
    for title, before, after in (
        ("pass@1", words.solved(a), words.solved(b)),
        ("coverage", _coverage(a), _coverage(b)),
        ("API total", words.dollars(a.api_usd), words.dollars(b.api_usd)),
        ("API per problem", words.dollars(a.usd_per_problem), words.dollars(b.usd_per_problem)),
        ("API per solved", words.dollars(a.usd_per_solved), words.dollars(b.usd_per_solved)),
        ("time, median", words.seconds(a.execute_s_median), words.seconds(b.execute_s_median)),
    ):
        console.print(Text(f"  {title:<16} {before} -> {after}"))


def _print_flips(console: Console, word: str, ids: Sequence[str]) -> None:
    from rich.text import Text

    listed = words.clean(", ".join(sorted(ids, key=natural))) if ids else "none"
    console.print(Text(f"  {word} {len(ids)}: {listed}"), soft_wrap=True)


def _judge(a: CellSummary, b: CellSummary, paired: Paired | None) -> CellPair:
    if paired is None:
        if a.suite_digest != b.suite_digest:
            why = (
                f"The runs saw different suites ({a.suite} and {b.suite}, by digest), so no problem can be paired."
            )
        else:
            why = "No problem was graded in both runs."
        return CellPair(a, b, None, "cannot tell", why)
    if a.synthetic != b.synthetic:
        return CellPair(a, b, paired, "cannot tell", "One of the two called no model (synthetic).")
    if (a.feedback == "oracle") != (b.feedback == "oracle"):
        why = "One of the two had feedback from the scoring tests (oracle), which makes it an upper bound."
        return CellPair(a, b, paired, "cannot tell", why)
    verdict = outcome(paired)
    figures = (
        f"{words.points(paired.difference)} points ({words.points(paired.low)} to {words.points(paired.high)}) on "
        f"{paired.problems} problems, {paired.test} {p_text(paired.p_adjusted)}"
    )
    if paired.one_sided:
        return CellPair(
            a, b, paired, "cannot tell", f"{figures}; {paired.unmatched} problems were graded in one run only."
        )
    if paired.p_adjusted >= ALPHA:
        figures += f"; so many problems show differences from {paired.detectable * 100:.1f} points up"
    return CellPair(a, b, paired, verdict, figures + ".")


def _matched(left: Sequence[CellSummary], right: Sequence[CellSummary]) -> list[tuple[CellSummary, CellSummary]]:
    asking = [c for c in left if c.model is not None], [c for c in right if c.model is not None]
    if all(len(side) == 1 for side in asking):
        return [(asking[0][0], asking[1][0])]
    if all(asking):
        left, right = asking
    counterpart = {_key(cell): cell for cell in right}
    return [(cell, counterpart[_key(cell)]) for cell in left if _key(cell) in counterpart]


def _judged(cells: Sequence[CellSummary]) -> Sequence[CellSummary]:
    return [c for c in cells if c.model is not None] or cells


def _named(
    left: Sequence[CellSummary], right: Sequence[CellSummary], cells: tuple[str, str]
) -> list[tuple[CellSummary, CellSummary]]:
    found = []
    for side, name in zip((left, right), cells, strict=True):
        cell = next((c for c in side if c.id == name), None)
        if cell is None:
            raise ReportError(f"There is no cell {name!r}; there are {_names(side)}.")
        found.append(cell)
    return [(found[0], found[1])]


def _key(cell: CellSummary) -> str:
    # Whether a run had the model or the system as an axis does not make its cells other ones.
    rest = {name: value for name, value in cell.axes.items() if name not in ("system", "model")}
    return json.dumps([cell.system, cell.model, rest], sort_keys=True, default=str)


def _names(cells: Sequence[CellSummary]) -> str:
    return ", ".join(cell.id for cell in cells) or "none"


def _coverage(cell: CellSummary) -> str:
    rest = f" ({cell.infrastructure_and_not_run})" if cell.infrastructure_and_not_run else ""
    return f"{cell.graded}/{cell.planned}{rest}"
