"""How a run ends: its exit code and its last words."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.config.arguments import parse_arguments
from orchestrator.core.money import BudgetExhausted
from orchestrator.core.streams import Output
from orchestrator.core.systems import Outcome, System, Tools
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.ending import BUDGET, DONE, FAILED, INTERRUPTED, exit_code
from orchestrator.driver.record import make_record, run_status, write_record
from orchestrator.driver.run import _Run
from orchestrator.driver.scheduler import Assignment, Scheduler
from orchestrator.driver.trial import CellRuntime
from orchestrator.generate.service import GenerationFailed
from orchestrator.plan.build import build_plan

from .commands import QUICK, run
from .fakes import gpu_problem


def after(*endings: Verdict | Exception) -> Scheduler:
    """A scheduler whose trials ended so, one after the other."""

    def system(assignment: Assignment) -> System:
        async def trial(tools: Tools) -> Outcome:
            ending = endings[assignment.sample]
            if isinstance(ending, Exception):
                raise ending
            return Outcome(ending, None, "", 1, None)

        return trial

    rows: list[dict[str, Any]] = []
    scheduler = Scheduler(
        window=1,
        system=system,
        seen=lambda key: False,
        finished=lambda row, steps: rows.append(row),
        on_stop=lambda: None,
    )
    cell = CellRuntime(
        id="single",
        system="generate_only",
        turns=1,
        oracle=False,
        executions=None,  # type: ignore[arg-type]  # nothing is executed
        replies=None,
        prompt=None,
        synthetic=False,
        hardware="fake",
    )
    asyncio.run(scheduler.run(Assignment(cell, gpu_problem(), n) for n in range(len(endings))))
    assert len(rows) == len(endings)
    return scheduler


LOST = GenerationFailed("no reply after 2 tries; the last: connection")
POOR = BudgetExhausted("does not fit", "budget.usd", Decimal(1))


@pytest.mark.parametrize(
    ("endings", "code"),
    [
        ([], DONE),
        ([Verdict.PASSED, LOST], DONE),
        ([Verdict.NO_CODE, LOST], DONE),
        ([LOST, LOST], FAILED),
        ([LOST, POOR], FAILED),
        ([POOR], BUDGET),
        ([Verdict.PASSED, LOST, POOR], BUDGET),
    ],
)
def test_a_run_in_which_nothing_worked_has_failed(endings: Sequence[Verdict | Exception], code: int) -> None:
    scheduler = after(*endings)
    assert exit_code(scheduler, interrupted=False) == code
    assert exit_code(scheduler, interrupted=True) == INTERRUPTED


def test_only_what_is_written_is_recorded_as_done_and_ctrl_c_no_longer_changes_the_end(in_folder: Path) -> None:
    plan = build_plan(parse_arguments(["model=rehearsal", "limit=1", "tracking.enabled=false", "run.dir=r"]))
    ending = _Run(plan, Console(file=io.StringIO()), Output())
    ending.scheduler = after(Verdict.PASSED)
    ending.record = make_record(plan)
    write_record(plan, ending.record)

    class FullDisk:
        def finish(self, cells: object, *, seed: int, notes: object) -> None:
            ending._interrupt()
            raise OSError(28, "No space left on device")

    ending.results = FullDisk()  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        asyncio.run(ending._finish({}, []))
    assert run_status(plan.run_dir) == "running"
    assert ending._code() == DONE


def test_equal_failures_of_different_requests_are_one_reason() -> None:
    failed = [GenerationFailed(f"529 overloaded: busy (request id req_{n})") for n in range(3)]
    scheduler = after(LOST, *failed)
    assert scheduler.infrastructure.most_common(1) == [("529 overloaded: busy", 3)]


def test_a_server_that_is_not_there_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    words = ["suite=humaneval", "system=generate_only", "model=sonnet", "model.base_url=http://127.0.0.1:1"]
    quiet = ["limit=2", "generate.retries=1", "tracking.enabled=false", "run.dir=r", *QUICK]
    ended = run(tmp_path, *words, *quiet, ANTHROPIC_API_KEY="not-a-real-key")
    assert ended.code == FAILED, ended.out + ended.err
    (line,) = [line for line in ended.out.splitlines() if line.startswith("run failed: ")]
    assert "2 trials were infrastructure, most often: no reply after 2 tries; the last: connection" in line
    assert "to go on: python -m orchestrator resume=r" in ended.out


def test_a_rehearsal_server_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    # What is wrong with it shows when the server opens it.
    (tmp_path / "log").symlink_to("nowhere/log")
    words = ["suite=humaneval", "system=generate_only", "model=rehearsal", "rehearsal.log=log", "limit=1"]
    ended = run(tmp_path, *words, "tracking.enabled=false", *QUICK)
    assert ended.code == FAILED, ended.out + ended.err
    assert "run failed: The rehearsal server cannot start" in ended.err
    assert "Traceback" not in ended.err


def test_a_disk_that_takes_no_report_is_one_sentence_and_how_to_go_on(tmp_path: Path) -> None:
    words = ["suite=humaneval", "system=execute_only", "limit=1", "run.dir=r", "tracking.enabled=false"]
    assert run(tmp_path, *words, *QUICK).code == DONE
    page = tmp_path / "r" / "report.html"
    page.unlink()
    # As little can be written there as on a full disk.
    page.symlink_to("nowhere/report.html")
    ended = run(tmp_path, "resume=r", "display=plain")
    assert ended.code == FAILED, ended.out + ended.err
    assert "report.html cannot be written" in ended.err
    assert "to go on: python -m orchestrator resume=r" in ended.err
    assert "Traceback" not in ended.err
