"""How long a newcomer waits: from the command to the first verdict, to the table, and to a configuration error.

    python scripts/bench/startup.py [--problems N]

Runs the rehearsal of HumanEval (164 problems, three systems) as a user would, in an empty folder, and times it
from outside. Aim on two cores: the table within 60 s, a configuration error within 2 s.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench._report import print_report

ERRORS = 5


def environment() -> dict[str, str]:
    """A user's environment without a key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    return {**kept, "COLUMNS": "120"}


def verdicts(journal: Path) -> int:
    """Verdicts in the journal now."""
    if not journal.exists():
        return 0
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM verdicts").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def time_sweep(folder: Path, problems: int | None) -> tuple[float, float, float]:
    """Seconds to the first verdict, to the table, and to the end of the process."""
    words = [sys.executable, "-m", "orchestrator", "+sweep=humaneval", "run.dir=run", "display=plain"]
    if problems is not None:
        words.append(f"limit={problems}")
    started = time.perf_counter()
    process = subprocess.Popen(
        words, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    first = table = None
    os.set_blocking(process.stdout.fileno(), False)
    said = ""
    while process.poll() is None:
        time.sleep(0.02)
        said += (process.stdout.read() or b"").decode(errors="replace")
        if first is None and verdicts(folder / "run" / "journal.sqlite"):
            first = time.perf_counter() - started
        if table is None and "pass@1" in said:
            table = time.perf_counter() - started
    end = time.perf_counter() - started
    said += (process.stdout.read() or b"").decode(errors="replace")
    if process.returncode != 0 or first is None or "pass@1" not in said:
        raise RuntimeError(f"the sweep failed with exit code {process.returncode}:\n{said}")
    return first, table if table is not None else end, end


def time_error(folder: Path) -> float:
    """Seconds to a refusal."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "+sweep=humaneval", "samples=0"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 2:
        raise RuntimeError(f"samples=0 gave exit code {done.returncode}")
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=None, help="only the first so many problems")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        errors = [time_error(folder) for _ in range(ERRORS)]
        first, table, end = time_sweep(folder, options.problems)
    load = os.getloadavg()[0]
    rows = [
        ("first verdict", f"{first:.1f} s", ""),
        ("table", f"{table:.1f} s", "aim: 60 s"),
        ("end of the process", f"{end:.1f} s", ""),
        ("configuration error (median)", f"{statistics.median(errors):.2f} s", "aim: 2 s"),
        ("load average at the end", f"{load:.1f}", f"{os.cpu_count()} cores"),
    ]
    figures = {
        "first_verdict_s": first,
        "table_s": table,
        "end_s": end,
        "config_error_s": statistics.median(errors),
        "load_average": load,
    }
    print_report("Start-up, rehearsal of HumanEval", ("from the command to", "time", "note"), rows, figures)


if __name__ == "__main__":
    main()
