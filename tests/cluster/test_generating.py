"""Generation stays off machines with cards, as long as there are others."""

from __future__ import annotations

import asyncio

import pytest
import ray
from ray._private.state import state

from orchestrator.cluster.capacity import NodeView, generating_nodes, list_nodes
from orchestrator.generate.attempts import Endpoint
from orchestrator.generate.pool import ActorPool

from .nodes import nodes


def node(name: str, *, gpus: int = 0, draining: bool = False) -> NodeView:
    return NodeView(name, name, "10.0.0.1", {}, 4, gpus, draining)


def test_machines_without_cards_send_and_all_do_where_each_has_one() -> None:
    head, card, other, leaving = node("head"), node("card", gpus=1), node("x", gpus=2), node("y", draining=True)
    assert generating_nodes([head, card, leaving]) == [head]
    assert generating_nodes([card, other, leaving]) == [card, other]


@pytest.mark.slow
def test_actors_that_send_stand_on_machines_without_cards() -> None:
    with nodes() as cluster:
        for gpus in (1, 1, 0):
            cluster.add(1, gpus=gpus)
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            sending = [each.id for each in generating_nodes(list_nodes())]
            assert len(sending) == 2
            pool = ActorPool(Endpoint("anthropic", None, needs_key=False), 4, places=lambda: sending)
            asyncio.run(pool.ready())
            found = [state.actor_table(handle._actor_id.hex())["Address"]["NodeID"] for handle in pool.handles]
            assert sorted(found) == sorted(sending * 2)
            asyncio.run(pool.close())
        finally:
            ray.shutdown()
