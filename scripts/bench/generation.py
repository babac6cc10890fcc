"""Buying replies from the rehearsal server: at the account's limits, without limits, with faults, through crashes.

    python -m scripts.bench.generation [--parts limits throughput faults makespan] [--full] [--out FILE]

Without arguments it takes under 15 minutes. ``--full`` adds the plain SDK at fixed concurrency, 5,000 in flight,
sizes of run (``--sizes``), 20 kills of each kind and of the whole command, and a longer makespan; its parts can be
run one by one. The server is a process of its own; journal and ledger are real. ``--out`` keeps the figures
and tables of every part as JSON, those of other parts that stand there already included, and the tables beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.bench._report import print_report
from scripts.bench.generation_parts import commands, faults, limits, makespan, throughput
from scripts.bench.generation_parts.common import problems_file, start_ray
from scripts.bench.generation_parts.ordeals import Outcome

__all__ = ["main"]

PARTS = ("limits", "throughput", "faults", "makespan")
FULL_PARTS = ("many", "sizes", "commands")
"""Run with ``--full``, or when they are named."""
_SHARES = ("requests", "input", "output")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts that were asked for and print one report each, then the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=(*PARTS, *FULL_PARTS))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--window", type=float, default=120.0, help="seconds measured at the limits")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="requests in a run")
    parser.add_argument("--kills", type=int, help="of each kind; 4, and 20 with --full or of the whole command")
    parser.add_argument("--out", type=Path, help="JSON file that takes figures and tables")
    options = parser.parse_args(argv)
    parts = options.parts or (*PARTS, *(FULL_PARTS if options.full else ()))
    report = _Report(options.out)
    start_ray()
    with tempfile.TemporaryDirectory() as scratch:
        problems = problems_file(Path(scratch))
        if "limits" in parts:
            _limits(report, problems, options.window, full=options.full)
        if "throughput" in parts:
            grid = [(actors, in_flight) for in_flight in (100, 1000) for actors in (1, 2, 4)]
            _throughput(report, problems, "replies of 0.5 s without limits", grid, 10.0)
        if "many" in parts:
            _throughput(report, problems, "5,000 in flight, replies of 0.5 s without limits", [(25, 5000)], 30.0)
        if "sizes" in parts:
            _sizes(report, problems, options.sizes)
        if "faults" in parts:
            _faults(report, problems, options.kills or (20 if options.full else 4))
        if "makespan" in parts:
            _makespan(report, full=options.full)
    if "commands" in parts:
        _commands(report, options.kills or 20)
    print(json.dumps(report.figures, sort_keys=True))


class _Report:
    """Prints each table as it is known, and keeps it."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self.figures: dict[str, object] = {}

    def table(
        self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]], figures: dict[str, object]
    ) -> None:
        """One part's result."""
        print_report(title, header, rows, figures)
        self.figures |= figures
        if self._out is None:
            return
        kept: dict[str, Any] = json.loads(self._out.read_text(encoding="utf-8")) if self._out.exists() else {}
        tables = kept.pop("tables", {})
        when = datetime.now(UTC).date().isoformat()
        tables[title] = {"header": list(header), "rows": [list(row) for row in rows], "date": when}
        kept |= {**figures, "cores": os.cpu_count(), "tables": tables}
        self._out.write_text(json.dumps(kept, indent=1, default=float) + "\n", encoding="utf-8")
        pages = [_markdown(name, table) for name, table in tables.items()]
        self._out.with_suffix(".md").write_text("\n".join(pages), encoding="utf-8")


def _markdown(title: str, table: dict[str, Any]) -> str:
    cells = [table["header"], ["---"] * len(table["header"]), *table["rows"]]
    lines = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in cells]
    return "\n".join((f"{title[0].upper()}{title[1:]} ({table['date']}):\n", *lines, ""))


def _text(cell: object) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _limits(report: _Report, problems: str, window_s: float, *, full: bool) -> None:
    ramp_s = 60.0
    measured = [limits.ours(problems, ramp_s, window_s)]
    if full:
        measured += [limits.plain_sdk(problems, n, ramp_s / 2, window_s / 2) for n in (10, 100, 1000)]
    rows = [
        [m.name, m.window_s, *(m.shares[name] for name in _SHARES), m.rejected, m.failed, m.in_flight, m.load]
        for m in measured
    ]
    report.table(
        "share of 4,000 requests, 2 M input, 400 k output tokens a minute after ramp-up, replies of 1 to 8 s",
        ["sent by", "seconds", *_SHARES, "answered 429", "given up", "in flight", "load"],
        rows,
        {"limit_share": measured[0].binding, "rejected_share": measured[0].rejected},
    )


def _throughput(
    report: _Report, problems: str, title: str, combinations: Sequence[tuple[int, int]], seconds: float
) -> None:
    measured = [throughput.measure(problems, actors, in_flight, seconds) for actors, in_flight in combinations]
    rows = [
        [m.in_flight, m.actors, m.per_s, m.driver_ms, m.actor_ms, m.driver_mib, m.actors_mib, m.load]
        for m in measured
    ]
    name = "requests_per_s_many" if len(combinations) == 1 else "requests_per_s"
    report.table(
        title,
        ["in flight", "actors", "requests/s", "driver ms", "actors ms", "driver MiB", "actors MiB", "load"],
        rows,
        {name: max(m.per_s for m in measured)},
    )


def _sizes(report: _Report, problems: str, sizes: Sequence[int]) -> None:
    measured = [throughput.size(problems, requests) for requests in sizes]
    rows = [[m.requests, m.requests / m.seconds, m.driver_ms, m.driver_mib, m.journal_mib] for m in measured]
    report.table(
        f"one run of {', '.join(f'{m.requests:,}' for m in measured)} requests, 200 in flight",
        ["requests", "requests/s", "driver ms", "driver MiB", "journal MiB"],
        rows,
        {"driver_ms_by_size": {str(m.requests): m.driver_ms for m in measured}},
    )


_ORDEALS = ["ordeal", "steps", "same", "bought again", "settled", "server's count", "settled + unsettled"]


def _faults(report: _Report, problems: str, kills: int) -> None:
    # Enough that the last kill still meets requests in flight.
    steps = 500 + 225 * kills
    measured = [
        faults.faults(problems, 400),
        faults.driver_kills(problems, steps, kills),
        faults.actor_kills(problems, steps, kills),
    ]
    report.table(
        "ordeals: results as undisturbed, requests admitted though their reply was journaled, the bill in dollars",
        _ORDEALS,
        [_ordeal(m) for m in measured],
        {"faults_right": all(m.right for m in measured)},
    )


def _commands(report: _Report, kills: int) -> None:
    measured = commands.command_kills(trials=20 * -(-kills // 2), kills=kills)
    report.table(
        "ordeals of the whole command, execution included",
        _ORDEALS,
        [_ordeal(measured)],
        {"command_kills_right": measured.right},
    )


def _ordeal(m: Outcome) -> list[object]:
    spent = (float(usd) for usd in (m.settled, m.charged, m.settled + m.unsettled))
    return [m.name, m.steps, m.same, m.bought_again, *spent]


def _makespan(report: _Report, *, full: bool) -> None:
    measured = [
        makespan.human_eval(100, (1.0, 8.0)),
        makespan.balanced(800, 0.085, 20, (0.5, 1.5)),
    ]
    if full:
        measured.append(makespan.balanced(1600, 0.085, 90, (1.0, 8.0)))
    rows = [[m.name, m.programs, m.together_s, m.generate_s, m.execute_s, m.ratio] for m in measured]
    report.table(
        "seconds from the first request to the last verdict on two slots; all programs differ and are right",
        ["workload", "programs", "together", "generate alone", "execute alone", "ratio"],
        rows,
        {"makespan_ratio": max(m.ratio for m in measured)},
    )


if __name__ == "__main__":
    main()
