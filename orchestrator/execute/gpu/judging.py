"""One candidate judged: small calls against the CPU reference, then timed rounds against the GPU reference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.execute.gpu.cases import Case
from orchestrator.execute.gpu.judge import compare
from orchestrator.execute.gpu.layout import Arrangement
from orchestrator.execute.gpu.peer import Peer
from orchestrator.execute.gpu.stage import Opened, RuleBroken, Stage, reference_guard

if TYPE_CHECKING:
    import torch

    from tasks.gpu.problem import Shape

__all__ = ["SLACK", "WARM_ROUNDS", "Judging", "Wrong"]

WARM_ROUNDS: Final = 2
SLACK: Final = 2.0
"""On timed shapes the expected values come from the GPU reference, which may be off by the tolerance itself."""
_CLAIMED_CALLS: Final = 5


class Wrong(Exception):
    """An output is outside its tolerance."""


@dataclass(slots=True)
class Judging:
    """One program before the referee."""

    stage: Stage
    opened: Opened
    peer: Peer
    program: tuple[str, str]
    """Dialect and source."""
    order: dict[str, Any]
    """The supervisor's command: ``timing``, ``budget_s``, ``min_rounds``, ``max_rounds``, ``burst_s``,
    ``lead_s``."""
    found: dict[str, Any]
    """What is found, as it is found: it counts even if the program ends on the way."""

    def run(self, cases: Sequence[Case]) -> None:
        """Load the program, try it on the cases, and time it.

        Raises:
            Wrong: a result is wrong.
            RuleBroken: a rule of the problem was broken.
            PeerFailed: it raised.
            PeerGone: it ended.
            ReferenceBroken: the reference failed.
            tasks.gpu.launch.LaunchError: its launch lines can't be followed.
        """
        found, peer = self.found, self.peer
        asked = time.monotonic()
        found["loaded_s"] = peer.load()
        found["ready_s"] = time.monotonic() - asked
        found["phase"] = "run"
        calls: dict[str, list[float]] = {}
        for case in cases:
            calls.setdefault(case.shape.name, []).append(self._try(case))
        # The first call of a shape may compile; what it took beyond a later one is compile time.
        found["compile_s"] = found["loaded_s"] + sum(max(0.0, times[0] - min(times)) for times in calls.values())
        if not self.order["timing"]:
            peer.seal()
            found |= {"outcome": "passed", "phase": "check"}
            return
        self.stage.ask("timing")
        shape = self.opened.timed
        found |= {
            "phase": "time",
            "shape": dict(shape.dims),
            "footprint": self.opened.problem.footprint(shape, self.opened.dtype),
        }
        self._time(shape)
        found["outcome"] = "passed"

    def _try(self, case: Case) -> float:
        """One small call, judged; returns its seconds."""
        stage, opened, peer = self.stage, self.opened, self.peer
        opened.bind(peer, case.shape, case.inputs, self.program)
        stage.fill(stage.theirs, case.arrangement, case.inputs)
        poisons = stage.poison(stage.theirs, case.arrangement)
        self.found["phase"] = "run"
        stage.card.synchronize()
        peer.ready()
        taken = peer.go(lambda: stage.copy_out(stage.theirs, case.arrangement)).total_s
        self.found["phase"] = "check"
        stage.check_guards(case.arrangement)
        got = [tensor.cpu() for tensor in stage.snapshots(case.arrangement)]
        tolerance = opened.problem.tolerance(opened.dtype)
        mismatch = compare(got, case.expected, tolerance, poisons)
        if mismatch is not None:
            raise Wrong(f"at {_describe(case.shape)}: {mismatch}")
        for slot, value in zip(case.arrangement.inputs, case.inputs, strict=True):
            if slot is not None and not _same_bytes(stage.theirs.view(slot).cpu(), value):
                raise RuleBroken("the program changed one of its inputs")
        return taken

    def _time(self, shape: Shape) -> None:
        """Rounds of touch, reference and candidate on the same fresh inputs, each judged."""
        stage, opened, peer, rounds = self.stage, self.opened, self.peer, self.found["rounds"]
        arrangement = opened.arrangement(shape)
        budget, least, most = (self.order[key] for key in ("budget_s", "min_rounds", "max_rounds"))
        bound: list[int | float] | None = None
        began, number = 0.0, -WARM_ROUNDS
        first_call = 0.0
        while number < most and (number < least or time.monotonic() - began < budget):
            if number == 0:
                peer.seal()
                bound = None
                began = time.monotonic()
            values = stage.draw(opened, shape)
            numbers = opened.scalars(shape, values)
            if numbers != bound:
                with reference_guard():
                    opened.bind(opened.reference, shape, values, None)
                opened.bind(peer, shape, values, self.program)
                bound = numbers
            for buffers in (stage.mine, stage.theirs):
                stage.paint(buffers, arrangement)
                poisons = stage.poison(buffers, arrangement)
            at = time.monotonic()
            with reference_guard():
                touch = stage.timed_call(opened.reference, stage.mine, arrangement, values, touch=True)
                reference = stage.timed_call(opened.reference, stage.mine, arrangement, values)
            candidate = stage.timed_call(self.peer, stage.theirs, arrangement, values)
            del values
            stage.check_guards(arrangement)
            self._compare(arrangement, poisons, f"at {_describe(shape)}")
            if number == -WARM_ROUNDS:
                first_call = candidate.total_s
            if number >= 0:
                times = (touch.total_s, reference.total_s, candidate.total_s, reference.around_s)
                rounds.append([round(at, 6), *times])
            number += 1
        self.found["compile_s"] += max(0.0, first_call - min(r[3] for r in rounds))
        if self.order["burst_s"]:
            self._burst(arrangement)
        self.found["claimed_s"] = peer.claim(_CLAIMED_CALLS)

    def _burst(self, arrangement: Arrangement) -> None:
        """Calls back to back while the supervisor reads the energy counter at both ends.

        The counter is late: when it is read first, calls have gone on for so long that it shows only them.
        """
        stage = self.stage
        poisons = stage.poison(stage.theirs, arrangement)
        stage.card.synchronize()
        stage.ask("burst_lead")
        self._call_for(self.order["lead_s"])
        stage.ask("burst")
        calls, seconds = self._call_for(self.order["burst_s"])
        stage.ask("burst_end")
        self.found["burst"] = {"calls": calls, "seconds": seconds}
        stage.copy_out(stage.theirs, arrangement)
        self._compare(arrangement, poisons, "after calls back to back")

    def _call_for(self, seconds: float) -> tuple[int, float]:
        """Call back to back for so long; the calls and the seconds they took."""
        peer, began, calls = self.peer, time.monotonic(), 0
        while time.monotonic() - began < seconds:
            peer.ready()
            peer.go(_nothing)
            calls += 1
        return calls, time.monotonic() - began

    def _compare(self, arrangement: Arrangement, poisons: Sequence[float], where: str) -> None:
        """Compare the copied outputs with what the reference wrote in its own buffers."""
        stage, opened = self.stage, self.opened
        want = [stage.mine.view(slot) for slot in arrangement.outputs]
        tolerance = opened.problem.tolerance(opened.dtype)
        mismatch = compare(stage.snapshots(arrangement), want, tolerance, poisons, SLACK)
        if mismatch is not None:
            raise Wrong(f"{where}: {mismatch}")


def _same_bytes(got: torch.Tensor, value: torch.Tensor) -> bool:
    import torch

    return bool(torch.equal(got.reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8)))


def _describe(shape: Shape) -> str:
    return ", ".join(f"{name}={size}" for name, size in shape.dims.items())


def _nothing() -> None:
    """Stop the clock at once."""
