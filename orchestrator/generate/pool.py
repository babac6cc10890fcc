"""A pool of generation actors on a Ray cluster, behind the same interface as a single client."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from orchestrator.generate.actor import GenerationActor
from orchestrator.generate.attempts import Attempt, AttemptResult, Endpoint, Failure, FailureKind, ModelFacts
from orchestrator.generate.batch_records import BatchEntry, BatchOutcome, BatchStatus, CallResult
from orchestrator.generate.client import IN_FLIGHT_PER_CLIENT
from orchestrator.generate.requests import is_loopback

__all__ = ["ActorPool", "actors_for"]

T = TypeVar("T")


def actors_for(in_flight: int) -> int:
    """Actors that ``in_flight`` requests need at the number that one client carries well."""
    return max(1, math.ceil(in_flight / IN_FLIGHT_PER_CLIENT))


@dataclass(slots=True, eq=False)
class _Member:
    name: str
    """Stays when a dead actor is replaced: it is a place in the pool."""
    handle: Any
    in_flight: int = 0


class ActorPool:
    """Sends each request through the actor with the fewest in flight.

    An actor that dies is replaced; its requests are reported as ``actor_died`` (they may have been charged) and
    whoever asked for them tries again. Actors are created with ``max_restarts=0``: Ray would bring one back
    without telling which of its requests were lost.
    """

    def __init__(
        self, endpoint: Endpoint, actors: int, *, places: Callable[[], Sequence[str]] = lambda: ()
    ) -> None:
        """Start ``actors`` actors. Ray must be initialised.

        A loopback address means this machine, so those actors are pinned to the driver's node; others are spread
        over the nodes that ``places`` names by their ids, or over all where it names none.
        """
        if actors < 1:
            raise ValueError(f"a pool needs at least one actor, not {actors}")
        self._endpoint = endpoint
        self._places = places
        self._turn = itertools.count()
        kind = endpoint.provider.partition(":")[0]
        self._members = [_Member(f"generation-{kind}-{i}", self._start()) for i in range(actors)]

    def _start(self) -> Any:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options: dict[str, Any] = {
            # Waiting for the network needs no core of its own.
            "num_cpus": 0,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 2 * IN_FLIGHT_PER_CLIENT,
        }
        if is_loopback(self._endpoint.base_url):
            node = ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        elif places := self._places():
            # Not `soft`: Ray heeds that for actors only where they take a share of a core.
            node = places[next(self._turn) % len(places)]
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        else:
            # One address of the network for all of them would share one host's connections.
            options["scheduling_strategy"] = "SPREAD"
        return ray.remote(GenerationActor).options(**options).remote(self._endpoint)

    @property
    def handles(self) -> list[Any]:
        """The actors' handles, for measurements."""
        return [member.handle for member in self._members]

    async def ready(self) -> None:
        """Wait until every actor stands.

        Raises:
            ray.exceptions.RayActorError: one could not be started.
        """
        await asyncio.gather(*(member.handle.ready.remote() for member in self._members))

    async def send(self, attempt: Attempt) -> AttemptResult:
        """Send one request once, through the least busy actor."""
        sent: list[str] = []
        result, died = await self._through(lambda handle: handle.send.remote(attempt), sent.append)
        return AttemptResult(None, died) if result is None else replace(result, slot=sent[0])

    async def probe(self, model: str) -> CallResult[ModelFacts]:
        """Ask for the model's description."""
        return await self._call(lambda handle: handle.probe.remote(model))

    async def create_batch(self, entries: Sequence[BatchEntry]) -> CallResult[BatchStatus]:
        """Submit a Message Batch."""
        return await self._call(lambda handle: handle.create_batch.remote(entries))

    async def batch_status(self, batch_id: str) -> CallResult[BatchStatus]:
        """Ask how far a batch is."""
        return await self._call(lambda handle: handle.batch_status.remote(batch_id))

    async def batch_outcomes(self, batch_id: str) -> CallResult[list[BatchOutcome]]:
        """All results of a batch that ended."""
        return await self._call(lambda handle: handle.batch_outcomes.remote(batch_id))

    async def recent_batches(self, limit: int) -> CallResult[list[BatchStatus]]:
        """The account's latest batches, newest first."""
        return await self._call(lambda handle: handle.recent_batches.remote(limit))

    async def cancel_batch(self, batch_id: str) -> CallResult[BatchStatus]:
        """Ask the provider to stop a batch."""
        return await self._call(lambda handle: handle.cancel_batch.remote(batch_id))

    async def close(self) -> None:
        """End all actors."""
        import ray

        members, self._members = self._members, []
        for member in members:
            ray.kill(member.handle, no_restart=True)

    async def _call(self, call: Callable[[Any], Awaitable[CallResult[T]]]) -> CallResult[T]:
        result, died = await self._through(call)
        return CallResult(None, died) if result is None else result

    async def _through(
        self, call: Callable[[Any], Awaitable[T]], chosen: Callable[[str], None] | None = None
    ) -> tuple[T | None, Failure | None]:
        """The call's result, or the death of the actor that made it; ``chosen`` is told which one is asked."""
        import ray

        member = min(self._members, key=lambda m: m.in_flight)
        if chosen is not None:
            chosen(member.name)
        member.in_flight += 1
        try:
            return await call(member.handle), None
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as error:
            # The second: its node went before it stood.
            self._replace(member)
            words = str(error).split("\n", 1)[0]
            failure = Failure(FailureKind.ACTOR_DIED, f"a generation actor ended: {words}", may_have_charged=True)
            return None, failure
        finally:
            member.in_flight -= 1

    def _replace(self, member: _Member) -> None:
        """Put a new actor in the place of a dead one; the first of its requests to notice does."""
        import ray

        if member in self._members:
            # It may only be out of reach: then it must not go on sending for nobody.
            ray.kill(member.handle, no_restart=True)
            self._members[self._members.index(member)] = _Member(member.name, self._start())
