"""The pool: priorities, lost slots, reruns alone, stopping."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.pool import ExecutionPool, PoolBroken, SlotDied, Stopped

from .fakes import LIMITS, FakeSlot, FakeSlots, job, passed, problem

PREPARED = Preparation("fake/0", Verdict.PASSED, "", LIMITS)


async def run(pool: ExecutionPool, wanted: Job, priority: int = 0) -> Execution:
    return await pool.run(problem(), PREPARED, wanted, priority=priority)


def test_later_turns_go_first() -> None:
    async def check() -> None:
        slots = FakeSlots(lambda slot, job: passed(), delay=0.001)
        pool = ExecutionPool("cpu", slots.start, 1)
        pool.open()
        await pool.ready()
        work = [asyncio.create_task(run(pool, job(f"t{turn}"), -turn)) for turn in (0, 1, 1, 3, 2)]
        await asyncio.gather(*work)
        order = [ran.program for ran in slots.made[0].ran]
        # The first was taken at once; the rest were waiting together.
        assert order == ["t0", "t3", "t2", "t1", "t1"]
        await pool.close()

    asyncio.run(check())


def test_a_step_whose_slot_died_is_run_by_another_and_nothing_is_lost_or_doubled() -> None:
    async def check() -> None:
        deaths = iter([True, False, True, True] + [False] * 1000)

        def behave(slot: FakeSlot, job: Job) -> Execution:
            if next(deaths):
                raise SlotDied("killed")
            return Execution(Verdict.PASSED, job.program)

        slots = FakeSlots(behave)
        pool = ExecutionPool("cpu", slots.start, 2, attempts=5)
        pool.open()
        results = await asyncio.gather(*(run(pool, job(str(n))) for n in range(200)))
        assert [r.reason for r in results] == [str(n) for n in range(200)]
        assert pool.lost_slots == 3
        assert len(slots.made) == 5
        await pool.close()
        assert all(slot.closed for slot in slots.made)

    asyncio.run(check())


def test_a_program_that_kills_every_slot_gets_infrastructure_and_the_others_their_verdict() -> None:
    async def check() -> None:
        def behave(slot: FakeSlot, job: Job) -> Execution:
            if job.program == "poison":
                raise SlotDied("segmentation fault")
            return passed()

        slots = FakeSlots(behave)
        pool = ExecutionPool("cpu", slots.start, 2, attempts=3)
        pool.open()
        poison, *rest = await asyncio.gather(run(pool, job("poison")), *(run(pool, job()) for _ in range(50)))
        assert poison.verdict is Verdict.INFRASTRUCTURE
        assert "3 times" in poison.reason
        assert "segmentation fault" in poison.reason
        assert {r.verdict for r in rest} == {Verdict.PASSED}
        await pool.close()

    asyncio.run(check())


def test_a_rerun_has_its_node_to_itself_and_comes_after_the_rest() -> None:
    async def check() -> None:
        busy: set[str] = set()
        seen: list[tuple[str, frozenset[str]]] = []

        class Slot(FakeSlot):
            async def run(self, problem: object, preparation: object, job: Job) -> Execution:
                busy.add(f"{self.node}/{id(self)}")
                beside = frozenset(b for b in busy if b.startswith(self.node + "/")) - {f"{self.node}/{id(self)}"}
                seen.append((job.program, beside))
                await asyncio.sleep(0.002)
                busy.discard(f"{self.node}/{id(self)}")
                return passed()

        made: list[Slot] = []

        async def start() -> Slot:
            made.append(Slot(lambda s, j: passed(), node=f"node{len(made) % 2}"))
            return made[-1]

        pool = ExecutionPool("cpu", start, 4)
        pool.open()
        await pool.ready()
        alone = [asyncio.create_task(run(pool, job(f"alone{n}", alone=True))) for n in range(3)]
        await asyncio.gather(*alone, *(run(pool, job(f"plain{n}")) for n in range(12)))
        for program, beside in seen:
            if program.startswith("alone"):
                assert not beside
        await pool.close()

    asyncio.run(check())


def test_reruns_wait_until_nothing_else_is_queued() -> None:
    async def check() -> None:
        slots = FakeSlots(lambda slot, job: passed(), delay=0.001)
        pool = ExecutionPool("cpu", slots.start, 1)
        pool.open()
        await pool.ready()
        first = asyncio.create_task(run(pool, job("first")))
        await asyncio.sleep(0)
        rerun = asyncio.create_task(run(pool, job("rerun", alone=True)))
        await asyncio.sleep(0)
        await asyncio.gather(first, rerun, *(run(pool, job(f"p{n}")) for n in range(3)))
        assert [r.program for r in slots.made[0].ran] == ["first", "p0", "p1", "p2", "rerun"]
        await pool.close()

    asyncio.run(check())


def test_when_no_slot_starts_every_waiter_is_told_why() -> None:
    async def check() -> None:
        slots = FakeSlots(lambda slot, job: passed(), failing=100)
        pool = ExecutionPool("gpu", slots.start, 2)
        pool.open()
        with pytest.raises(PoolBroken, match="will not start"):
            await pool.ready()
        with pytest.raises(PoolBroken):
            await run(pool, job())
        await pool.close()

    asyncio.run(check())


def test_a_start_that_fails_once_is_tried_again() -> None:
    async def check() -> None:
        slots = FakeSlots(lambda slot, job: passed(), failing=2)
        pool = ExecutionPool("cpu", slots.start, 1)
        pool.open()
        await pool.ready()
        assert (await run(pool, job())).verdict is Verdict.PASSED
        await pool.close()

    asyncio.run(check())


def test_stopping_refuses_what_waits_and_finishes_what_runs() -> None:
    async def check() -> None:
        slots = FakeSlots(lambda slot, job: passed(), delay=0.01)
        pool = ExecutionPool("cpu", slots.start, 1)
        pool.open()
        await pool.ready()
        running = asyncio.create_task(run(pool, job("runs")))
        waiting = asyncio.create_task(run(pool, job("waits")))
        await asyncio.sleep(0)
        pool.stop()
        assert (await running).verdict is Verdict.PASSED
        with pytest.raises(Stopped):
            await waiting
        with pytest.raises(Stopped):
            await run(pool, job("late"))
        await pool.close()

    asyncio.run(check())


def test_generation_is_held_back_while_too_much_is_queued() -> None:
    async def check() -> None:
        slots = FakeSlots(lambda slot, job: passed(), delay=0.001)
        pool = ExecutionPool("cpu", slots.start, 1)
        pool.open()
        await pool.ready()
        work = [asyncio.create_task(run(pool, job(str(n)))) for n in range(40)]
        await asyncio.sleep(0)
        room = asyncio.create_task(pool.room())
        await asyncio.sleep(0)
        assert not room.done()
        await room
        assert pool.waiting < 40
        await asyncio.gather(*work)
        await pool.close()

    asyncio.run(check())
