"""What a trial tells a system, and what it records."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from orchestrator.core.execution import Execution, Job
from orchestrator.core.gpu import GpuFeedback
from orchestrator.core.systems import Outcome
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.execution import ExecutionService
from orchestrator.driver.pool import ExecutionPool
from orchestrator.driver.trial import CellRuntime, TrialTools
from orchestrator.journal.store import Journal

from .fakes import FakeSlot, FakeSlots, gpu_problem, passed, problem


def cell(service: ExecutionService, *, oracle: bool) -> CellRuntime:
    return CellRuntime(
        id="hybrid",
        system="hybrid",
        turns=3,
        oracle=oracle,
        executions=service,
        replies=None,
        prompt=None,
        synthetic=False,
        hardware="fake",
    )


def test_a_trial_that_an_earlier_driver_did_part_of_has_no_time_of_its_own(tmp_path: Path) -> None:
    slots = FakeSlots(lambda slot, job: passed(1.0))

    async def driver() -> list[dict[str, object]]:
        journal = Journal(tmp_path / "journal.sqlite", "run")
        pool = ExecutionPool("cpu", slots.start, 1)
        pool.open()
        service = ExecutionService(pool, journal, seed=0)
        wanted, before, found = problem(), journal.verdict_keys(), []
        try:
            await service.prepare([wanted])
            for programs in (["p"], ["p"], ["p", "new"]):
                tools = TrialTools(cell(service, oracle=False), wanted, 0, seen=before.__contains__)
                for program in programs:
                    await tools.grade(program, 1)
                found.append(tools.row(Outcome(Verdict.PASSED, "p", "", 1, None), 5.0))
        finally:
            await pool.close()
            journal.close()
        return found

    first, again = asyncio.run(driver()), asyncio.run(driver())
    # An equal program of the same driver's is no earlier work.
    assert all(row["started_at"] == 5.0 and isinstance(row["wall_s"], float) for row in first)
    assert {row[name] for row in again for name in ("wall_s", "started_at", "ended_at")} == {None}
    assert {row["verdict"] for row in again} == {"passed"}


def test_an_oracles_feedback_on_a_gpu_problem_says_what_was_found(tmp_path: Path) -> None:
    def behave(slot: FakeSlot, job: Job) -> Execution:
        found = GpuFeedback("check", (f"worst of the {job.tests} tests",)) if job.tells else None
        return replace(passed(1.0), gpu_feedback=found)

    slots, journal = FakeSlots(behave), Journal(tmp_path / "journal.sqlite", "run")

    async def main() -> None:
        pool = ExecutionPool("cpu", slots.start, 1)
        pool.open()
        service = ExecutionService(pool, journal, seed=0)
        wanted = gpu_problem()
        try:
            await service.prepare([wanted])
            oracle = TrialTools(cell(service, oracle=True), wanted, 0, seen=lambda key: False)
            feedback = await oracle.feedback("p", 1)
            assert feedback.gpu is not None
            assert feedback.gpu.lines == ("worst of the scoring tests",)
            await oracle.grade("p", 1)
            # One program on the card, so one lease.
            row = oracle.row(Outcome(Verdict.PASSED, "p", "", 1, None), 0.0)
            assert (row["lease_s"], row["execute_s"]) == (1.0, 1.0)
            public = TrialTools(cell(service, oracle=False), wanted, 0, seen=lambda key: False)
            feedback = await public.feedback("p", 1)
            assert feedback.gpu is not None
            assert feedback.gpu.lines == ("worst of the feedback tests",)
        finally:
            await pool.close()
            journal.close()

    asyncio.run(main())
    jobs = [job for slot in slots.made for job in slot.ran]
    assert [(job.tests, job.tell) for job in jobs] == [("scoring", True), ("feedback", False)]
