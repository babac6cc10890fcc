"""The pool: priorities, lost slots, reruns alone, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.pool import ExecutionPool, PoolBroken, Stopped
from orchestrator.driver.slots import SlotDied

from .fakes import LIMITS, Behaviour, FakeSlot, FakeSlots, job, passed, problem

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


def test_replies_that_take_long_may_fill_a_longer_queue() -> None:
    """Else the slots are idle from the end of a short queue until the next replies come."""

    async def check() -> None:
        slots = FakeSlots(lambda slot, job: passed(), delay=0.001)
        pool = ExecutionPool("cpu", slots.start, 1, ahead=50)
        pool.open()
        await pool.ready()
        work = [asyncio.create_task(run(pool, job(str(n)))) for n in range(40)]
        await asyncio.sleep(0)
        room = asyncio.create_task(pool.room())
        await asyncio.sleep(0)
        assert room.done()
        assert pool.waiting == 39
        await asyncio.gather(*work)
        await pool.close()

    asyncio.run(check())


def on(
    places: list[str], behave: Behaviour, *, failure: str = ""
) -> tuple[Callable[[], Awaitable[FakeSlot]], list[FakeSlot]]:
    """Starts slots as Ray does: each gets the first place that nobody holds."""
    made: list[FakeSlot] = []

    async def start() -> FakeSlot:
        while True:
            held = {slot.place for slot in made if not slot.closed}
            free = [place for place in places if place not in held]
            if free:
                broken = failure if free[0] == "bad" else ""
                made.append(FakeSlot(behave, node=free[0], place=free[0], delay=0.001, failure=broken))
                return made[-1]
            await asyncio.sleep(0.001)

    return start, made


def test_a_lost_card_is_not_used_again_and_its_program_runs_on_another() -> None:
    async def check() -> None:
        def behave(slot: FakeSlot, job: Job) -> Execution:
            if slot.place == "bad":
                raise SlotDied("GPU is lost", lost=True)
            return Execution(Verdict.PASSED, slot.place)

        start, made = on(["bad", "good"], behave)
        pool = ExecutionPool("gpu", start, 2)
        said: list[str] = []
        pool.say = said.append
        pool.open()
        await pool.ready()
        found = await asyncio.gather(*(run(pool, job(str(n))) for n in range(20)))
        assert [each.reason for each in found] == ["good"] * 20
        assert said == pool.troubles == ["bad was taken out of the run: GPU is lost"]
        # It keeps its lease, so that Ray does not give the card to the next actor.
        assert [(slot.place, slot.parked, slot.closed) for slot in made] == [
            ("bad", True, False),
            ("good", False, False),
        ]
        pool.grow(2)
        assert pool.starting == 0
        await pool.close()
        assert all(slot.closed for slot in made)

    asyncio.run(check())


def test_a_card_that_is_broken_when_its_slot_starts_does_not_hold_up_the_others() -> None:
    async def check() -> None:
        start, _ = on(
            ["bad", "good"], lambda slot, job: Execution(Verdict.PASSED, slot.place), failure="no context"
        )
        pool = ExecutionPool("gpu", start, 2)
        pool.open()
        await pool.ready()
        assert {(await run(pool, job(str(n)))).reason for n in range(5)} == {"good"}
        assert pool.troubles == ["bad was taken out of the run: no context"]
        await pool.close()

    asyncio.run(check())


def test_when_the_last_card_is_lost_everybody_is_told_why() -> None:
    async def check() -> None:
        def behave(slot: FakeSlot, job: Job) -> Execution:
            raise SlotDied("GPU is lost", lost=True)

        start, _ = on(["one"], behave)
        pool = ExecutionPool("gpu", start, 1)
        pool.open()
        await pool.ready()
        found = await asyncio.gather(*(run(pool, job(str(n))) for n in range(3)), return_exceptions=True)
        assert [type(each) for each in found] == [PoolBroken] * 3
        assert str(found[0]) == "no execution slot of class gpu is left: GPU is lost"
        await pool.close()

    asyncio.run(check())


def test_a_place_where_programs_keep_failing_does_not_draw_all_work_to_itself() -> None:
    async def check() -> None:
        def behave(slot: FakeSlot, job: Job) -> Execution:
            if slot.place == "bad":
                # At once, where the good one takes its time.
                raise SlotDied("the referee died", suspect=True)
            return Execution(Verdict.PASSED, slot.place)

        start, made = on(["bad", "good"], behave)
        pool = ExecutionPool("gpu", start, 2, attempts=3)
        pool.open()
        await pool.ready()
        found = await asyncio.gather(*(run(pool, job(str(n))) for n in range(30)))
        assert {each.verdict for each in found} == {Verdict.PASSED}
        assert sum(len(slot.ran) for slot in made if slot.place == "bad") == 3
        assert "3 programs in a row could not be judged there" in pool.troubles[0]
        await pool.close()

    asyncio.run(check())


def test_the_only_place_is_not_taken_out_on_suspicion() -> None:
    async def check() -> None:
        def behave(slot: FakeSlot, job: Job) -> Execution:
            if job.program.startswith("poison"):
                raise SlotDied("the referee died", suspect=True)
            return passed()

        start, _ = on(["only"], behave)
        pool = ExecutionPool("gpu", start, 1, attempts=3)
        pool.open()
        await pool.ready()
        poison = await asyncio.gather(*(run(pool, job(f"poison{n}")) for n in range(5)))
        assert {each.verdict for each in poison} == {Verdict.INFRASTRUCTURE}
        assert (await run(pool, job())).verdict is Verdict.PASSED
        assert pool.troubles == []
        await pool.close()

    asyncio.run(check())


def test_a_program_that_kills_its_executor_takes_no_place_with_it() -> None:
    async def check() -> None:
        def behave(slot: FakeSlot, job: Job) -> Execution:
            if job.program.startswith("poison"):
                raise SlotDied("the referee died", suspect=True)
            return passed()

        start, made = on(["one", "two", "three"], behave)
        pool = ExecutionPool("gpu", start, 3, attempts=3)
        pool.open()
        await pool.ready()
        while pool.starting:  # noqa: ASYNC110  (a pool tells nobody when its last slot is up)
            await asyncio.sleep(0.001)
        poison = await run(pool, job("poison"))
        assert poison.verdict is Verdict.INFRASTRUCTURE
        # Three different places, as there were three.
        assert sorted(slot.place for slot in made if slot.ran) == ["one", "three", "two"]
        assert {(await run(pool, job(str(n)))).verdict for n in range(10)} == {Verdict.PASSED}
        assert pool.troubles == []
        await pool.close()

    asyncio.run(check())


def test_what_was_taken_out_with_a_node_makes_room_when_the_node_is_gone() -> None:
    async def check() -> None:
        lost = {"bad"}

        def behave(slot: FakeSlot, job: Job) -> Execution:
            if slot.place in lost:
                raise SlotDied("GPU is lost", lost=True)
            return Execution(Verdict.PASSED, slot.place)

        places = ["bad", "good"]
        start, _ = on(places, behave)
        pool = ExecutionPool("gpu", start, 2)
        pool.open()
        await pool.ready()
        await asyncio.gather(*(run(pool, job(str(n))) for n in range(4)))
        # The machine was started again, with the same card under another node.
        places[:] = ["good", "mended"]
        pool.forget(["good", "mended"])
        pool.grow(2)
        found = await asyncio.gather(*(run(pool, job(f"x{n}")) for n in range(20)))
        assert {each.reason for each in found} == {"good", "mended"}
        await pool.close()

    asyncio.run(check())


def test_a_fault_of_ours_in_starting_a_slot_is_told_to_everybody_who_waits() -> None:
    async def check() -> None:
        async def start() -> FakeSlot:
            raise ValueError("a label may not hold a space")

        pool = ExecutionPool("gpu", start, 1)
        pool.open()
        with pytest.raises(PoolBroken, match="a label may not hold a space"):
            await pool.ready()
        await pool.close()

    asyncio.run(check())


def test_a_fault_of_ours_in_a_step_is_told_to_whoever_waits_for_it() -> None:
    def behave(slot: FakeSlot, job: Job) -> Execution:
        if job.program == "odd":
            raise MemoryError("the object store is full")
        return passed()

    async def check() -> None:
        slots = FakeSlots(behave)
        pool = ExecutionPool("cpu", slots.start, 1)
        pool.open()
        async with asyncio.timeout(20):
            for alone in (False, True):
                with pytest.raises(MemoryError, match="object store"):
                    await run(pool, job("odd", alone=alone))
            # Its slot and its node are free for the others.
            assert (await run(pool, job("good"))).verdict is Verdict.PASSED
            assert (await run(pool, job("good", alone=True))).verdict is Verdict.PASSED
        await pool.close()
        assert all(slot.closed for slot in slots.made)

    asyncio.run(check())
