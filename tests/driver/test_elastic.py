"""Pools that follow the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from orchestrator.cluster.capacity import Demand, NodeView
from orchestrator.driver.elastic import Elastic
from orchestrator.driver.pool import ExecutionPool
from orchestrator.driver.slots import SlotDied

from .fakes import FakeSlot, job, passed
from .test_pool import run

CPU = Demand("local:cpu", "local", False, {})


def node(name: str, cpus: int, *, draining: bool = False) -> NodeView:
    return NodeView(name, name, "10.0.0.1", {}, cpus, 0, draining)


class Nodes:
    """Places slots on nodes as Ray does: where there is room, else they wait."""

    def __init__(self, *nodes: NodeView) -> None:
        self.nodes = list(nodes)
        self.slots: list[FakeSlot] = []
        self.changed = asyncio.Event()

    def set(self, *nodes: NodeView) -> None:
        self.nodes = list(nodes)
        for slot in self.slots:
            if slot.node not in {node.id for node in nodes}:
                slot.closed = True
        self.changed.set()

    async def start(self) -> FakeSlot:
        while True:
            for each in self.nodes:
                used = sum(slot.node == each.id and not slot.closed for slot in self.slots)
                if used < each.cpus and not each.draining:
                    slot = FakeSlot(lambda slot, job: passed(), node=each.id, delay=0.001)
                    self.slots.append(slot)
                    return slot
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), 0.05)
            except TimeoutError:
                continue

    @property
    def open(self) -> list[str]:
        return sorted(slot.node for slot in self.slots if not slot.closed)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  (what is waited for has no event)
            await asyncio.sleep(0.005)


async def opened(nodes: Nodes, size: int) -> ExecutionPool:
    pool = ExecutionPool("local:cpu", nodes.start, size, attempts=5)
    pool.open()
    await pool.ready()
    await until(lambda: pool.standing == size)
    return pool


def test_a_node_that_joins_adds_its_slots() -> None:
    async def check() -> None:
        nodes = Nodes(node("a", 2))
        pool = await opened(nodes, 2)
        grown: list[int] = []
        elastic = Elastic({"local:cpu": pool}, [CPU], lambda: nodes.nodes, grown=grown.append)
        elastic.adapt(nodes.nodes)
        nodes.set(node("a", 2), node("b", 3))
        elastic.adapt(nodes.nodes)
        await until(lambda: pool.standing == 5)
        assert nodes.open == ["a", "a", "b", "b", "b"]
        assert grown == [3]
        await pool.close()

    asyncio.run(check())


def test_with_a_number_of_slots_configured_a_node_adds_none() -> None:
    async def check() -> None:
        nodes = Nodes(node("a", 2))
        pool = await opened(nodes, 2)
        elastic = Elastic({"local:cpu": pool}, [CPU], lambda: nodes.nodes, fixed=True)
        nodes.set(node("a", 2), node("b", 3))
        elastic.adapt(nodes.nodes)
        assert pool.size == 2
        await pool.close()

    asyncio.run(check())


def test_a_node_about_to_leave_finishes_what_it_runs_and_gets_nothing_new() -> None:
    async def check() -> None:
        nodes = Nodes(node("a", 2), node("b", 2))
        pool = await opened(nodes, 4)
        elastic = Elastic({"local:cpu": pool}, [CPU], lambda: nodes.nodes)
        elastic.adapt(nodes.nodes)
        work = [asyncio.create_task(run(pool, job(str(n)))) for n in range(40)]
        await until(lambda: pool.running == 4)
        nodes.nodes = [node("a", 2, draining=True), node("b", 2)]
        elastic.adapt(nodes.nodes)
        before = sum(len(slot.ran) for slot in nodes.slots if slot.node == "a")
        results = await asyncio.gather(*work)
        assert {result.verdict for result in results} == {"passed"}
        assert pool.lost_slots == 0
        on_a = [slot for slot in nodes.slots if slot.node == "a"]
        assert all(slot.closed for slot in on_a)
        # A step that had its slot when the notice came may have begun after it; nothing else may.
        assert sum(len(slot.ran) for slot in on_a) <= before + 2
        assert sum(len(slot.ran) for slot in nodes.slots) == 40
        await pool.close()

    asyncio.run(check())


def test_a_spare_takes_the_place_of_a_lost_node_and_the_wait_between_is_said() -> None:
    async def check() -> None:
        nodes = Nodes(node("a", 2))
        pool = await opened(nodes, 2)
        said: list[str] = []
        elastic = Elastic({"local:cpu": pool}, [CPU], lambda: nodes.nodes, say=said.append)
        elastic.adapt(nodes.nodes)
        work = [asyncio.create_task(run(pool, job(str(n)))) for n in range(20)]
        await until(lambda: pool.running == 2)
        nodes.set()
        await until(lambda: pool.standing == 0)
        elastic.adapt(nodes.nodes)
        assert said == ["no node of class local is left: waiting for one"]
        assert not any(task.done() and task.exception() for task in work)
        nodes.set(node("spare", 2))
        results = await asyncio.gather(*work)
        elastic.adapt(nodes.nodes)
        assert said[-1] == ""
        assert {result.verdict for result in results} == {"passed"}
        assert nodes.open == ["spare", "spare"]
        await pool.close()

    asyncio.run(check())


def test_slots_whose_starts_failed_are_started_again_when_the_nodes_change() -> None:
    async def check() -> None:
        nodes = Nodes(node("a", 1))
        failing = True

        async def start() -> FakeSlot:
            if failing and nodes.open:
                raise SlotDied("the node went while it started")
            return await nodes.start()

        pool = ExecutionPool("local:cpu", start, 3)
        pool.open()
        await pool.ready()
        await until(lambda: pool.starting == 0)
        assert pool.standing == 1
        failing = False
        nodes.set(node("a", 1), node("b", 2))
        Elastic({"local:cpu": pool}, [CPU], lambda: nodes.nodes).adapt(nodes.nodes)
        await until(lambda: pool.standing == 3)
        await pool.close()

    asyncio.run(check())


def test_nodes_that_cannot_be_listed_for_a_while_are_looked_at_again() -> None:
    async def check() -> None:
        nodes = Nodes(node("a", 1))
        pool = ExecutionPool("local:cpu", nodes.start, 1)
        pool.open()
        failures = iter([ConnectionError("the head is away"), RuntimeError("the head is busy")])

        def listed() -> list[NodeView]:
            for failure in failures:
                raise failure
            return nodes.nodes

        nodes.set(node("a", 1), node("b", 2))
        watching = asyncio.create_task(Elastic({"local:cpu": pool}, [CPU], listed, poll_s=0.001).watch())
        await until(lambda: pool.standing == 3)
        assert not watching.done()
        watching.cancel()
        await pool.close()

    asyncio.run(check())
