"""The Ray actor that holds one slot (and one GPU, where it was given one) and the executor in it."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.execution import Execution, Executor, Job, Preparation
from orchestrator.core.problems import GpuTests, Problem
from orchestrator.execute.card import Card, leased_card
from orchestrator.execute.card_health import CardHealth, CardLost
from orchestrator.execute.sandbox.process import die_with_parent

if TYPE_CHECKING:
    from ray import ObjectRef

__all__ = ["ExecutionActor", "SlotInfo", "SlotSettings"]

MOST_PROBLEMS: Final = 512
"""Problems with their recordings that an actor keeps at hand; the rest is fetched again."""
ARMING_TRIES: Final = 3
ARMING_PAUSE_S: Final = 5.0
"""A card whose last tenant was killed may still be giving memory back when the next one comes."""


@dataclass(frozen=True, slots=True)
class SlotSettings:
    """What an execution actor needs to know of the configuration."""

    device: str
    """``cpu`` or ``gpu``."""
    isolation: str
    """Required isolation: ``full``, ``partial`` or ``none``."""
    spares: int = 2
    memory_cap_bytes: int | None = None
    """Card memory that is enforced; None: all there is."""
    tools: tuple[str, ...] = ()
    """What looks at a GPU program besides, for feedback only: ``sanitizer``, ``ncu``."""


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """What an execution actor found where it runs."""

    node: str
    """Ray node id."""
    host: str
    isolation: str
    gpu: str
    """The card's name, empty without one."""
    gpu_uuid: str
    card: str
    """What the card says of itself, for prompts; empty without one."""
    pid: int
    failure: str = ""
    """Why nothing can run on the leased card; empty where all is well."""
    lease: str = ""
    """What Ray calls the card; empty without one."""

    @property
    def place(self) -> str:
        """What fails together, as people would name it: the card, or the node of a slot without one."""
        where = f"{self.host} (node {self.node[:6]})"
        return f"card {self.gpu_uuid or self.lease} of {where}" if self.lease else where


class ExecutionActor:
    """One slot. Methods are called one at a time; an exception from any means that the slot is broken."""

    def __init__(self, settings: SlotSettings) -> None:
        self._settings = settings
        self._card: Card | None = None
        self._health: CardHealth | None = None
        self._lease = ""
        # The raylet is this process's parent. A worker that outlives it would keep its sandbox alive as well, and
        # Ray lets a busy one go on for a while.
        die_with_parent()
        # Keys are for generation actors; nothing that runs programs keeps one where a child could inherit it.
        os.environ.pop("ANTHROPIC_API_KEY", None)
        if settings.device == "cpu":
            # Ray no longer empties this for actors without a GPU, and torch would take the first card it sees.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._executors: dict[str, Executor] = {}
        self._problems: OrderedDict[str, tuple[Problem, Preparation | None]] = OrderedDict()

    def describe(self, kind: str) -> SlotInfo:
        """Start the executor for ``kind`` of tests (``python`` or ``gpu``) and say what it runs on.

        A card that nothing can run on is told of and not raised: this actor then keeps its lease, so that Ray gives
        it to no other.
        """
        import ray

        isolation = failure = ""
        try:
            if self._settings.device == "gpu":
                self._open_card()
            isolation = self._start(kind).isolation
        except CardLost as error:
            failure = str(error)
        return SlotInfo(
            node=ray.get_runtime_context().get_node_id(),
            host=platform.node(),
            isolation=isolation,
            gpu=self._card.name if self._card else "",
            gpu_uuid=self._card.uuid if self._card else "",
            card=self._card.facts if self._card else "",
            pid=os.getpid(),
            failure=failure,
            lease=self._lease,
        )

    def prepare(self, problem: Problem, seed: int) -> Preparation:
        """Run the problem's reference on all its tests.

        Raises:
            CardLost: the card is gone.
        """
        with self._on_card():
            return self._executor(_kind(problem)).prepare(problem, seed)

    def run(self, key: str, bundle: list[ObjectRef[Any]], job: Job) -> Execution:
        """Run one program. ``bundle`` holds a reference to ``(problem, preparation)``, fetched once a ``key``.

        Raises:
            CardLost: the card is gone.
        """
        import ray

        if key in self._problems:
            self._problems.move_to_end(key)
        else:
            self._problems[key] = ray.get(bundle[0])
            if len(self._problems) > MOST_PROBLEMS:
                self._problems.popitem(last=False)
        problem, preparation = self._problems[key]
        if preparation is None:
            raise RuntimeError(f"{problem.id} was not prepared")
        with self._on_card():
            return self._executor(_kind(problem)).run(problem, preparation, job)

    def close(self) -> None:
        """End everything that the slot started."""
        for executor in self._executors.values():
            executor.close()
        self._executors.clear()

    def _open_card(self) -> None:
        import pynvml
        import ray

        self._lease = ",".join(str(each) for each in ray.get_gpu_ids())
        try:
            self._card = leased_card(self._settings.memory_cap_bytes)
        except pynvml.NVMLError as error:
            raise CardLost(f"the driver says of it: {error}") from error
        self._health = CardHealth(self._card.uuid)

    def _start(self, kind: str) -> Executor:
        """The executor for ``kind``.

        Raises:
            CardLost: no context can be made on the card.
        """
        if kind != "gpu" or self._settings.device != "gpu":
            return self._executor(kind)
        from orchestrator.execute.gpu.spares import ArmingFailed

        for left in reversed(range(ARMING_TRIES)):
            try:
                return self._executor(kind)
            except ArmingFailed as error:
                if not left:
                    raise CardLost(f"no context can be made on it: {error}") from error
                time.sleep(ARMING_PAUSE_S)
        raise AssertionError("unreachable: the last try returns or raises")

    @contextlib.contextmanager
    def _on_card(self) -> Iterator[None]:
        """What is done with a card that is well before it; what goes wrong meanwhile is the card's if it is not."""
        if self._health is None:
            yield
            return
        from orchestrator.execute.gpu.rest import CardQuarantined

        self._health.check()
        try:
            yield
        except CardQuarantined as error:
            raise CardLost(str(error)) from error
        except Exception:
            self._health.check()
            raise

    def _executor(self, kind: str) -> Executor:
        if kind not in self._executors:
            self._executors[kind] = self._gpu_executor() if kind == "gpu" else self._python_executor()
        return self._executors[kind]

    def _python_executor(self) -> Executor:
        from orchestrator.execute.executor import ExecutorSettings, PythonExecutor

        return PythonExecutor(ExecutorSettings(isolation=self._settings.isolation))

    def _gpu_executor(self) -> Executor:
        from orchestrator.execute.gpu.executor import GpuExecutor, GpuExecutorSettings

        return GpuExecutor(
            GpuExecutorSettings(
                device=self._settings.device,
                gpu_uuid=self._card.uuid if self._card else "",
                spares=self._settings.spares,
                memory_cap_bytes=self._settings.memory_cap_bytes,
                isolation=self._settings.isolation,
                tools=self._settings.tools if self._settings.device == "gpu" else (),
            )
        )


def _kind(problem: Problem) -> str:
    return "gpu" if isinstance(problem.scoring, GpuTests) else "python"
