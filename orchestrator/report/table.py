"""The table at the end of a run, in the form of the article's Table 1, its figures beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.core.summary import CellSummary, Rate, Summary
from orchestrator.report import words

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

__all__ = ["terminal_table"]


ROOMY = 100
"""Columns of a terminal from which the tables get more space between theirs."""


def terminal_table(summary: Summary) -> RenderableType:
    """The whole result of a run for a terminal: what was solved, what it took, what it cost, and the notes.

    It fits 80 columns and takes more where there are.
    """
    return _Result(summary)


@dataclass(frozen=True)
class _Result:
    """Rendered by rich, which says how wide the terminal is."""

    summary: Summary

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.panel import Panel
        from rich.text import Text

        summary = self.summary
        if summary.synthetic:
            yield Panel(Text(words.SYNTHETIC, style="bold"), style="yellow")
        tables = [*_solved(summary), _effort(summary), _money(summary)]
        if any(cell.gpu is not None for cell in summary.cells):
            tables += _gpu(summary)
        for table in tables:
            table.padding = (0, 1, 0, 0) if options.max_width >= ROOMY else 0
            yield table
        marks = ["* synthetic: no model was called."] if summary.synthetic else []
        for sentence in (*marks, *words.notes(summary.cells), *summary.notes):
            yield Text(words.clean(sentence))


def _solved(summary: Summary) -> list[Table]:
    """What was solved; with several samples their rates, and those of turns, have a table of their own."""
    ks = sorted({k for cell in summary.cells for k in cell.pass_at_k})
    selected = sorted({k for cell in summary.cells for k in cell.selected_at_k})
    hybrid = any(cell.first_turn is not None for cell in summary.cells)
    more = (
        [f"pass@{k}" for k in ks] + [f"selected@{k}" for k in selected] + (["turn 1", "mended"] if hybrid else [])
    )
    apart = bool(ks)
    first = _table("What was solved", "solved", "pass@1", "95%", "article", *([] if apart else more), "graded")
    second = _table("By samples and turns", *more)
    for cell in summary.cells:
        values = [_rate(cell.pass_at_k.get(k)) for k in ks] + [_rate(cell.selected_at_k.get(k)) for k in selected]
        if hybrid:
            values += ["", ""] if cell.first_turn is None else [_rate(cell.first_turn), _rate(cell.repaired)]
        solved = [f"{cell.passed}/{cell.graded}", _rate(cell.pass_at_1), words.interval(cell.pass_at_1)]
        solved.append(words.claimed_rate(cell))
        first.add_row(*_who(cell), *solved, *([] if apart else values), f"{cell.graded}/{cell.planned}")
        second.add_row(*_who(cell), *values)
    return [first, second] if apart else [first]


def _effort(summary: Summary) -> Table:
    table = _table("What it took per problem", "time", "p95", "article", "memory", "max", "article")
    for cell in summary.cells:
        usual, most = words.memory(cell)
        table.add_row(
            *_who(cell),
            words.seconds(cell.execute_s_median),
            words.seconds(cell.execute_s_p95),
            words.claimed_time(cell),
            words.size(usual),
            words.size(most),
            words.claimed_memory(cell),
        )
    return table


def _money(summary: Summary) -> Table:
    table = _table("What it cost (API)", "total", "per problem", "per solved", "tokens in", "out")
    for cell in summary.cells:
        if cell.model is None:
            table.add_row(*_who(cell), *["no model"] * 3, "", "")
            continue
        spent = [words.dollars(v) for v in (cell.api_usd, cell.usd_per_problem, cell.usd_per_solved)]
        classes = (cell.input_tokens, cell.cache_read_tokens, cell.cache_write_tokens)
        known = [tokens for tokens in classes if tokens is not None]
        table.add_row(
            *_who(cell), *spent, words.count(sum(known) if known else None), words.count(cell.output_tokens)
        )
    return table


def _gpu(summary: Summary) -> list[Table]:
    fast = sorted({p for cell in summary.cells if cell.gpu for p in cell.gpu.fast_p}, key=float)
    on_card = any(cell.gpu is not None and cell.gpu.on_card for cell in summary.cells)
    whose = "the GPU reference" if on_card else "the reference on the same CPU"
    shares = _table(f"Correct and faster than p times {whose}", *[f"fast_{p}" for p in fast])
    against = (
        ("GPU reference", "failures as 0", "CPU reference") if on_card else ("reference", "failures as 0", "NumPy")
    )
    where = "Speed on the card" if on_card else "Speed on this CPU (no card was there)"
    # A geometric mean would be 0 after one failure; the other one can be the larger of the two.
    title = f"{where}, geometric mean (failures as 0: arithmetic), against the"
    speeds = _table(title, *against, "roofline", *(["per call"] if on_card else []))
    for cell in summary.cells:
        gpu = cell.gpu
        if gpu is None:
            continue
        shares.add_row(*_who(cell), *[_rate(gpu.fast_p.get(p)) for p in fast])
        speeds.add_row(
            *_who(cell),
            _times(gpu.speedup),
            _times(gpu.speedup_failures_zero),
            _times(gpu.cpu_speedup),
            words.percent(gpu.roofline_share_median),
            *([words.joules(gpu.joules_per_call_median)] if on_card else []),
        )
    return [shares, speeds]


def _table(title: str, *headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("system", no_wrap=True)
    table.add_column("model", overflow="fold")
    for heading in headings:
        style = "dim" if heading == "article" else ""
        # In a narrow terminal a number takes two lines; cut short it would be another number.
        table.add_column(heading, justify="right", style=style, overflow="fold")
    return table


def _who(cell: CellSummary) -> tuple[str, str]:
    from rich.markup import escape

    system = cell.system + (" (oracle)" if cell.feedback == "oracle" else "")
    model = " · ".join(cell.label.split(" · ")[1:]) or "-"
    model += "*" if cell.synthetic else ""
    return escape(words.clean(system)), escape(words.clean(model))


def _rate(rate: Rate | None) -> str:
    return words.percent(None if rate is None else rate.value)


def _times(value: float | None) -> str:
    return words.NA if value is None else f"{value:.2f}x"
