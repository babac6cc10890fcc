"""The trusted process beside the candidates: it makes inputs, knows the answers, and holds the clock.

It lives as long as its executor and takes one command at a time. What comes from a candidate is plain data and
decides nothing but when the referee looks for itself.
"""

from __future__ import annotations

import gc
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from orchestrator.execute.gpu import wire
from orchestrator.execute.gpu.bench import copy_ceiling, product_ceiling
from orchestrator.execute.gpu.cases import Case, arrangement_of, make_cases
from orchestrator.execute.gpu.judge import compare
from orchestrator.execute.gpu.judging import SLACK, Judging, Wrong
from orchestrator.execute.gpu.measures import Quiet, Round, quiet_of
from orchestrator.execute.gpu.peer import PeerFailed, PeerGone
from orchestrator.execute.gpu.stage import Opened, ReferenceBroken, RuleBroken, Stage, reference_guard
from tasks.gpu.launch import LaunchError

if TYPE_CHECKING:
    from tasks.gpu.problem import GpuProblem

__all__ = ["serve"]

_KEPT_CASES: Final = 8
"""Sets of small cases (one problem, dtype and kind) that are kept for the next program."""
_CALIBRATION_S: Final = 5e-3
"""The GPU reference takes at least this on the timed shape, where memory allows: 10% over the aim of 4.5 ms. The
same program's times in ten processes spread over 34 to 149 us, whatever its length (measured on three H200s)."""
_CALIBRATIONS: Final = 12
_LONG_S: Final = 0.2
"""After so long no further round is made to learn how long the reference takes, but the fewest."""
_FEWEST_ROUNDS: Final = 2
_SIZING_ROUNDS: Final = 3
_QUIET_ROUNDS: Final = 15


def serve(control: socket.socket, config: dict[str, Any]) -> None:
    """Serve one executor until it hangs up.

    Args:
        control: commands come in, answers go out.
        config: ``device`` (``gpu`` or ``cpu``), ``sharing`` (``auto``, ``ipc`` or ``host``).
    """
    stage = Stage(control, config["device"], config["sharing"])
    referee = _Referee(stage)
    wire.send(control, {"ready": True, "staged": stage.staged, "facts": stage.card.facts()})
    while True:
        try:
            message, fds = wire.receive(control, 2)
        except EOFError:
            return
        if message["cmd"] == "ended":
            continue  # a candidate ended just after it was judged
        wire.send(control, referee.obey(message, fds))


class _Referee:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._cases: OrderedDict[tuple[Any, ...], list[Case]] = OrderedDict()
        self._ceilings: dict[str, float] = {}
        self._opened: Opened | None = None
        self._quiet: dict[tuple[str, str, float], Quiet] = {}
        self._warmed: tuple[str, str, float] | None = None

    def obey(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Do one command and return its answer; what the reference failed with stands under ``failed``."""
        command = message["cmd"]
        try:
            if command == "open":
                return self._open(message, fds)
            if command == "calibrate":
                return self._calibrate()
            if command == "scale":
                return self._rescale(message["scale"])
        except PeerFailed as error:
            return {"failed": error.report}
        except PeerGone as error:
            return {"failed": {"type": "Gone", "message": str(error)}}
        if command == "judge":
            return self._judge(message, fds)
        if command == "ceilings":
            return self._measure_ceilings(message["dtype"])
        if command == "inputs":
            # The seed by which another trusted process makes inputs of the timed shape on the host.
            return {"seed": self._stage.seed("cpu"), "shape": dict(self._current().timed.dims)}
        raise ValueError(f"unknown command {command!r}")

    def _open(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Attach the reference program of a problem; its process was armed like any candidate."""
        from tasks.gpu.catalog import get

        if self._opened is not None:
            self._opened.reference.close()
            self._opened = None
        self._stage.forget()
        self._quiet.clear()
        problem, dtype = get(message["name"]), message["dtype"]
        source = problem.reference(message["dialect"], dtype)
        memory_bytes, scale = int(message["memory_bytes"]), float(message["scale"])
        self._make_room(problem, dtype, memory_bytes, scale)
        peer = self._stage.attach_reference(fds[0])
        self._opened = Opened(problem, dtype, memory_bytes, message["dialect"], source, peer, scale)
        peer.load()
        return {"opened": True}

    def _make_room(self, problem: GpuProblem, dtype: str, memory_bytes: int, scale: float) -> bool:
        shapes = problem.shapes(memory_bytes, scale)
        arrangements = [arrangement_of(problem, shape, dtype) for shape in shapes]
        device_bytes = max(a.device_bytes for a in arrangements)
        host_bytes = max(a.host_bytes for a in arrangements)
        grown = self._stage.mine.fit(device_bytes, host_bytes)
        self._stage.theirs.fit(device_bytes, host_bytes)
        return grown

    def _rescale(self, scale: float) -> dict[str, Any]:
        opened = self._current()
        if scale != opened.scale:
            opened.scale = scale
            self._stage.forget()
            if self._make_room(opened.problem, opened.dtype, opened.memory_bytes, scale):
                opened.reference.attach_again()
        self._warm()
        return {"scale": scale, "shape": dict(opened.timed.dims)}

    def _warm(self) -> None:
        """Take the memory that timing will need, so that it does not look like a program's."""
        stage, opened = self._stage, self._current()
        key = (opened.problem.name, opened.dtype, opened.scale)
        if key == self._warmed:
            return
        self._warmed = key
        stage.card.empty_pools()
        shape = opened.timed
        arrangement = opened.arrangement(shape)
        values = stage.draw(opened, shape)
        stage.fill(stage.mine, arrangement, values)
        del values
        poisons = stage.poison(stage.mine, arrangement)
        stage.copy_out(stage.mine, arrangement)
        want = [stage.mine.view(slot) for slot in arrangement.outputs]
        compare(stage.snapshots(arrangement), want, opened.problem.tolerance(opened.dtype), poisons, SLACK)

    def _calibrate(self) -> dict[str, Any]:
        """Find the smallest scale at which the reference takes long enough, or the largest that fits."""
        opened, scale = self._current(), 1.0
        answer = self._rescale(scale)
        taken = self._reference_time()
        for _ in range(_CALIBRATIONS):
            if not self._stage.card.on_gpu or taken >= _CALIBRATION_S:
                break
            last = opened.timed.dims
            scale *= min(max(1.2 * _CALIBRATION_S / max(taken, 1e-6), 1.25), 64.0)
            answer = self._rescale(scale)
            if opened.timed.dims == last:
                break  # cut back to the same size: this is all that fits
            taken = self._reference_time()
        return {**answer, "seconds": taken}

    def _reference_time(self) -> float:
        """Seconds of one call of the reference on the timed shape: a few calls, enough to choose a size by."""
        found = quiet_of(self._reference_rounds(_SIZING_ROUNDS))
        return found.reference_s - found.touch_s

    def _reference_rounds(self, most: int) -> list[Round]:
        """Rounds of touch and reference with no candidate about; fewer than ``most`` where they take long."""
        stage, opened = self._stage, self._current()
        shape = opened.timed
        arrangement = opened.arrangement(shape)
        rounds: list[Round] = []
        began, warm = time.monotonic(), False
        while len(rounds) < most and (len(rounds) < _FEWEST_ROUNDS or time.monotonic() - began < _LONG_S):
            # Fresh inputs, as a program gets them: some references are faster on inputs that they have seen.
            values = stage.draw(opened, shape)
            opened.bind(opened.reference, shape, values, None)
            stage.fill(stage.mine, arrangement, values)
            at = time.monotonic()
            touch = stage.timed_call(opened.reference, stage.mine, arrangement, values, touch=True)
            call = stage.timed_call(opened.reference, stage.mine, arrangement, values)
            if warm:
                rounds.append(Round(at, touch.total_s, call.total_s, call.total_s, call.around_s))
            warm = True
        return rounds

    def _quiet_now(self) -> None:
        """Time the reference at this size before the first program since the problem was opened is loaded."""
        opened = self._current()
        key = (opened.problem.name, opened.dtype, opened.scale)
        if key in self._quiet:
            return
        self._stage.ask("quiet")
        with reference_guard():
            self._quiet[key] = quiet_of(self._reference_rounds(_QUIET_ROUNDS))
        self._stage.ask("quiet_end")

    def _quietest(self, rounds: Sequence[Sequence[float]]) -> dict[str, float]:
        """What was seen at this size without a program, the empty calls of these rounds counted in."""
        opened = self._current()
        key = (opened.problem.name, opened.dtype, opened.scale)
        self._quiet[key] = self._quiet[key].lowered_by([Round(*values) for values in rounds])
        return asdict(self._quiet[key])

    def _judge(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Judge the candidate at the other end of the line; whatever it does becomes an outcome."""
        stage, opened = self._stage, self._current()
        with os.fdopen(fds[1], "rb") as file:
            source = file.read().decode("utf-8", "surrogatepass")
        peer = stage.attach_candidate(fds[0])
        found: dict[str, Any] = {"phase": "load", "rounds": []}
        reserved = stage.card.reserved()
        gc.disable()
        try:
            if message["timing"]:
                self._quiet_now()
            Judging(stage, opened, peer, (message["dialect"], source), message, found).run(self._cases_for(message))
        except Wrong as error:
            found |= {"outcome": "wrong", "reason": str(error)}
        except RuleBroken as error:
            found |= {"outcome": "rule", "reason": str(error)}
        except LaunchError as error:
            report = {"phase": "load", "type": "LaunchError", "message": str(error)}
            found |= {"outcome": "failed", "report": report}
        except PeerFailed as error:
            found |= {"outcome": "failed", "report": error.report}
        except PeerGone:
            found |= {"outcome": "gone"}
        except ReferenceBroken as error:
            found |= {"outcome": "reference", "reason": str(error)}
        finally:
            peer.close()
            gc.enable()
        if found["rounds"]:
            found["quiet"] = self._quietest(found["rounds"])
        found["grown"] = stage.card.reserved() - reserved
        return found

    def _cases_for(self, message: dict[str, Any]) -> list[Case]:
        opened = self._current()
        key = (
            opened.problem.name,
            opened.dtype,
            message["kind"],
            tuple(message["seeds"]),
            message["seed"],
            opened.memory_bytes,
        )
        if key not in self._cases:
            self._cases[key] = make_cases(
                opened.problem,
                opened.dtype,
                opened.memory_bytes,
                kind=message["kind"],
                seeds=message["seeds"],
                salt=message["seed"],
            )
            if len(self._cases) > _KEPT_CASES:
                self._cases.popitem(last=False)
        self._cases.move_to_end(key)
        return self._cases[key]

    def _current(self) -> Opened:
        if self._opened is None:
            raise RuntimeError("no problem is open")
        return self._opened

    def _measure_ceilings(self, dtype: str) -> dict[str, Any]:
        if "copy" not in self._ceilings:
            self._ceilings["copy"] = copy_ceiling(self._stage.card)
        if dtype not in self._ceilings:
            self._ceilings[dtype] = product_ceiling(self._stage.card, dtype)
        opened = self._current()
        shape = opened.timed
        return {
            "bytes_per_s": self._ceilings["copy"],
            "flops_per_s": self._ceilings[dtype],
            "bytes": opened.problem.bytes_moved(shape, opened.dtype),
            "flops": opened.problem.flops(shape, opened.dtype),
        }
