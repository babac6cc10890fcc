"""Buying replies from the rehearsal server: at the account's limits, without limits, with faults, through crashes.

    python -m scripts.bench.generation [--parts limits throughput faults makespan] [--full]

Without arguments it takes under 15 minutes. ``--full`` adds the plain SDK at fixed concurrency, more crashes, and
sizes up to 100,000 requests. The server is a process of its own; journal and ledger are the real ones.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.bench._report import print_report
from scripts.bench.generation_parts import faults, limits, makespan, throughput
from scripts.bench.generation_parts.common import problems_file, start_ray

__all__ = ["main"]

_SHARES = ("requests", "input", "output")
PARTS = ("limits", "throughput", "faults", "makespan")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts that were asked for and print one report each, then the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--window", type=float, default=120.0, help="seconds measured at the limits")
    options = parser.parse_args(argv)
    figures: dict[str, object] = {}
    start_ray()
    with tempfile.TemporaryDirectory() as scratch:
        problems = problems_file(Path(scratch))
        if "limits" in options.parts:
            figures |= _limits(problems, options.window, full=options.full)
        if "throughput" in options.parts:
            figures |= _throughput(problems, full=options.full)
        if "throughput" in options.parts and options.full:
            figures |= _sizes(problems)
        if "faults" in options.parts:
            figures |= _faults(problems, full=options.full)
        if "makespan" in options.parts:
            figures |= _makespan(problems)
    print(json.dumps(figures, sort_keys=True))


def _limits(problems: str, window_s: float, *, full: bool) -> dict[str, object]:
    ramp_s = 60.0
    measured = [limits.ours(problems, ramp_s, window_s)]
    if full:
        measured += [limits.plain_sdk(problems, n, ramp_s, window_s) for n in (10, 100, 1000)]
    rows = [
        [m.name, *(m.shares[name] for name in _SHARES), m.rejected, m.failed, m.in_flight, m.load] for m in measured
    ]
    figures: dict[str, object] = {"limit_share": measured[0].binding, "rejected_share": measured[0].rejected}
    print_report(
        f"share of 4,000 requests, 2 M input, 400 k output tokens a minute, over {window_s:g} s after {ramp_s:g} s",
        ["sent by", *_SHARES, "answered 429", "given up", "in flight", "load"],
        rows,
        figures,
    )
    return figures


def _throughput(problems: str, *, full: bool) -> dict[str, object]:
    combinations = [(actors, in_flight) for in_flight in (100, 1000) for actors in (1, 2, 4)]
    if full:
        combinations.append((25, 5000))
    measured = [throughput.measure(problems, actors, in_flight, 10.0) for actors, in_flight in combinations]
    rows = [[m.in_flight, m.actors, m.per_s, m.driver_ms, m.actor_ms, m.driver_mib, m.actors_mib] for m in measured]
    figures: dict[str, object] = {"requests_per_s": max(m.per_s for m in measured)}
    print_report(
        "replies of 0.5 s without limits",
        ["in flight", "actors", "requests/s", "driver ms", "actors ms", "driver MiB", "actors MiB"],
        rows,
        figures,
    )
    return figures


def _sizes(problems: str) -> dict[str, object]:
    measured = [throughput.size(problems, requests) for requests in (1_000, 10_000, 100_000)]
    rows = [[m.requests, m.requests / m.seconds, m.driver_ms, m.driver_mib, m.journal_mib] for m in measured]
    figures: dict[str, object] = {"driver_ms_by_size": {str(m.requests): m.driver_ms for m in measured}}
    print_report(
        "one run of so many requests, 200 in flight",
        ["requests", "requests/s", "driver ms", "driver MiB", "journal MiB"],
        rows,
        figures,
    )
    return figures


def _faults(problems: str, *, full: bool) -> dict[str, object]:
    kills = 20 if full else 4
    measured = [
        faults.faults(problems, 400),
        faults.driver_kills(problems, 800, kills),
        faults.actor_kills(problems, 800, kills),
    ]
    rows = [
        [
            m.name,
            m.steps,
            m.same_replies,
            "not counted" if m.bought_again is None else m.bought_again,
            m.settled,
            m.charged,
            m.settled + m.unsettled,
        ]
        for m in measured
    ]
    figures: dict[str, object] = {
        "faults_right": all(m.same_replies and m.bracketed and m.bought_again in (0, None) for m in measured)
    }
    print_report(
        "ordeals: replies as undisturbed, journaled replies bought again, and the bill in dollars",
        ["ordeal", "steps", "same", "again", "settled", "server's count", "settled + unsettled"],
        rows,
        figures,
    )
    return figures


def _makespan(problems: str) -> dict[str, object]:
    measured = [
        makespan.measure(
            problems, "replies of 1 to 8 s, 100 in flight", samples=2, in_flight=100, replies_s=(1.0, 8.0)
        ),
        makespan.measure(
            problems, "replies of 0.5 s, 100 in flight", samples=4, in_flight=100, replies_s=(0.5, 0.5)
        ),
    ]
    rows = [[m.name, m.trials, m.programs, m.together_s, m.generate_s, m.execute_s, m.ratio] for m in measured]
    figures: dict[str, object] = {"makespan_ratio": max(m.ratio for m in measured)}
    print_report(
        "seconds from the first request to the last verdict (honest programs only: rehearsal.broken_share=0)",
        ["workload", "trials", "programs", "together", "generate alone", "execute alone", "ratio"],
        rows,
        figures,
    )
    return figures


if __name__ == "__main__":
    main()
