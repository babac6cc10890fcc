"""Watching one program from outside: its clocks, its memory, the card's clocks, and the referee's events."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.execution import Job
from orchestrator.execute.gpu import wire
from orchestrator.execute.gpu.family import Child, Ending, Family, FamilyError
from orchestrator.execute.gpu.nvml import CardWatch, EnergyMeter, Sample
from orchestrator.execute.gpu.spares import Spares
from orchestrator.execute.sandbox import process

__all__ = ["Before", "Follower", "Scene", "Watched", "worker_of"]

_TICK_S: Final = 0.015
"""Between two looks at the card's memory while a program runs."""
_SAMPLE_S: Final = 0.045
"""Between two looks at clocks and power, which take the driver some milliseconds each."""
_AFTER_KILL_S: Final = 30.0
"""In which the referee must notice that a candidate is gone."""


@dataclass(slots=True)
class Scene:
    """Everybody on the stage while a program is judged."""

    family: Family
    spares: Spares
    referee: Child
    watch: CardWatch | None
    meter: EnergyMeter | None
    context_bytes: int
    """Card memory that one armed candidate takes."""
    cap_bytes: int | None
    """Card memory that a program may take, its inputs and outputs included."""
    buffer_bytes: int = 0
    """Its inputs and outputs, which lie in memory that the referee made."""

    def contexts(self) -> int:
        """Spares that have a context, or soon will."""
        return self.spares.armed + self.spares.arming


def worker_of(child: Child, tier: str) -> int:
    """The process that runs the program: in a PID namespace the first process only waits for it."""
    if tier == "bare":
        return child.pid
    below = process.descendants(child.pid)
    return below[0] if below else child.pid


@dataclass(slots=True)
class Watched:
    """One judged program: what the referee found and what was seen from outside."""

    found: dict[str, Any]
    killed: str
    ending: Ending | None
    output: str
    wall_s: float
    """From code sent to verdict."""
    ready_s: float | None
    """From the word to load to program loaded."""
    cpu_s: float | None
    peak_resident: int | None
    peak_device: int | None
    """Card memory over what its context took, buffers not included; None where it could not be measured."""
    samples: list[Sample] = field(default_factory=list)
    joules: float | None = None
    """Of the burst, idle power subtracted."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds from the beginning to: ``checked`` (small shapes), ``alone`` (nothing arms any more), ``judged``,
    ``ended``, ``rested`` (memory back); and ``ready``: from the word to load to loaded."""


@dataclass(frozen=True, slots=True)
class Before:
    """The card before a program: what everything used, how many spares there were, and the program's own part."""

    used: int
    contexts: int
    own: int | None
    worker: int
    cpu_s: float
    """What the worker had used of a processor; arming is not the program's."""


class Follower:
    """Follows one program from outside until the referee has judged it."""

    def __init__(self, scene: Scene, child: Child, job: Job, began: float, before: Before) -> None:
        self._scene, self._child, self._job = scene, child, job
        self._began, self._deadline = began, began + job.limits.wall_s
        self.phases: dict[str, float] = {}
        self._before = before
        self._told = False
        self._window: tuple[float | None, float] = (None, 0.0)
        self.peak_device: int | None = None
        self.samples: list[Sample] = []
        self.joules: float | None = None
        self._timing = self._quiet = False
        self._paused = self._looked = 0.0

    def follow(self) -> dict[str, Any]:
        """Handle events until the referee's answer is there.

        Raises:
            FamilyError: the referee died, or did not notice that the program is gone.
        """
        referee = self._scene.referee
        gone_at: float | None = None
        while True:
            self._tend()
            while referee.inbox:
                message = referee.inbox.popleft()
                if "event" not in message:
                    return message
                self._on_event(message["event"])
            if referee.ending is not None:
                raise FamilyError(f"the referee died: {referee.output().strip()[-300:]}")
            now = time.monotonic()
            if self._child.ending is not None:
                gone_at = gone_at or now
                if not self._told:
                    self._told = True
                    wire.send(referee.chan, {"cmd": "ended"})
                if now - gone_at > _AFTER_KILL_S:
                    raise FamilyError("the referee did not notice that a program ended")
            elif now > self._deadline:
                self._child.kill(f"timeout (wall): not done after {self._job.limits.wall_s:g} s")
            else:
                self._watch_limits()

    def _tend(self) -> None:
        """Wait for what happens next, and look after the spares: who could not arm before may be able to now."""
        spares = self._scene.spares
        # Not while calls are timed. And where only the card's sum is known, a context that is made from now on
        # would count as the program's for a while.
        may_arm = not (self._timing or self._quiet or self._before.own is None)
        left = self._looked + _TICK_S - time.monotonic()
        tick = left if left > 0 else _TICK_S
        self._scene.family.turn(min(tick, spares.tick_s) if may_arm else tick)
        spares.look()
        if may_arm:
            spares.restock()

    def _on_event(self, event: str) -> None:
        scene = self._scene
        if event == "quiet":
            # Until the end of this, the program waits for us.
            self._paused = time.monotonic()
            self._quiet = True
            scene.spares.settle()
        elif event == "quiet_end":
            self._quiet = False
            self._deadline += time.monotonic() - self._paused
        elif event == "timing":
            began = time.monotonic()
            scene.spares.settle()
            alone = time.monotonic()
            # It was our arming that it waited for.
            self._deadline += alone - began
            self.phases |= {"checked": began - self._began, "alone": alone - self._began}
            self._timing = True
        elif event == "burst_lead":
            # As the window, the lead is ours, not the program's.
            self._paused = time.monotonic()
        elif event == "burst":
            self._deadline += time.monotonic() - self._paused
            self._window = (scene.meter.joules() if scene.meter is not None else None, time.monotonic())
        elif event == "burst_end":
            self._close_window()
        wire.send(scene.referee.chan, {"cmd": "go_on"})

    def _close_window(self) -> None:
        meter, (start, since) = self._scene.meter, self._window
        elapsed = time.monotonic() - since
        # The window is ours, not the program's.
        self._deadline += elapsed
        if meter is None or start is None:
            return
        now, idle = meter.joules(), meter.idle_w()
        if now is not None and idle is not None:
            self.joules = max(now - start - idle * elapsed, 0.0)

    def _watch_limits(self) -> None:
        scene, limits = self._scene, self._job.limits
        now = time.monotonic()
        if now < self._looked + _TICK_S:
            return
        self._looked = now
        # Not once calls are timed: there it spins for orders and for the card, which is no work of its own. Whoever
        # works in those calls is slow by the clock.
        used = process.cpu_seconds(self._before.worker) if not self._timing else None
        if used is not None and used - self._before.cpu_s > limits.cpu_s:
            self._child.kill(f"timeout (cpu): used more than {limits.cpu_s:g} s of CPU time")
            return
        resident = process.resident_bytes(self._before.worker)
        if resident is not None and resident > limits.memory_bytes:
            self._child.kill(f"memory: {resident >> 20} MiB of host memory, over {limits.memory_bytes >> 20} MiB")
            return
        if scene.watch is None:
            return
        if self._timing and (not self.samples or now - self.samples[-1].at > _SAMPLE_S):
            self.samples.append(scene.watch.sample())
        taken = self._taken(scene.watch)
        self.peak_device = max(self.peak_device or 0, taken)
        cap = scene.cap_bytes
        held = taken + scene.buffer_bytes
        if cap is not None and held > cap:
            self._child.kill(f"memory: {held >> 20} MiB of card memory, over {cap >> 20} MiB")

    def _taken(self, watch: CardWatch) -> int:
        """Card memory that the program has taken since it got its code, buffers not counted."""
        if self._before.own is not None:
            return (watch.used_by(self._before.worker) or 0) - self._before.own
        begun = self._scene.contexts() - self._before.contexts
        return watch.used() - self._before.used - begun * self._scene.context_bytes
