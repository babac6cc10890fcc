"""What compute-sanitizer and ncu are asked for, and what their reports say, in a few lines for a model."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Final

__all__ = ["COUNTERS", "ERROR_STATUS", "ncu_arguments", "ncu_lines", "sanitizer_arguments", "sanitizer_lines"]

ERROR_STATUS: Final = 86
"""Exit status that compute-sanitizer is told to end with when it found something."""
_FINDINGS: Final = 3
_KERNELS: Final = 3
_LINE: Final = 400
_RULE: Final = "========="
_SUMMARY: Final = re.compile(r"^========= ERROR SUMMARY: (\d+) errors?\s*$", re.MULTILINE)

COUNTERS: Final[Mapping[str, str]] = {
    "gpu__time_duration.sum": "time",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "arithmetic and issue units {} of peak",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "memory bandwidth {} of peak",
    "lts__t_sector_hit_rate.pct": "L2 hits {}",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "warps active {} of the most",
    "launch__registers_per_thread": "{} registers a thread",
}
"""ncu's metric -> how it reads in feedback."""
_SECONDS: Final = {"nsecond": 1e-9, "ns": 1e-9, "usecond": 1e-6, "us": 1e-6, "msecond": 1e-3, "ms": 1e-3, "s": 1.0}


def sanitizer_arguments(log: str) -> list[str]:
    """Options of compute-sanitizer: memcheck, a gap behind every allocation, few findings, its report in ``log``.

    Calls of the driver that fail are left out: libraries make such calls to find out what it can do.
    """
    return [
        *("--tool", "memcheck", "--padding", "512", "--error-exitcode", str(ERROR_STATUS)),
        *("--print-limit", "20", "--show-backtrace", "no", "--report-api-errors", "no"),
        *("--log-file", log),
    ]


def ncu_arguments(log: str) -> list[str]:
    """Options of ncu: the counters of the first kernels between start and stop, clocks left alone."""
    return [
        *("--csv", "--page", "raw", "--print-units", "base", "--metrics", ",".join(COUNTERS)),
        *("--profile-from-start", "off", "--launch-count", str(_KERNELS), "--clock-control", "none"),
        *("--log-file", log),
    ]


def sanitizer_lines(report: str, status: int | None) -> tuple[str, ...]:
    """compute-sanitizer's report in a few lines; clean only where it says so itself, in so many words.

    Args:
        report: its log.
        status: its exit status; None: it was ended.
    """
    summaries = [int(count) for count in _SUMMARY.findall(report)]
    findings = _findings(report)
    if status == 0 and summaries and not any(summaries) and not findings:
        return ("compute-sanitizer (memcheck): clean, 0 errors.",)
    if not findings:
        last = next((line for line in reversed(report.splitlines()) if line.strip(f"= {chr(9)}")), "")
        why = f": {last.strip('= ')}" if last else ""
        return (f"compute-sanitizer (memcheck) came to no result{why}"[:_LINE] + ".",)
    total = f"{sum(summaries)} errors" if summaries else "errors"
    shown = list(dict.fromkeys(findings))[:_FINDINGS]
    return (f"compute-sanitizer (memcheck) found {total}:", *(f"  {finding}"[:_LINE] for finding in shown))


def _findings(report: str) -> list[str]:
    """One line for each: what, where, by which thread, and how far off."""
    found: list[list[str]] = []
    for line in report.splitlines():
        if not line.startswith(_RULE):
            continue
        text = line[len(_RULE) :]
        words = text.strip()
        if not words or words.startswith(("COMPUTE-SANITIZER", "ERROR SUMMARY", "LEAK SUMMARY", "Error:")):
            continue
        if words.startswith(("Saved host backtrace", "Host Frame", "Device Frame", "Target application")):
            continue
        if text.startswith("  ") and found:
            found[-1].append(words)
        elif not text.startswith("  "):
            found.append([words])
    return ["; ".join(parts) for parts in found]


def ncu_lines(report: str, status: int | None) -> tuple[str, ...]:
    """ncu's counters in a line for each kernel, or why there are none.

    Args:
        report: its log.
        status: its exit status; None: it was ended.
    """
    if "ERR_NVGPUCTRPERM" in report:
        return ("ncu: the driver lets only administrators read the card's counters here, so there are none.",)
    rows = _table(report)
    if len(rows) < 3:
        last = next((line for line in reversed(report.splitlines()) if "==" in line and line.strip("= ")), "")
        told = f": {last.strip('= ')}" if last else f" (status {status})"
        return (f"ncu came to no result{told}"[:_LINE] + ".",)
    head, units, *kernels = rows
    lines = []
    for row in kernels[:_KERNELS]:
        cells = dict(zip(head, row, strict=False))
        unit = dict(zip(head, units, strict=False))
        said = [text for name in COUNTERS if (text := _counter(name, cells.get(name, ""), unit.get(name, "")))]
        place = f"grid {cells.get('Grid Size', '?')}, block {cells.get('Block Size', '?')}"
        lines.append(f"ncu, kernel {cells.get('Kernel Name', '?')[:80]} ({place}): {', '.join(said)}."[:_LINE])
    return tuple(lines)


def _table(report: str) -> list[list[str]]:
    """The rows of the CSV table in a log that begins with other lines."""
    lines = report.splitlines()
    start = next((n for n, line in enumerate(lines) if line.startswith('"ID"')), len(lines))
    body = [line for line in lines[start:] if line.startswith('"')]
    return [row for row in csv.reader(io.StringIO("\n".join(body))) if row]


def _counter(name: str, value: str, unit: str) -> str:
    try:
        number = float(value.replace(",", ""))
    except ValueError:
        return ""
    if name == "gpu__time_duration.sum":
        return f"{number * _SECONDS.get(unit, 1e-9) * 1e6:.1f} us"
    shown = f"{number:.0f}%" if unit == "%" else f"{number:.0f}"
    return COUNTERS[name].format(shown)
