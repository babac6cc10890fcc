"""Verdicts as durable steps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.gpu import GpuFeedback
from orchestrator.core.problems import Example, ExampleTests, Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.execution import ExecutionService, InvalidReference, LimitOverrides
from orchestrator.driver.pool import ExecutionPool
from orchestrator.journal.store import Journal

from .fakes import Behaviour, FakeSlot, FakeSlots, gpu_problem, passed, problem


def scenario(tmp_path: Path, behave: Behaviour, *, prepare: Preparation | None = None) -> tuple[FakeSlots, Journal]:
    slots = FakeSlots(behave)
    if prepare is not None:

        async def answer(problem: Problem, seed: int) -> Preparation:
            return prepare

        start = slots.start

        async def start_prepared() -> FakeSlot:
            slot = await start()
            slot.prepare = answer  # type: ignore[method-assign]
            return slot

        slots.start = start_prepared  # type: ignore[method-assign]
    return slots, Journal(tmp_path / "journal.sqlite", "run")


def run(tmp_path: Path, behave: Behaviour, check: object, *, prepare: Preparation | None = None) -> FakeSlots:
    slots, journal = scenario(tmp_path, behave, prepare=prepare)

    async def main() -> None:
        pool = ExecutionPool("cpu", slots.start, 2)
        pool.open()
        service = ExecutionService(pool, journal, seed=0)
        try:
            await check(service)  # type: ignore[operator]
        finally:
            await pool.close()
            journal.close()

    asyncio.run(main())
    return slots


def ran(slots: FakeSlots) -> list[Job]:
    return [job for slot in slots.made for job in slot.ran]


def test_a_program_asked_for_by_many_is_run_once_and_then_answered_from_the_journal(tmp_path: Path) -> None:
    async def check(service: ExecutionService) -> None:
        wanted = problem()
        await service.prepare([wanted])
        job = service.job(wanted, "program", "scoring")
        done = await asyncio.gather(*(service.execute(wanted, job, priority=0) for _ in range(10)))
        assert {d.execution.verdict for d in done} == {Verdict.PASSED}
        again = await service.execute(wanted, job, priority=0)
        assert again.resumed
        assert again.key == done[0].key

    assert len(ran(run(tmp_path, lambda slot, job: passed(), check))) == 1


def test_infrastructure_is_never_journaled(tmp_path: Path) -> None:
    answers = iter([Execution(Verdict.INFRASTRUCTURE, "lost", isolation="full"), passed()])

    async def check(service: ExecutionService) -> None:
        wanted = problem()
        await service.prepare([wanted])
        job = service.job(wanted, "program", "scoring")
        first = await service.execute(wanted, job, priority=0)
        second = await service.execute(wanted, job, priority=0)
        assert [first.execution.verdict, second.execution.verdict] == [Verdict.INFRASTRUCTURE, Verdict.PASSED]

    run(tmp_path, lambda slot, job: next(answers), check)


def test_a_provisional_scoring_run_is_decided_alone_and_a_feedback_run_is_not_run_again(tmp_path: Path) -> None:
    def behave(slot: FakeSlot, job: Job) -> Execution:
        return (
            passed() if job.alone else replace(passed(), verdict=Verdict.TIMEOUT, reason="wall", provisional=True)
        )

    async def check(service: ExecutionService) -> None:
        wanted = problem()
        await service.prepare([wanted])
        scored = await service.execute(wanted, service.job(wanted, "p", "scoring"), priority=0)
        assert scored.execution.verdict is Verdict.PASSED
        assert scored.execution.lease_s == 2.0
        fed = await service.execute(wanted, service.job(wanted, "p", "feedback"), priority=0)
        assert fed.execution.verdict is Verdict.TIMEOUT

    jobs = ran(run(tmp_path, behave, check))
    # By slot, not by time: only what was run counts here.
    assert sorted((job.tests, job.alone) for job in jobs) == [
        ("feedback", False),
        ("scoring", False),
        ("scoring", True),
    ]


def told(slot: FakeSlot, job: Job) -> Execution:
    lines = GpuFeedback("check", ("worst at [0]",)) if job.tells else None
    return replace(passed(), gpu_feedback=lines, output="printed" if job.tells else "")


def test_what_an_oracle_is_told_answers_a_grade_without_the_telling(tmp_path: Path) -> None:
    async def check(service: ExecutionService) -> None:
        wanted = gpu_problem()
        await service.prepare([wanted])
        asked = [service.job(wanted, "p", "scoring", tell=tell) for tell in (True, False)]
        oracle, beside = await asyncio.gather(*(service.execute(wanted, job, priority=0) for job in asked))
        later = await service.execute(wanted, asked[1], priority=0)
        assert oracle.execution.gpu_feedback is not None
        assert oracle.execution.output == "printed"
        for grade in (beside, later):
            assert (grade.execution.gpu_feedback, grade.execution.output) == (None, "")
            assert grade.key == oracle.key
        assert (beside.resumed, later.resumed) == (False, True)

    assert len(ran(run(tmp_path, told, check))) == 1


def test_a_grade_is_never_an_oracles_feedback(tmp_path: Path) -> None:
    async def check(service: ExecutionService) -> None:
        wanted = gpu_problem()
        await service.prepare([wanted])
        await service.execute(wanted, service.job(wanted, "p", "scoring"), priority=0)
        oracle = await service.execute(wanted, service.job(wanted, "p", "scoring", tell=True), priority=0)
        assert oracle.execution.gpu_feedback is not None
        assert not oracle.resumed

    assert len(ran(run(tmp_path, told, check))) == 2


def test_python_problems_have_one_scoring_run_for_grade_and_oracle(tmp_path: Path) -> None:
    async def check(service: ExecutionService) -> None:
        wanted = problem()
        await service.prepare([wanted])
        first = await service.execute(wanted, service.job(wanted, "p", "scoring"), priority=0)
        oracle = await service.execute(wanted, service.job(wanted, "p", "scoring", tell=True), priority=0)
        assert (oracle.key, oracle.resumed) == (first.key, True)

    assert len(ran(run(tmp_path, lambda slot, job: passed(), check))) == 1


def test_changed_limits_are_never_an_old_verdict(tmp_path: Path) -> None:
    async def check(service: ExecutionService) -> None:
        wanted = problem()
        tighter = LimitOverrides(cpu_s=1.0).apply(wanted)
        await service.prepare([wanted, tighter])
        first = await service.execute(wanted, service.job(wanted, "p", "scoring"), priority=0)
        second = await service.execute(tighter, service.job(tighter, "p", "scoring"), priority=0)
        assert first.key != second.key
        assert not second.resumed

    run(tmp_path, lambda slot, job: passed(), check)


def test_a_problem_whose_reference_fails_is_refused_by_name(tmp_path: Path) -> None:
    async def check(service: ExecutionService) -> None:
        with pytest.raises(InvalidReference, match="fake/0: wrong_answer"):
            await service.prepare([problem()])

    prepared = Preparation("fake/0", Verdict.WRONG_ANSWER, "its test 3 fails", problem().limits)
    run(tmp_path, lambda slot, job: passed(), check, prepare=prepared)


def test_a_refused_reference_names_the_limits_that_were_set(tmp_path: Path) -> None:
    async def check(service: ExecutionService) -> None:
        limited = ExecutionService(service.pool, journal, seed=0, limits="execute.limits.cpu_s=0.01")
        with pytest.raises(InvalidReference, match=r"fake/0: timeout.*execute\.limits\.cpu_s=0\.01"):
            await limited.prepare([problem()])

    journal = Journal(tmp_path / "other.sqlite", "run")
    prepared = Preparation("fake/0", Verdict.TIMEOUT, "used more than 0.02 s of CPU time", problem().limits)
    run(tmp_path, lambda slot, job: passed(), check, prepare=prepared)
    journal.close()


def test_examples_that_the_reference_fails_are_left_out_and_named(tmp_path: Path) -> None:
    examples = (Example("f(1)", "2"), Example("f(2)", "99"))
    wanted = replace(problem(), feedback=ExampleTests("", examples))
    wanted = replace(wanted, public=replace(wanted.public, examples=examples))

    async def check(service: ExecutionService) -> None:
        notes = await service.prepare([wanted])
        assert notes == ["fake/0: the reference fails its own example(s) f(2); left out"]
        assert service.examples(wanted) == 1

    prepared = Preparation("fake/0", Verdict.PASSED, "", wanted.limits, dropped_examples=(1,))
    run(tmp_path, lambda slot, job: passed(), check, prepare=prepared)
