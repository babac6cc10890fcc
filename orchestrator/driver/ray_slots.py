"""Execution slots that are Ray actors."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from orchestrator.core.digests import digest
from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Problem
from orchestrator.driver.slots import Slot, SlotDied
from orchestrator.execute.actor import ExecutionActor, SlotInfo, SlotSettings
from orchestrator.execute.card_health import CardLost

if TYPE_CHECKING:
    from ray import ObjectRef

__all__ = ["RaySlot", "RaySlotFactory"]

OVERRUN_S: Final = 300.0
"""A running call (never a queued one) is given its own limits four times over and this, then its actor is
replaced: the executor enforces every limit itself, so only a lost node or a hung driver of a card gets here."""


class Bundles:
    """Problems and their recordings in the object store, one entry a problem."""

    def __init__(self) -> None:
        self._references: dict[str, ObjectRef[Any]] = {}

    def get(self, problem: Problem, preparation: Preparation) -> tuple[str, ObjectRef[Any]]:
        """The key of the bundle and a reference to it."""
        import ray

        key = f"{problem.digest}:{digest(preparation.limits)}"
        if key not in self._references:
            self._references[key] = ray.put((problem, preparation))
        return key, self._references[key]


class RaySlot:
    """One execution actor."""

    def __init__(self, actor: Any, info: SlotInfo, bundles: Bundles) -> None:
        self._actor = actor
        self._bundles = bundles
        self.info = info

    @property
    def node(self) -> str:
        """Ray node id."""
        return self.info.node

    @property
    def place(self) -> str:
        """Its card, or its machine where it has none."""
        return self.info.place

    @property
    def failure(self) -> str:
        """Why nothing can run on its card; empty where all is well."""
        return self.info.failure

    @property
    def isolation(self) -> str:
        """What its executor enforces."""
        return self.info.isolation

    @property
    def card(self) -> str:
        """What its GPU says of itself; empty without one."""
        return self.info.card

    async def prepare(self, problem: Problem, seed: int) -> Preparation:
        """Run the reference on the actor."""
        deadline = 40 * max(problem.limits.wall_s, problem.limits.cpu_s, 1.0) + OVERRUN_S
        return cast(Preparation, await _call(self._actor.prepare.remote(problem, seed), deadline))

    async def run(self, problem: Problem, preparation: Preparation, job: Job) -> Execution:
        """Run a program on the actor."""
        key, reference = self._bundles.get(problem, preparation)
        deadline = 4 * max(job.limits.wall_s, job.limits.cpu_s) + OVERRUN_S
        execution = cast(Execution, await _call(self._actor.run.remote(key, [reference], job), deadline))
        slot = f"{self.info.host}:{self.info.pid}"
        return replace(execution, node=self.info.host, slot=slot, isolation=self.info.isolation)

    async def park(self) -> None:
        """End the executor and keep the actor, which holds the lease."""
        await _call(self._actor.close.remote(), 10.0)

    async def close(self) -> None:
        """Ask the executor to end what it started, then end the actor."""
        import ray

        try:
            await _call(self._actor.close.remote(), 10.0)
        finally:
            ray.kill(self._actor, no_restart=True)


class RaySlotFactory:
    """Starts execution actors of one hardware class."""

    def __init__(self, settings: SlotSettings, labels: dict[str, str], kind: str) -> None:
        """``labels`` select the nodes; ``kind`` of tests to start the executor for at once."""
        self._settings = settings
        self._labels = labels
        self._kind = kind
        self._bundles = Bundles()

    async def start(self) -> Slot:
        """Bring up one actor.

        Waiting has no limit: an autoscaler may be adding the node.

        Raises:
            SlotDied: it did not come up.
        """
        import ray

        gpu = self._settings.device == "gpu"
        options: dict[str, Any] = {"num_cpus": 0 if gpu else 1, "max_restarts": 0, "max_task_retries": 0}
        if gpu:
            options["num_gpus"] = 1
        if self._labels:
            options["label_selector"] = dict(self._labels)
        actor_class: Any = ray.remote(ExecutionActor)
        actor = actor_class.options(**options).remote(self._settings)
        try:
            info = cast(SlotInfo, await _call(actor.describe.remote(self._kind), None))
        except BaseException:
            ray.kill(actor, no_restart=True)
            raise
        return RaySlot(actor, info, self._bundles)


async def _call(reference: Any, deadline_s: float | None) -> object:
    import ray.exceptions

    try:
        return await asyncio.wait_for(reference, deadline_s)
    except TimeoutError as error:
        raise SlotDied(f"no answer within {deadline_s:.0f} s", suspect=True) from error
    except ray.exceptions.RayTaskError as error:
        # The executor raised: it is broken, whatever the program was.
        reason = str(error.cause or error).strip().splitlines()[-1]
        raise SlotDied(reason, suspect=True, lost=isinstance(error.cause, CardLost)) from error
    except ray.exceptions.RayError as error:
        raise SlotDied(_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
