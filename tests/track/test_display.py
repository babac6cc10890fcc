"""What people see while a sweep runs."""

from __future__ import annotations

import asyncio
import io
import time

import pytest
from rich.console import Console

from orchestrator.core.verdicts import Verdict
from orchestrator.track.display import Display, duration
from orchestrator.track.progress import CellProgress, Progress


def progress() -> Progress:
    cell = CellProgress("hybrid-sonnet", 4, True, {"generating": 2, "executing": 1})
    cell.count({"verdict": "passed", "input_tokens": 1000, "output_tokens": 50, "api_usd": 0.5})
    cell.count({"verdict": "wrong_answer", "input_tokens": 1, "output_tokens": 1, "api_usd": None})
    cell.count({"verdict": str(Verdict.INFRASTRUCTURE)})
    shown = Progress([cell], money=lambda: (0.5, 0.25))
    shown.trials_started = time.monotonic() - 30
    return shown


def test_rates_leave_out_what_was_not_graded() -> None:
    cell = progress().cells[0]
    assert (cell.done, cell.graded, cell.pass_rate, cell.usd) == (3, 2, 0.5, 0.5)


def test_the_wide_table_shows_everything_and_the_narrow_one_fits() -> None:
    for width, tokens in ((140, True), (60, False)):
        out = io.StringIO()
        console = Console(file=out, width=width)
        console.print(Display(progress(), console, live=False).render())
        text = out.getvalue()
        assert "hybrid-sonnet" in text
        assert "3/4" in text
        assert "50.0%" in text
        assert "synthetic" in text
        assert ("1,001 / 51" in text) is tokens
        assert max(len(line) for line in text.splitlines()) <= width


def test_a_run_that_stops_or_writes_its_results_has_no_time_to_go() -> None:
    out = io.StringIO()
    shown = progress()
    display = Display(shown, Console(file=out, width=200), live=False)
    assert "to go" in display.line()
    for shown.message in ("stopping: waiting for what is in flight", "writing results"):
        assert display.line().endswith(f"promised) {shown.message}")
        Console(file=out, width=200).print(display.render())
    assert "to go" not in out.getvalue()


def test_without_a_terminal_it_prints_lines() -> None:
    out = io.StringIO()
    console = Console(file=out, width=200)

    async def show() -> None:
        shown = progress()
        async with Display(shown, console, live=False):
            await asyncio.sleep(0.01)
            shown.cells[0].count({"verdict": "passed"})

    asyncio.run(show())
    first, last = out.getvalue().splitlines()
    assert "hybrid-sonnet 3/4 50%" in first
    assert "to go" in first
    assert "$0.5000 (+$0.2500 promised)" in first
    assert "hybrid-sonnet 4/4 67%" in last


def test_a_tracking_server_that_is_away_is_named() -> None:
    shown = progress()
    away = ["waiting for the tracking server (3 writes left)"]
    shown.notice = lambda: away[0]
    console = Console(file=io.StringIO(), width=140)
    display = Display(shown, console, live=False)
    console.print(display.render())
    assert "waiting for the tracking server (3 writes left)" in console.file.getvalue()  # type: ignore[attr-defined]
    assert display.line().endswith(" waiting for the tracking server (3 writes left)")
    shown.cells.clear()
    shown.message = "starting Ray"
    assert display.line().endswith("] starting Ray · waiting for the tracking server (3 writes left)")
    away[0] = ""
    assert display.line().endswith("] starting Ray")


def test_durations() -> None:
    assert [duration(s) for s in (0, 75, 3600 + 61)] == ["0:00", "1:15", "1:01:01"]


@pytest.mark.parametrize(("typed", "meant"), [("y\n", True), ("no\n", False), ("\n", False), ("", False)])
def test_no_answer_is_a_no(typed: str, meant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a line there is the end of the file, as Ctrl-D gives it.
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    display = Display(progress(), Console(file=io.StringIO(), width=100), live=False)
    assert asyncio.run(display.ask("Cancel them there?")) is meant
