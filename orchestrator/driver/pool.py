"""A pool of execution slots: who runs what next, and what happens when a slot dies.

Queued work is never judged by its age: it waits until a slot is free. A step that was running when its slot died
is put back and given to another slot, of another card or machine where there is one; a program that takes several
slots with it gets ``infrastructure``. A card that is lost is not used again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.slots import Places, PoolBroken, Slot, SlotDied, Stopped
from orchestrator.driver.waiting import Waiting, Work

__all__ = ["ExecutionPool", "PoolBroken", "Stopped"]

MOST_FAILED_STARTS: Final = 3
"""Slots in a row that did not come up before the pool gives up on the machine."""


class ExecutionPool:
    """Slots of one hardware class behind one priority queue."""

    def __init__(
        self, name: str, start: Callable[[], Awaitable[Slot]], size: int, *, attempts: int = 3, ahead: int = 0
    ) -> None:
        """Prepare the pool.

        Args:
            name: hardware class.
            start: brings up one slot or raises :class:`SlotDied`.
            size: slots.
            attempts: tries per step.
            ahead: steps that may be queued before :meth:`room` holds generation back, if that is more than the
                slots need. The slots live on the queue for as long as new replies take, so where replies take
                long it must hold as many programs as there are replies under way.
        """
        self.name = name
        self.size = size
        self._ahead = ahead
        self._start = start
        self._attempts = attempts
        self._counter = itertools.count()
        self._heap: list[Waiting] = []
        self._alone: list[Waiting] = []
        self._slots: list[Slot] = []
        self._idle: list[Slot] = []
        self._parked: list[Slot] = []
        self._places = Places()
        self._reserved_nodes: set[str] = set()
        self._leaving: frozenset[str] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._failed_starts = 0
        self._failure: str | None = None
        self._stopping = False
        self._closed = False
        self._room = asyncio.Event()
        self._room.set()
        self._ready = asyncio.Event()
        self.isolations: set[str] = set()
        self.lost_slots = 0
        self.troubles: list[str] = []
        """What was taken out and why, one sentence each, for people."""
        self.say: Callable[[str], None] = lambda line: None
        """Takes each of them when it happens."""

    # -- life ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start all slots in the background."""
        for _ in range(self.size):
            self._start_one()

    @property
    def card(self) -> str:
        """What the cards say of themselves; the first slot speaks for its class."""
        return next((slot.card for slot in self._slots), "")

    async def ready(self) -> None:
        """Wait for the first slot.

        Raises:
            PoolBroken: none came up.
        """
        await self._ready.wait()
        if self._failure is not None:
            raise PoolBroken(self._failure)

    def stop(self) -> None:
        """Start nothing more: what waits is refused with :class:`Stopped`, what runs is finished."""
        self._stopping = True
        self._refuse(Stopped)

    async def close(self) -> None:
        """Give all slots back."""
        self._closed = True
        self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        held = (*self._slots, *self._parked)
        await asyncio.gather(*(slot.close() for slot in held), return_exceptions=True)
        for slots in (self._slots, self._idle, self._parked):
            slots.clear()

    def grow(self, size: int) -> None:
        """The cluster has room for ``size`` slots now: start what is missing, never end what runs."""
        self.size = max(size, self.size)
        if self._stopping or self._failure is not None:
            return
        for _ in range(self.size - len(self._slots) - self._starting - len(self._parked)):
            self._start_one()

    def forget(self, there: Iterable[str]) -> None:
        """Only these nodes are there: what was taken out with others no longer counts as a slot."""
        kept = set(there)
        for slot in [slot for slot in self._parked if slot.node not in kept]:
            self._parked.remove(slot)
            self._spawn(_quietly(slot.close()))

    def drain(self, nodes: Iterable[str]) -> None:
        """These nodes are about to leave: their slots finish what they run and are replaced elsewhere."""
        self._leaving = frozenset(nodes)
        for slot in [slot for slot in self._idle if slot.node in self._leaving]:
            self._idle.remove(slot)
            self._retire(slot)

    # -- use -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Slots at work."""
        return len(self._slots) - len(self._idle)

    @property
    def standing(self) -> int:
        """Slots that are up."""
        return len(self._slots)

    @property
    def starting(self) -> int:
        """Slots that were asked for and are not up yet."""
        return self._starting

    @property
    def waiting(self) -> int:
        """Steps that wait for a slot."""
        return len(self._heap) + len(self._alone)

    async def room(self) -> None:
        """Wait while more steps are queued than the slots can soon take: this is what holds generation back."""
        await self._room.wait()

    async def prepare(self, problem: Problem, seed: int) -> Preparation:
        """Run a problem's reference on any slot."""
        result = await self._submit(lambda slot: slot.prepare(problem, seed), priority=0, alone=False)
        if isinstance(result, Preparation):
            return result
        return Preparation(problem.id, Verdict.INFRASTRUCTURE, str(result), problem.limits)

    async def run(self, problem: Problem, preparation: Preparation, job: Job, *, priority: int) -> Execution:
        """Run a program; smaller ``priority`` goes first. ``job.alone`` waits until its whole node is idle.

        Raises:
            Stopped: the pool is stopping and the program was not started.
            PoolBroken: there are no slots and none can be started.
        """
        result = await self._submit(
            lambda slot: slot.run(problem, preparation, job), priority=priority, alone=job.alone
        )
        if isinstance(result, Execution):
            return result
        return Execution(Verdict.INFRASTRUCTURE, str(result))

    async def _submit(self, work: Work, *, priority: int, alone: bool) -> object:
        if self._stopping:
            raise Stopped
        if self._failure is not None:
            raise PoolBroken(self._failure)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._enqueue(Waiting((priority, next(self._counter)), work, done), alone=alone)
        return await done

    def _enqueue(self, waiting: Waiting, *, alone: bool) -> None:
        if alone:
            self._alone.append(waiting)
        else:
            heapq.heappush(self._heap, waiting)
        self._dispatch()

    # -- dispatch ------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        aside = []
        while self._heap and self._free_slots():
            waiting = heapq.heappop(self._heap)
            if waiting.done.done():
                continue
            slot = self._slot_for(waiting)
            if slot is None:
                aside.append(waiting)
            else:
                self._launch(slot, waiting, alone=False)
        for waiting in aside:
            heapq.heappush(self._heap, waiting)
        if not self._heap:
            self._dispatch_alone()
        if len(self._heap) < max(2 * max(self.size, 1) + 8, self._ahead):
            self._room.set()
        else:
            self._room.clear()

    def _free_slots(self) -> list[Slot]:
        return [slot for slot in self._idle if slot.node not in self._reserved_nodes]

    def _slot_for(self, waiting: Waiting) -> Slot | None:
        """A free slot; None where one that is busy now should be waited for.

        A step whose slot died goes to another card or machine, while there is one.
        """
        free = self._free_slots()
        if waiting.tried:
            elsewhere = [slot for slot in self._slots if slot.place not in waiting.tried]
            if elsewhere:
                return next((slot for slot in free if slot in elsewhere), None)
        return free[0]

    def _dispatch_alone(self) -> None:
        """Reruns wait for the end of everything else, then take a node each."""
        while self._alone:
            busy = {slot.node for slot in self._slots if slot not in self._idle} | self._reserved_nodes
            free = next((slot for slot in self._idle if slot.node not in busy), None)
            if free is None:
                return
            waiting = self._alone.pop(0)
            if not waiting.done.done():
                self._reserved_nodes.add(free.node)
                self._launch(free, waiting, alone=True)

    def _launch(self, slot: Slot, waiting: Waiting, *, alone: bool) -> None:
        self._idle.remove(slot)
        self._spawn(self._work(slot, waiting, alone=alone))

    async def _work(self, slot: Slot, waiting: Waiting, *, alone: bool) -> None:
        try:
            result = await waiting.work(slot)
        except SlotDied as error:
            self._lose(slot, waiting, error, alone=alone)
        except asyncio.CancelledError:
            waiting.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed to the one who asked
            # A fault of ours, or a Ray that is gone: who asked is told, where it would wait for ever.
            if alone:
                self._reserved_nodes.discard(slot.node)
            self._retire(slot)
            waiting.refuse(error)
        else:
            if alone:
                self._reserved_nodes.discard(slot.node)
            self._places.worked(slot.place)
            if slot.place in self._places:
                self._park(slot)
            elif slot.node in self._leaving:
                self._retire(slot)
            else:
                self._idle.append(slot)
            waiting.give(result)
        self._dispatch()

    def _lose(self, slot: Slot, waiting: Waiting, error: SlotDied, *, alone: bool) -> None:
        self.lost_slots += 1
        if alone:
            self._reserved_nodes.discard(slot.node)
        others = any(each.place != slot.place for each in self._slots)
        self._places.failed(slot.place, waiting.order[1], error, others=others)
        if slot.place in self._places:
            for each in [slot, *(idle for idle in self._idle if idle.place == slot.place)]:
                self._park(each)
        else:
            self._retire(slot)
        waiting.tries += 1
        waiting.tried.add(slot.place)
        if waiting.done.done():
            return
        if waiting.tries >= self._attempts:
            waiting.give(f"its execution slot died {waiting.tries} times: {error}")
        elif self._failure is not None:
            waiting.refuse(PoolBroken(self._failure))
        elif self._stopping:
            waiting.refuse(Stopped())
        else:
            self._enqueue(waiting, alone=alone)

    # -- slots ---------------------------------------------------------------------------------------------

    def _retire(self, slot: Slot) -> None:
        self._slots.remove(slot)
        self._spawn(_quietly(slot.close()))
        if not self._stopping:
            self._start_one()

    def _park(self, slot: Slot) -> None:
        """Take a slot out for good. It keeps its lease, or Ray would give the same card to the next one."""
        for slots in (self._slots, self._idle):
            if slot in slots:
                slots.remove(slot)
        self._parked.append(slot)
        self._spawn(_quietly(slot.park()))
        reason = self._places.reason(slot.place)
        self._trouble(f"{slot.place} was taken out of the run: {reason}")
        if not self._slots and self._starting == 0:
            self._fail(f"no execution slot of class {self.name} is left: {reason}")

    def _trouble(self, sentence: str) -> None:
        if sentence not in self.troubles:
            self.troubles.append(sentence)
            self.say(sentence)

    def _start_one(self) -> None:
        self._starting += 1
        self._spawn(self._bring_up())

    async def _bring_up(self) -> None:
        try:
            slot = await self._start()
        except SlotDied as error:
            self._starting -= 1
            self._failed_starts += 1
            if self._failed_starts < MOST_FAILED_STARTS:
                self._start_one()
                return
            self._trouble(f"a slot of class {self.name} could not be started: {error}")
            if not self._slots and self._starting == 0:
                self._fail(f"no execution slot of class {self.name} could be started: {error}")
            return
        except Exception as error:
            # A fault of ours: everybody who waits is told, where they would wait for ever.
            self._starting -= 1
            self._fail(f"no execution slot of class {self.name} could be started: {error!r}")
            raise
        self._starting -= 1
        self._failed_starts = 0
        if self._closed:
            await slot.close()
            return
        if slot.failure:
            self._places.lost(slot.place, slot.failure)
        if slot.place in self._places:
            self._park(slot)
            return
        self.isolations.add(slot.isolation)
        self._slots.append(slot)
        self._idle.append(slot)
        self._ready.set()
        self._dispatch()

    def _fail(self, reason: str) -> None:
        self._failure = reason
        self._ready.set()
        self._refuse(lambda: PoolBroken(reason))

    def _refuse(self, error: Callable[[], Exception]) -> None:
        """Tell everybody who waits."""
        for waiting in (*self._heap, *self._alone):
            waiting.refuse(error())
        self._heap.clear()
        self._alone.clear()
        self._room.set()

    def _spawn(self, coroutine: Awaitable[None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quietly(goodbye: Awaitable[None]) -> None:
    try:
        await goodbye
    except SlotDied:
        # It is gone already, which is what was wanted.
        return
