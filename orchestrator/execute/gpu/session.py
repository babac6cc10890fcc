"""One card's processes at work: a problem is opened, programs are judged, and the card is brought back to rest."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.execution import Job
from orchestrator.core.problems import GpuTests, Problem
from orchestrator.execute.gpu import tiers, wire
from orchestrator.execute.gpu.confine import TIERS, card_nodes
from orchestrator.execute.gpu.family import Child, Family, FamilyError
from orchestrator.execute.gpu.follow import Before, Follower, Scene, Watched, worker_of
from orchestrator.execute.gpu.nvml import COUNTER_LAG_S, CardWatch, EnergyMeter
from orchestrator.execute.gpu.rest import SLACK_BYTES, wait_for_rest
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from orchestrator.execute.gpu.spares import ArmingFailed, Spares
from orchestrator.execute.gpu.turns import context_turn
from orchestrator.execute.sandbox import process

__all__ = ["Session"]

_REFEREE_S: Final = 600.0
"""The longest that the referee works on one command that no candidate holds up."""
_ARMING_S: Final = 20.0
"""For how long arming is tried again where it fails."""
_REST_TICK_S: Final = 0.002
_KEPT_PHASES: Final = 4096


class Session:
    """The processes of one executor."""

    def __init__(self, settings: GpuExecutorSettings, watch: CardWatch | None) -> None:
        """Start the zygote and the referee, find the strongest tier that works, and arm the spares.

        Raises:
            FamilyError: a process could not be started.
            ArmingFailed: no candidate could be armed in any tier.
            IsolationMissing: less isolation than required.
        """
        self._settings, self._watch = settings, watch
        visible = {"CUDA_VISIBLE_DEVICES": watch.uuid if watch is not None else ""}
        self._family = Family(settings.device == "gpu", visible, settings.scratch_dir)
        self._spares: Spares | None = None
        self._reference: Child | None = None
        self._open_key: tuple[object, ...] | None = None
        self._context_bytes = self._buffer_bytes = 0
        self._meter = EnergyMeter(watch) if watch is not None else None
        self._busy: deque[tuple[float, float]] = deque(maxlen=_KEPT_PHASES)
        self.phases: deque[dict[str, float]] = deque(maxlen=_KEPT_PHASES)
        """Of the last programs: see :class:`Watched`."""
        try:
            self._refused = tiers.refused(settings.isolation, self._family.report)
            self._referee = self._start_referee()
            self._spares = self._arm()
            found = tiers.describe(settings.isolation, self._family.report, self._spares.tier, self._refused)
            self.isolation = f"{found}; buffers staged through host memory" if self.staged else found
        except BaseException:
            self.close()
            raise

    @property
    def arming_s(self) -> Sequence[float]:
        """Seconds from the word to arm to an armed candidate, each."""
        assert self._spares is not None
        return tuple(armed - begun for begun, armed in self._spares.spans)

    @property
    def spans(self) -> dict[str, list[tuple[float, float]]]:
        """When the card was ``busy`` with a program and when candidates were ``arming``, by time.monotonic()."""
        assert self._spares is not None
        return {"busy": list(self._busy), "arming": list(self._spares.spans)}

    @property
    def tiers(self) -> Mapping[str, str]:
        """What was refused of each tier of isolation; empty for one that works or was not needed."""
        return dict(self._refused)

    @property
    def context_bytes(self) -> int:
        """Card memory that one armed candidate takes."""
        return self._context_bytes

    def command(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Have the referee do something that needs no candidate.

        Raises:
            FamilyError: the referee died or does not answer.
        """
        wire.send(self._referee.chan, dict(message), fds)
        return self._answer(_REFEREE_S)

    def open(
        self, tests: GpuTests, dialect: str, source: str, memory_bytes: int, scale: float
    ) -> dict[str, Any] | None:
        """Have a problem open at a scale, its reference attached; None, or what the reference failed with."""
        from tasks.gpu.catalog import get

        key = (tests.name, tests.dtype, dialect, memory_bytes)
        alive = self._reference is not None and self._reference.ending is None
        if key != self._open_key or not alive:
            self._open_key = None
            self._drop_reference()
            child = self._take()
            self._reference = child
            self._send_program(child, source, dialect, "solve", None)
            message = {
                "cmd": "open",
                "name": tests.name,
                "dtype": tests.dtype,
                "dialect": dialect,
                "memory_bytes": memory_bytes,
                "scale": scale,
            }
            assert child.line is not None
            answer = self.command(message, [child.line.fileno()])
            child.line.close()
            child.line = None
            if "failed" in answer:
                return dict(answer["failed"])
            self._open_key = key
        self._buffer_bytes = get(tests.name).largest_footprint(tests.dtype, memory_bytes, scale)
        answer = self.command({"cmd": "scale", "scale": scale})
        return dict(answer["failed"]) if "failed" in answer else None

    def judge(self, problem: Problem, tests: GpuTests, job: Job, timing: bool, energy: bool = True) -> Watched:
        """Judge one program on an armed candidate, and bring the card back to rest; ``energy``: measure that too.

        Raises:
            FamilyError: the referee died.
            CardQuarantined: the card did not come back to rest.
        """
        settings = self._settings
        burst_s = settings.energy_window_s if energy and self._meter and tests.kind == "scoring" else 0.0
        if burst_s and self._meter is not None and not self._meter.knows_idle:
            # Before there is a program that could keep the card busy.
            self.settle()
            self._meter.idle_w()
        child = self._take()
        child.cap = job.limits.output_bytes
        message = {
            "cmd": "judge",
            "kind": tests.kind,
            "seeds": list(tests.seeds),
            "seed": job.seed,
            "dialect": problem.public.dialect,
            "timing": timing,
            "budget_s": settings.timing_budget_s,
            "min_rounds": settings.min_rounds,
            "max_rounds": settings.max_rounds,
            "burst_s": burst_s,
            "lead_s": COUNTER_LAG_S,
        }
        worker = self._worker(child)
        own = self._used_by(worker)
        if own is None and self._watch is not None and self._spares is not None:
            # Only the card's sum is known: a context being made now would be counted as the program's later.
            self._spares.settle()
        before = Before(self.used(), self._contexts(), own, worker, process.cpu_seconds(worker) or 0.0)
        began = time.monotonic()
        source = wire.memory_file(job.program.encode("utf-8", "surrogatepass"))
        assert child.line is not None
        try:
            wire.send(self._referee.chan, message, [child.line.fileno(), source])
        finally:
            os.close(source)
        child.line.close()
        child.line = None
        self._send_program(
            child, job.program, problem.public.dialect, problem.public.entry_point, self._memory_share()
        )
        follower = Follower(self._scene(), child, job, began, before)
        found = follower.follow()
        wall = time.monotonic() - began
        # While it is alive its clocks and memory can be read; how it ended by itself only counts if it did.
        ended_itself = child.ending
        peak_resident = process.resident_bytes(worker) if child.ending is None else None
        cpu_s = process.cpu_seconds(worker) if child.ending is None else None
        child.kill("judged")
        # Arming takes the time in which this program goes away and the next is checked: both end before timing.
        self._restock()
        self._family.end(child, "judged", meanwhile=self._restock)
        watched = Watched(
            found=found,
            killed=child.killed if child.killed != "judged" else "",
            ending=ended_itself if ended_itself is not None else child.ending,
            output=child.output()[: 2 * child.cap],
            wall_s=wall,
            ready_s=found.get("ready_s"),
            cpu_s=cpu_s if cpu_s is not None else child.ending.cpu_s if child.ending else None,
            peak_resident=max(
                filter(None, (peak_resident, child.ending.peak_bytes if child.ending else 0)), default=None
            ),
            peak_device=follower.peak_device,
            samples=follower.samples,
            joules=follower.joules,
        )
        ended = time.monotonic() - began
        self._rest(before, int(found.get("grown", 0)))
        watched.phases = follower.phases | {
            **({"ready": watched.ready_s} if watched.ready_s is not None else {}),
            "judged": wall,
            "ended": ended,
            "rested": time.monotonic() - began,
        }
        self.phases.append(watched.phases)
        self._busy.append((began, began + watched.phases["rested"]))
        return watched

    def settle(self) -> None:
        """Wait until nothing arms any more: what the card holds then is what it holds at rest."""
        assert self._spares is not None
        self._spares.look()
        self._spares.fill()

    @property
    def tier(self) -> str:
        """The tier of isolation that candidates run in."""
        assert self._spares is not None
        return self._spares.tier

    @property
    def family(self) -> Family:
        """The zygote and its children, for a further process beside candidates and referee."""
        return self._family

    def look(self) -> None:
        """Take note of spares that have become armed."""
        assert self._spares is not None
        self._spares.look()

    def close(self) -> None:
        """End all processes."""
        self._family.close()

    # ------------------------------------------------------------------ starting

    def _start_referee(self) -> Child:
        config = {"device": self._settings.device, "sharing": self._settings.sharing}
        bounds = self.bounds()
        # It needs this project's own problems, which candidates must not read.
        bounds |= {"read": [*bounds["read"], *self._family.hidden], "hidden": []}
        child = self._family.spawn("referee", "bare", config, bounds)
        self._referee = child
        hello = self._answer(_REFEREE_S)
        self.staged = bool(hello["staged"])
        self.facts: dict[str, Any] = hello["facts"]
        return child

    def _arm(self) -> Spares:
        """Arm in the strongest tier in which a candidate can be armed."""
        config = {"device": self._settings.device}
        turn = context_turn() if self._settings.device == "gpu" else None
        spares = Spares(self._family, self._settings.spares, config, self.bounds(), turn)
        last = ArmingFailed(f"no tier of isolation works here: {self._refused['bare']}")
        for tier in TIERS:
            if self._refused[tier]:
                continue
            spares.tier = tier
            before = self.used()
            try:
                spares.fill(1)
            except ArmingFailed as error:
                self._refused[tier] = f"no candidate can be armed: {error}"
                last = error
                continue
            self._context_bytes = max(self.used() - before, 0)
            spares.fill()
            spares.patience_s = _ARMING_S
            return spares
        raise last

    def bounds(self) -> dict[str, Any]:
        """Where a candidate may go."""
        return {
            "read": self._family.readable,
            "nodes": card_nodes(self._watch.minor if self._watch is not None else None),
            "hidden": self._family.hidden,
            "file_bytes": 1 << 30,
            "open_files": 4096,
            "data_bytes": None,
            "scratch_bytes": 1 << 30,
        }

    # ------------------------------------------------------------------ parts of judging

    def _take(self) -> Child:
        assert self._spares is not None
        return self._spares.take()

    def _restock(self) -> None:
        assert self._spares is not None
        self._spares.look()
        self._spares.restock()

    def _send_program(
        self, child: Child, source: str, dialect: str, entry_point: str, memory_share: float | None
    ) -> None:
        fd = wire.memory_file(source.encode("utf-8", "surrogatepass"))
        message = {"dialect": dialect, "entry_point": entry_point, "memory_share": memory_share}
        try:
            wire.send(child.chan, message, [fd])
        except OSError:
            # It died while it waited; the referee hears the same on its line.
            return
        finally:
            os.close(fd)

    def _drop_reference(self) -> None:
        if self._reference is not None:
            self._family.end(self._reference, "another problem is opened")
            self._reference = None

    def _answer(self, patience_s: float) -> dict[str, Any]:
        limit = time.monotonic() + patience_s
        while not self._referee.inbox:
            if self._referee.ending is not None:
                said = self._referee.output().strip().splitlines()
                raise FamilyError(f"the referee died: {said[-1][:300] if said else self._referee.ending.code}")
            if time.monotonic() > limit:
                raise FamilyError("the referee does not answer")
            self._family.turn(0.1)
            if self._spares is not None:
                self._spares.look()
        return self._referee.inbox.popleft()

    def _memory_share(self) -> float | None:
        """Share of the card that a program's own pools may take under the cap: its buffers are not in them."""
        if self._settings.device != "gpu" or self._watch is None or self._settings.memory_cap_bytes is None:
            return None
        own = max(self._settings.memory_cap_bytes - self._buffer_bytes, 0)
        return min(own / self._watch.total_bytes, 1.0)

    def used(self) -> int:
        """Card memory in use, by whomever; 0 without a card."""
        return self._watch.used() if self._watch is not None else 0

    def on_card(self) -> frozenset[int] | None:
        """Processes with a context on the card, by the driver's numbers; None where it does not tell any apart."""
        # Referee and spares have contexts, so a driver that lists nobody does not tell.
        return (self._watch.processes() or None) if self._watch is not None else None

    def _contexts(self) -> int:
        assert self._spares is not None
        return self._spares.armed + self._spares.arming

    def _worker(self, child: Child) -> int:
        return worker_of(child, self._spares.tier if self._spares is not None else "bare")

    def _scene(self) -> Scene:
        assert self._spares is not None
        return Scene(
            family=self._family,
            spares=self._spares,
            referee=self._referee,
            watch=self._watch,
            meter=self._meter,
            context_bytes=self._context_bytes,
            cap_bytes=self._settings.memory_cap_bytes,
            buffer_bytes=self._buffer_bytes,
        )

    def _used_by(self, pid: int) -> int | None:
        """Card memory of one process; None where the driver does not tell it apart."""
        # An armed candidate has a context, so a driver that finds nothing for it does not know it by this number.
        return (self._watch.used_by(pid) or None) if self._watch is not None else None

    def _rest(self, before: Before, grown: int) -> None:
        """Wait until a dead program's memory is back.

        Args:
            before: how the card was before it got its program.
            grown: by how much the referee's own memory has grown since.

        Raises:
            CardQuarantined: it does not come back.
        """
        watch = self._watch
        if watch is None:
            return

        def in_use() -> str:
            if before.own is not None:
                over = watch.used_by(before.worker) or 0
            else:
                # One context fewer than before, and whatever spares have been begun since, some still under way.
                contexts = self._contexts() - before.contexts - 1
                over = watch.used() - before.used - contexts * self._context_bytes - grown - SLACK_BYTES
            return f"{over >> 20} MiB of card memory are still in use" if over > 0 else ""

        def meanwhile() -> None:
            self._family.turn(_REST_TICK_S)
            self._restock()

        wait_for_rest(in_use, meanwhile, "a program")
