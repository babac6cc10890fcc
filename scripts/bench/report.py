"""How long a report takes, how big it is and what memory it needs, and what MLflow costs a sweep.

The runs of 1,000, 10,000 and, with ``--full``, 100,000 trials are fabricated (tests/report/fabricate.py): two
systems with prompts, replies, programs and feedback of about the size that HumanEval has. Each report is made by
the command itself in a fresh process, so that start-up and reading are in the time, and the peak of that process
is what is given as memory. MLflow's share is that of a real rehearsal of ``+sweep=humaneval``, as the run itself
records it: seconds of the thread that writes while trials run, and seconds that the end of the run waits for it.
Loading MLflow's libraries and opening the store, about a second in the same thread while Ray starts its processes,
is in a column of its own and not in the share: it is no logging, and does not grow with the sweep.
The last line is one JSON object with the figures; ``--out`` writes it to a file too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
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
LIKE_AN_API = ("rehearsal.latency_low_s=3.0", "rehearsal.latency_high_s=12.0")
"""How long a model takes to write a function of some hundred tokens; without it a rehearsal is over in seconds."""
MOST_SHARE = 0.03
"""Of a sweep's time that logging may take: its thread while models work, which delays nobody, and the end."""


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


def logging_share(folder: Path) -> dict[str, Any]:
    """Run a rehearsal of all of HumanEval and read what it says that MLflow took.

    ``wall_s`` is the whole command, start-up included; the shares are of that. A short sweep before it makes the
    store, which happens once in a folder.
    """
    from mlflow import MlflowClient

    folder.mkdir()
    _sweep(folder, "+sweep=smoke", "run.dir=first", "tracking.experiment=first")
    start = time.perf_counter()
    _sweep(folder, "+sweep=humaneval", "run.dir=run", *LIKE_AN_API)
    wall_s = time.perf_counter() - start
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "humaneval"]
    (parent,) = client.search_runs([experiment.experiment_id], "tags.level = 'sweep'")
    cells = client.search_runs([experiment.experiment_id], "tags.level = 'cell'")
    told = parent.data.metrics
    during, end = told["tracking_s"], told["tracking_end_s"]
    return {
        "trials": int(sum(cell.data.metrics["graded"] for cell in cells)),
        "wall_s": round(wall_s, 2),
        "open_s": round(told["tracking_open_s"], 3),
        "during_s": round(during, 3),
        "end_s": round(end, 3),
        "traces": int(told.get("traces", 0)),
        "end_share": round(end / wall_s, 4),
        "share": round((during + end) / wall_s, 4),
        "store_bytes": (folder / "mlflow.db").stat().st_size,
    }


def _sweep(folder: Path, *words: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    subprocess.run(
        [sys.executable, "-m", "orchestrator", *words, "display=plain"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def main() -> int:
    """Print tables and, last, one JSON object.

    The exit code is 1 when a report of 10,000 trials is too big or MLflow takes too large a share.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="also 100,000 trials (some minutes)")
    parser.add_argument("--out", type=Path, help="write the JSON to this file too")
    options = parser.parse_args()
    sizes = [1_000, 10_000, *([100_000] if options.full else [])]
    with tempfile.TemporaryDirectory(prefix="orchestrator-bench-report-") as folder:
        figures = [measure(size, Path(folder)) for size in sizes]
        share = logging_share(Path(folder) / "sweep")
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
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    result = {"figures": figures, "under_10_mb_at_10k": small, "mlflow": share, "machine": machine}
    tracking = ["sweep s", "opening s", "MLflow during s", "at the end s", "share", "of it at the end", "traces"]
    print_report(
        "MLflow in a rehearsal of +sweep=humaneval",
        tracking,
        [[share[key] for key in ("wall_s", "open_s", "during_s", "end_s", "share", "end_share", "traces")]],
        {"mlflow": share},
    )
    print_report("report of runs by trials", heads, rows, result)
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0 if small and share["share"] < MOST_SHARE else 1


if __name__ == "__main__":
    raise SystemExit(main())
