"""How long a report takes, how big it is and what memory it needs, for runs of 1,000 to 100,000 trials.

The runs are fabricated (tests/report/fabricate.py): three systems with prompts, replies, programs and feedback of
about the size that HumanEval has. Each report is made by the command itself in a fresh process, so that start-up
and reading are in the time, and the peak of that process is what is given as memory. ``--full`` adds 100,000
trials. The last line is one JSON object with the figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench._report import print_report
from tests.report.fabricate import fabricate_run

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = ("generate_only", "hybrid")
MOST_BYTES = 10_000_000
"""What a report of 10,000 trials may weigh."""


def command(*arguments: str) -> tuple[float, int]:
    """Run ``python -m orchestrator.report`` and return its seconds and the peak of its resident set in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.report", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the report of {arguments} ended with {process.returncode}")
    return seconds, usage.ru_maxrss * 1024


def opened(page: Path) -> float | None:
    """Seconds until the page has answered and drawn its first charts in Chromium; None where there is none."""
    browser = shutil.which("chromium")
    if browser is None:
        return None
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, headless=True, args=flags)
        view = started.new_context(offline=True).new_page()
        start = time.perf_counter()
        view.goto(page.as_uri())
        view.wait_for_selector("html[data-drawn=yes]", timeout=300_000)
        seconds = time.perf_counter() - start
        started.close()
    return seconds


def measure(trials: int, folder: Path) -> dict[str, Any]:
    """Fabricate a run of about ``trials`` trials and measure the table, the page and its opening."""
    samples = max(1, round(trials / (164 * len(SYSTEMS))))
    run = folder / f"run-{trials}"
    # In a process of its own: a child's peak is never less than what its parent held when it was started.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(fabricate_run, run, systems=SYSTEMS, samples=samples, long_texts=True).result()
    page = folder / f"report-{trials}.html"
    table_s, table_rss = command(str(run))
    html_s, html_rss = command(str(run), "--html", str(page))
    written = 164 * samples * len(SYSTEMS)
    return {
        "trials": written,
        "run_bytes": sum(file.stat().st_size for file in run.iterdir()),
        "table_s": round(table_s, 2),
        "table_peak_bytes": table_rss,
        "html_s": round(html_s, 2),
        "html_peak_bytes": html_rss,
        "html_bytes": page.stat().st_size,
        "open_s": None if (open_s := opened(page)) is None else round(open_s, 2),
    }


def main() -> int:
    """Print a table and, last, one JSON object; exit with 1 when a report of 10,000 trials is too big."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="also 100,000 trials (some minutes)")
    options = parser.parse_args()
    sizes = [1_000, 10_000, *([100_000] if options.full else [])]
    with tempfile.TemporaryDirectory(prefix="orchestrator-bench-report-") as folder:
        figures = [measure(size, Path(folder)) for size in sizes]
    small = all(f["html_bytes"] <= MOST_BYTES for f in figures if f["trials"] < 11_000)
    heads = ["trials", "run MB", "table s", "table MB", "page s", "page MB memory", "page MB", "open s"]
    rows = [
        [
            f["trials"],
            f["run_bytes"] / 1e6,
            f["table_s"],
            f["table_peak_bytes"] / 1e6,
            f["html_s"],
            f["html_peak_bytes"] / 1e6,
            f["html_bytes"] / 1e6,
            "n/a" if f["open_s"] is None else f["open_s"],
        ]
        for f in figures
    ]
    print_report("report of runs by trials", heads, rows, {"figures": figures, "under_10_mb_at_10k": small})
    return 0 if small else 1


if __name__ == "__main__":
    raise SystemExit(main())
