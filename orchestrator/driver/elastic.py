"""Nodes that join and leave while a sweep runs: pools grow with the first and are drained of the second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from orchestrator.cluster.capacity import Demand, NodeView, share_out
from orchestrator.driver.pool import ExecutionPool

__all__ = ["Elastic"]

logger = logging.getLogger(__name__)

POLL_S: Final = 3.0
"""Between two looks at the nodes. A spot notice gives two minutes, and an actor takes a second to start."""


class Elastic:
    """Watches the nodes. It only reads the cluster: what is queued is never ended for its age.

    A slot that is lost with its node is asked for again by its pool at once; such an actor waits at Ray until a
    node has room, which also is what tells an autoscaler that a node is wanted. (A standing request for resources
    would do the same, but would outlive a killed driver and keep paid machines up.)
    """

    def __init__(
        self,
        pools: Mapping[str, ExecutionPool],
        demands: Sequence[Demand],
        nodes: Callable[[], list[NodeView]],
        *,
        fixed: bool = False,
        grown: Callable[[int], None] = lambda more: None,
        say: Callable[[str], None] = lambda line: None,
        poll_s: float = POLL_S,
    ) -> None:
        """Prepare to watch.

        Args:
            pools: by name.
            demands: what each pool needs of a node.
            nodes: lists the living nodes; called in a thread.
            fixed: the number of slots was configured, so pools are refilled but not grown.
            grown: told how many slots were added.
            say: takes a line for people when a pool has lost its last slot, and an empty one when it has one again.
            poll_s: seconds between two looks.
        """
        self._pools = pools
        self._demands = tuple(demands)
        self._nodes = nodes
        self._fixed = fixed
        self._grown = grown
        self._say = say
        self._poll_s = poll_s
        self._seen: dict[str, bool] | None = None
        self._said = ""

    async def watch(self) -> None:
        """Look at the nodes for ever. A look that fails (the head may be busy or away) is made again."""
        while True:
            try:
                nodes = await asyncio.to_thread(self._nodes)
            except Exception as error:  # noqa: BLE001 - Ray raises what it likes, and the sweep needs no look
                logger.warning("the nodes could not be listed: %s", error)
            else:
                self.adapt(nodes)
            await asyncio.sleep(self._poll_s)

    def adapt(self, nodes: Sequence[NodeView]) -> None:
        """Make the pools fit these nodes."""
        seen = {node.id: node.draining for node in nodes}
        if seen != self._seen:
            self._seen = seen
            room = share_out(self._demands, nodes)
            leaving = [node.id for node in nodes if node.draining]
            for name, pool in self._pools.items():
                before = pool.size
                pool.forget(seen)
                pool.drain(leaving)
                pool.grow(before if self._fixed else room[name])
                if pool.size > before:
                    self._grown(pool.size - before)
        empty = [d.hardware for d in self._demands if self._pools[d.pool].standing == 0]
        line = f"no node of class {', '.join(empty)} is left: waiting for one" if empty else ""
        if line != self._said:
            self._said = line
            self._say(line)
