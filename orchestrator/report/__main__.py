"""``python -m orchestrator.report``: look at runs that have ended."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.core.streams import print_what_fits
from orchestrator.report.claims import terminal_claims
from orchestrator.report.compare import GATE, compare_runs, print_comparison
from orchestrator.report.errors import ReportError
from orchestrator.report.load import load_run
from orchestrator.report.page import write_report
from orchestrator.report.problem import print_problem
from orchestrator.report.table import terminal_table

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for bad input, and with ``--gate`` 1 or 3 (see ``--help``)."""
    from rich.console import Console

    print_what_fits()
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    try:
        return _run(console, options)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2


def _run(console: Console, options: argparse.Namespace) -> int:
    folders: list[Path] = options.runs
    if options.gate and len(folders) != 2:
        raise ReportError("--gate compares two runs: give A, the baseline, and B.")
    if options.cells and len(folders) != 2:
        raise ReportError("--cells names one cell of each of two runs: give A and B.")
    if options.problem and (len(folders) != 1 or options.html is not None):
        raise ReportError("--problem shows one problem of one run: give a single run folder and no --html.")
    if options.html is not None:
        out = Path(options.html) if options.html else folders[0] / "report.html"
        written = write_report(folders, out)
        console.print(f"{written} ({written.stat().st_size / 1e6:.1f} MB)", markup=False, soft_wrap=True)
        if not options.gate:
            return 0
    if len(folders) > 2:
        raise ReportError("Two runs are compared at a time; more than two go into one page with --html.")
    if options.claims and len(folders) != 1:
        raise ReportError("--claims judges one run: give a single run folder.")
    runs = [load_run(folder) for folder in folders]
    if options.problem:
        print_problem(console, runs[0], options.problem)
        return 0
    if len(runs) == 1:
        console.print(terminal_claims(runs[0]) if options.claims else terminal_table(runs[0].summary()))
        return 0
    cells = _cells(options.cells) if options.cells else None
    comparison = compare_runs(runs[0], runs[1], cells)
    print_comparison(console, comparison)
    return GATE[comparison.verdict] if options.gate else 0


def _cells(text: str) -> tuple[str, str]:
    first, comma, second = text.partition(",")
    if not comma or not first or not second or "," in second:
        raise ReportError(f"--cells takes two ids with a comma between, got {text!r}.")
    return first, second


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.report",
        description="Look at runs: RUN prints its table; A B says whether B is better or worse than A.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument(
        "--problem",
        metavar="ID",
        help="show one problem in full, e.g. HumanEval/7: prompt, replies, programs, feedback",
    )
    parser.add_argument(
        "--claims", action="store_true", help="judge the article's claims by a run, with Table 2 and its formulas"
    )
    parser.add_argument(
        "--html",
        nargs="?",
        const="",
        metavar="OUT",
        help="write one self-contained page for these runs (default: report.html in the first run's folder)",
    )
    parser.add_argument(
        "--gate",
        action="store_true",
        help="make the verdict an exit code for CI: 0 B is better or no difference is shown, 1 B is worse, 3 "
        "cannot tell (2 is bad input); needs two runs",
    )
    parser.add_argument("--cells", metavar="A,B", help="compare this cell of A with this cell of B, by their ids")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
