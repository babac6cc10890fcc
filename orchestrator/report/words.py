"""Figures as text: one way to write a rate, a time, a size or a sum, everywhere."""

from __future__ import annotations

import math
import unicodedata

from orchestrator.core import figures
from orchestrator.core.claims import ClaimedSystem, claimed_system
from orchestrator.core.findings import is_humaneval
from orchestrator.core.summary import CellSummary, Rate

__all__ = [
    "NA",
    "SYNTHETIC",
    "calls",
    "claimed_memory",
    "claimed_rate",
    "claimed_time",
    "clean",
    "count",
    "dollar_tick",
    "dollars",
    "interval",
    "memory",
    "named",
    "notes",
    "percent",
    "points",
    "rate",
    "seconds",
    "size",
    "solved",
]

NA = "n/a"
SYNTHETIC = "SYNTHETIC: no model was called; these pass rates and dollars are a rehearsal's, not a result."


def percent(value: float | None) -> str:
    """``84.1%``."""
    return NA if value is None else figures.percent(value)


def points(value: float) -> str:
    """A difference of rates: ``+6.1``."""
    return f"{value * 100:+.1f}"


def interval(rate: Rate | None) -> str:
    """``77.8-88.9``, in percent."""
    if rate is None:
        return NA
    high = "100" if rate.high == 1 else percent(rate.high).rstrip("%")
    return f"{percent(rate.low).rstrip('%')}-{high}"


def solved(cell: CellSummary) -> str:
    """``138/164 84.1%``; over tries where a problem has several samples."""
    if cell.pass_at_1 is None:
        return NA
    return f"{cell.passed}/{cell.graded} {percent(cell.pass_at_1.value)}"


def named(cell: CellSummary) -> str:
    """The cell's label, marked where its feedback came from the scoring tests."""
    return cell.label + (" (oracle)" if cell.feedback == "oracle" else "")


def seconds(value: float | None) -> str:
    """Three digits with the unit that reads best."""
    if value is None:
        return NA
    if value < 1e-3:
        return f"{value * 1e6:.3g} us"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:,.1f} min" if value < 7200 else f"{value / 3600:,.1f} h"


def size(value: float | None) -> str:
    """Bytes in decimal units, as the article's."""
    if value is None:
        return NA
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f} B"


def joules(value: float | None) -> str:
    """Three digits with the unit that reads best: ``36.2 mJ``; what has no value was not measured."""
    if value is None:
        return "not measured"
    for unit, scale in (("J", 1.0), ("mJ", 1e-3)):
        if value >= scale:
            return f"{value / scale:,.3g} {unit}" if value < 1000 else f"{value:,.0f} J"
    return f"{value * 1e6:.3g} uJ"


def dollars(value: float | None) -> str:
    """Enough digits to tell small sums apart; unknown is ``n/a`` and never 0."""
    if value is None:
        return NA
    if value == 0:
        return "$0"
    if abs(value) >= 100:
        return f"${value:,.0f}"
    if abs(value) >= 1:
        return f"${value:,.2f}"
    if abs(value) >= 0.001:
        return f"${value:.4f}"
    # Two digits in plain notation, however small.
    return f"${value:.{1 - math.floor(math.log10(abs(value)))}f}"


def rate(value: float, unit: str) -> str:
    """A rate with the prefix that reads best: ``4.1 TB/s``."""
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def dollar_tick(value: float) -> str:
    """A round sum on an axis: ``$0.02``."""
    return f"${value:,.0f}" if value >= 1 and value == round(value) else f"${value:.6f}".rstrip("0")


def count(value: int | None) -> str:
    """With thousands separated."""
    return NA if value is None else f"{value:,}"


def calls(value: float) -> str:
    """Whole calls, of which it takes one at least: ``1 call`` for 0.3."""
    whole = max(1, math.ceil(value))
    return f"{whole:,} call{'s' * (whole > 1)}"


def memory(cell: CellSummary) -> tuple[float | None, float | None]:
    """Median and largest peak memory of the cell's trials: on the card where that was measured."""
    if cell.gpu is not None and cell.gpu.peak_memory_bytes is not None:
        return cell.gpu.peak_memory_bytes_median, cell.gpu.peak_memory_bytes
    return cell.peak_memory_bytes_median, cell.peak_memory_bytes


def claimed_rate(cell: CellSummary) -> str:
    """The article's pass@1 for the cell's system; ``none`` where it gives none."""
    row = _claimed(cell)
    return "none" if row is None or row.pass_at_1 is None else f"{row.pass_at_1:.0%}"


def claimed_time(cell: CellSummary) -> str:
    """The article's execution time per problem for the cell's system."""
    row = _claimed(cell)
    return "none" if row is None or row.execute_s is None else f"{row.execute_s:g} s"


def claimed_memory(cell: CellSummary) -> str:
    """The article's memory for the cell's system."""
    row = _claimed(cell)
    return "none" if row is None or row.memory_bytes is None else f"{row.memory_bytes / 1e9:.1f} GB"


def _claimed(cell: CellSummary) -> ClaimedSystem | None:
    # Its Table 1 is about HumanEval; beside another suite its figures would mislead.
    return claimed_system(cell.system) if is_humaneval(cell) else None


def notes(cells: tuple[CellSummary, ...]) -> list[str]:
    """Sentences that must stand under any table of these cells."""
    found = []
    for cell in cells:
        if cell.infrastructure_and_not_run:
            found.append(f"{cell.label}: {cell.infrastructure_and_not_run} of {cell.planned} planned, in no rate.")
        found += _of_fewer(cell)
        if cell.feedback == "oracle":
            found.append(f"{cell.label}: feedback from the scoring tests (oracle), an upper bound.")
        if cell.without_examples:
            without = figures.percent(cell.without_examples, 0)
            found.append(
                f"{cell.label}: {without} of problems have no public example, so feedback there "
                "is load errors only."
            )
    if any(cell.shared for cell in cells):
        found.append(
            "Replies that several systems asked for were bought once and are charged in full to each (shared)."
        )
    if any(cell.model is not None and cell.api_usd is None and cell.graded for cell in cells):
        found.append("n/a in dollars: a reply had no known price.")
    return found


def _of_fewer(cell: CellSummary) -> list[str]:
    """Where a rate is over fewer problems than pass@1, or pass@1 is no quotient of the counts beside it."""
    found = []
    for name, rates in (("pass", cell.pass_at_k), ("selected", cell.selected_at_k)):
        for k, one in rates.items():
            if one.problems < cell.problems:
                of = f"{one.problems} of {cell.problems} problems with {k} graded samples"
                found.append(f"{cell.label}: {name}@{k} is over the {of}.")
    if cell.pass_at_1 is not None and abs(cell.pass_at_1.value - cell.passed / cell.graded) >= 0.0005:
        found.append(
            f"{cell.label}: pass@1 is the mean over problems, which have unequal numbers of graded samples; it is "
            f"not {cell.passed}/{cell.graded}."
        )
    return found


def clean(text: str) -> str:
    """Text from a model or program, made safe for a terminal: control characters become visible pictures."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in "\n\t":
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    # Cf holds the characters that reorder or hide text; Zl and Zp break lines without looking like it.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return f"\\u{code:04x}"
    return character
