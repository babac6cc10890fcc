"""The trusted process beside the candidates: it makes inputs, knows the answers, and holds the clock.

It lives as long as its executor and takes one command at a time. What comes from a candidate is plain data and
decides nothing but when the referee looks for itself.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from orchestrator.execute.gpu import wire
from orchestrator.execute.gpu.arenas import ipc_works
from orchestrator.execute.gpu.bench import Card, copy_ceiling, product_ceiling
from orchestrator.execute.gpu.cases import Case, arrangement_of, derive, launches_for, make_cases, scalars_of
from orchestrator.execute.gpu.judge import compare, paint_guards, poison, torn_guards
from orchestrator.execute.gpu.layout import Arrangement
from orchestrator.execute.gpu.peer import Buffers, Peer, PeerFailed, PeerGone
from tasks.gpu.launch import LaunchError

if TYPE_CHECKING:
    import torch

    from tasks.gpu.problem import GpuProblem, Shape, Value

__all__ = ["serve"]

_KEPT_CASES: Final = 8
"""Sets of small cases (one problem, dtype and kind) that are kept for the next program."""
_WARM_ROUNDS: Final = 2
_OFFSET_ROUNDS: Final = 15
_CALIBRATION_S: Final = 2.2e-3
"""The GPU reference takes at least this on the timed shape, where memory allows: 10% over the aim of 2 ms."""
_CLAIMED_CALLS: Final = 5
_SLACK: Final = 2.0
"""On timed shapes the expected values come from the GPU reference, which may be off by the tolerance itself."""


class Wrong(Exception):
    """An output is outside its tolerance."""


class RuleBroken(Exception):
    """The program did what its problem forbids."""


class ReferenceBroken(Exception):
    """The reference program failed, so nothing can be said of the candidate."""


@dataclass(slots=True)
class Opened:
    """The problem that is being judged, with its reference attached."""

    key: tuple[str, str]
    problem: GpuProblem
    dtype: str
    memory_bytes: int
    dialect: str
    source: str
    """Of the reference."""
    reference: Peer
    scale: float = 1.0


def serve(control: socket.socket, config: dict[str, Any]) -> None:
    """Serve one executor until it hangs up.

    Args:
        control: commands come in, answers go out.
        config: ``device`` (``gpu`` or ``cpu``), ``sharing`` (``auto``, ``ipc`` or ``host``).
    """
    referee = Referee(control, config["device"], config["sharing"])
    wire.send(control, {"ready": True, "staged": referee.staged, "facts": referee.card.facts()})
    while True:
        try:
            message, fds = wire.receive(control, 2)
        except EOFError:
            return
        command = message["cmd"]
        if command == "ended":
            continue  # a candidate ended just after it was judged
        wire.send(control, referee.obey(command, message, fds))


class Referee:
    """See the module."""

    def __init__(self, control: socket.socket, device: str, sharing: str) -> None:
        self.card = Card(device)
        shares = self.card.on_gpu and sharing != "host" and ipc_works()
        if sharing == "ipc" and not shares:
            raise RuntimeError("CUDA IPC does not work here; execute with sharing=auto or host")
        self.staged = self.card.on_gpu and not shares
        staging = "cuda" if self.staged else "cpu" if sharing == "host" else ""
        self._control = control
        # With few cores, two spinning processes would only hold each other up.
        self._politely = not self.card.on_gpu or len(os.sched_getaffinity(0)) < 4
        self._mine = Buffers(shares, staging)
        self._theirs = Buffers(shares, staging)
        self._snapshot: dict[tuple[tuple[int, ...], str], torch.Tensor] = {}
        self._cases: OrderedDict[tuple[Any, ...], list[Case]] = OrderedDict()
        self._ceilings: dict[str, float] = {}
        self._opened: Opened | None = None
        self._secret = os.urandom(16).hex()
        self._draws = 0
        self._warmed: tuple[tuple[str, str], float] | None = None

    def obey(self, command: str, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Do one command and return its answer."""
        if command == "open":
            return self._open(message, fds)
        if command == "calibrate":
            return self._calibrate()
        if command == "scale":
            return self._rescale(message["scale"])
        if command == "judge":
            return self._judge(message, fds)
        if command == "ceilings":
            return self._measure_ceilings(message["dtype"])
        if command == "inputs":
            return self._hand_out_inputs()
        raise ValueError(f"unknown command {command!r}")

    # ------------------------------------------------------------------ opening a problem

    def _open(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Attach the reference program of a problem; its process was armed like any candidate."""
        from tasks.gpu.catalog import get

        if self._opened is not None:
            self._opened.reference.close()
            self._opened = None
        self._snapshot.clear()
        problem, dtype = get(message["name"]), message["dtype"]
        line = socket.socket(fileno=fds[0])
        source = problem.reference(message["dialect"], dtype)
        memory_bytes, scale = int(message["memory_bytes"]), float(message["scale"])
        self._make_room(problem, dtype, memory_bytes, scale)
        peer = Peer(line, self._mine, self._control, self._politely)
        self._opened = Opened(
            (problem.name, dtype), problem, dtype, memory_bytes, message["dialect"], source, peer, scale
        )
        try:
            peer.load()
        except (PeerFailed, PeerGone) as error:
            return self._reference_failed(error)
        return {"opened": True}

    def _make_room(self, problem: GpuProblem, dtype: str, memory_bytes: int, scale: float) -> bool:
        shapes = problem.shapes(memory_bytes, scale)
        arrangements = [arrangement_of(problem, shape, dtype) for shape in shapes]
        device_bytes = max(a.device_bytes for a in arrangements)
        host_bytes = max(a.host_bytes for a in arrangements)
        grown = self._mine.fit(device_bytes, host_bytes)
        self._theirs.fit(device_bytes, host_bytes)
        return grown

    def _rescale(self, scale: float) -> dict[str, Any]:
        opened = self._current()
        if scale != opened.scale:
            opened.scale = scale
            self._snapshot.clear()
            if self._make_room(opened.problem, opened.dtype, opened.memory_bytes, scale):
                try:
                    opened.reference.attach_again()
                except (PeerFailed, PeerGone) as error:
                    return self._reference_failed(error)
        self._warm()
        return {"scale": scale, "shape": dict(self._timed_shape().dims)}

    def _warm(self) -> None:
        """Take the memory that timing will need, so that it does not look like a program's."""
        opened, shape = self._current(), self._timed_shape()
        if (opened.key, opened.scale) == self._warmed:
            return
        self._warmed = (opened.key, opened.scale)
        self.card.empty_pools()
        arrangement = arrangement_of(opened.problem, shape, opened.dtype)
        values = self._draw(shape)
        self._fill(self._mine, arrangement, values)
        del values
        poisons = self._poison(self._mine, arrangement)
        self._copy_out(self._mine, arrangement)
        want = [self._mine.view(slot) for slot in arrangement.outputs]
        compare(self._snapshots(arrangement), want, opened.problem.tolerance(opened.dtype), poisons, _SLACK)

    def _calibrate(self) -> dict[str, Any]:
        """Find the smallest scale at which the reference takes long enough, or the largest that fits."""
        scale, last = 1.0, None
        answer = self._rescale(scale)
        for _ in range(12):
            try:
                taken = self._reference_time()
            except (PeerFailed, PeerGone) as error:
                return self._reference_failed(error)
            if not self.card.on_gpu or taken >= _CALIBRATION_S:
                break
            last = self._timed_shape().dims
            grown = scale * min(max(1.2 * _CALIBRATION_S / max(taken, 1e-6), 1.25), 64.0)
            answer = self._rescale(grown)
            if "failed" in answer or self._timed_shape().dims == last:
                break  # cut back to the same size: this is all that fits
            scale = grown
        return {**answer, "seconds": taken}

    def _reference_time(self) -> float:
        opened = self._current()
        shape = self._timed_shape()
        arrangement = arrangement_of(opened.problem, shape, opened.dtype)
        values = self._draw(shape)
        self._bind(opened.reference, arrangement, shape, values, (opened.dialect, opened.source))
        self._fill(self._mine, arrangement, values)
        times, touches = [], []
        for number in range(4):
            touches.append(self._timed_call(opened.reference, self._mine, arrangement, values, touch=True))
            times.append(self._timed_call(opened.reference, self._mine, arrangement, values))
            if number and times[-1] > 0.2:
                break
        return sorted(times[1:])[(len(times) - 1) // 2] - sorted(touches)[len(touches) // 2]

    # ------------------------------------------------------------------ judging a candidate

    def _judge(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        with os.fdopen(fds[1], "rb") as file:
            source = file.read().decode("utf-8", "surrogatepass")
        peer = Peer(socket.socket(fileno=fds[0]), self._theirs, self._control, self._politely)
        found: dict[str, Any] = {"phase": "load", "rounds": []}
        reserved = self.card.reserved()
        gc.disable()
        try:
            self._judge_peer(peer, message, source, found)
        except Wrong as error:
            found |= {"outcome": "wrong", "reason": str(error)}
        except RuleBroken as error:
            found |= {"outcome": "rule", "reason": str(error)}
        except LaunchError as error:
            found |= {
                "outcome": "failed",
                "report": {"phase": "load", "type": "LaunchError", "message": str(error)},
            }
        except PeerFailed as error:
            found |= {"outcome": "failed", "report": error.report}
        except PeerGone:
            found |= {"outcome": "gone"}
        except ReferenceBroken as error:
            found |= {"outcome": "reference", "reason": str(error)}
        finally:
            peer.close()
            gc.enable()
        found["grown"] = self.card.reserved() - reserved
        return found

    def _judge_peer(self, peer: Peer, message: dict[str, Any], source: str, found: dict[str, Any]) -> None:
        opened = self._current()
        dialect = message["dialect"]
        if message["timing"]:
            self._ask("alone")
            found["offset_s"] = self._offset(peer)
        asked = time.monotonic()
        found["loaded_s"] = peer.load()
        found["ready_s"] = time.monotonic() - asked
        found["phase"] = "run"
        calls: dict[str, list[float]] = {}
        for case in self._cases_for(message):
            calls.setdefault(case.shape.name, []).append(self._try(peer, case, dialect, source, found))
        # The first call of a shape may compile; what it took beyond a later one is compile time.
        found["compile_s"] = found["loaded_s"] + sum(max(0.0, times[0] - min(times)) for times in calls.values())
        if not message["timing"]:
            peer.seal()
            found |= {"outcome": "passed", "phase": "check"}
            return
        self._ask("timing")
        found["phase"] = "time"
        shape = self._timed_shape()
        found["shape"] = dict(shape.dims)
        found["footprint"] = opened.problem.footprint(shape, opened.dtype)
        self._time(peer, shape, message, source, found)
        found |= {"outcome": "passed", "phase": "time"}

    def _offset(self, peer: Peer) -> float:
        """By how much an empty call of this candidate takes longer than one of the reference's process.

        The card's scheduler reaches one context a little sooner than another, for as long as both live. This is
        measured before the candidate has seen its program, which could otherwise slow its empty calls.
        """
        opened, shape = self._current(), self._timed_shape()
        arrangement = arrangement_of(opened.problem, shape, opened.dtype)
        values = self._draw(shape)
        numbers = scalars_of(opened.problem, shape, opened.dtype, values)
        peer.bind(arrangement, numbers, None)
        with _reference_guard():
            self._bind(opened.reference, arrangement, shape, values, (opened.dialect, opened.source))
        differences = []
        for number in range(_OFFSET_ROUNDS + _WARM_ROUNDS):
            with _reference_guard():
                reference = self._timed_call(opened.reference, self._mine, arrangement, values, touch=True)
            own = self._timed_call(peer, self._theirs, arrangement, values, touch=True)
            if number >= _WARM_ROUNDS:
                differences.append(own - reference)
        return median(differences)

    def _try(self, peer: Peer, case: Case, dialect: str, source: str, found: dict[str, Any]) -> float:
        """One small call, judged; returns its seconds."""
        opened = self._current()
        self._bind(peer, case.arrangement, case.shape, case.inputs, (dialect, source))
        self._fill(self._theirs, case.arrangement, case.inputs)
        poisons = self._poison(self._theirs, case.arrangement)
        found["phase"] = "run"
        self.card.synchronize()
        peer.ready()
        taken = peer.go(lambda: self._copy_out(self._theirs, case.arrangement))
        found["phase"] = "check"
        self._check_guards(case.arrangement)
        got = [tensor.cpu() for tensor in self._snapshots(case.arrangement)]
        tolerance = opened.problem.tolerance(opened.dtype)
        mismatch = compare(got, case.expected, tolerance, poisons)
        if mismatch is not None:
            raise Wrong(f"at {_describe(case.shape)}: {mismatch}")
        for slot, value in zip(case.arrangement.inputs, case.inputs, strict=True):
            if slot is not None and not _same_bytes(self._theirs.view(slot).cpu(), value):
                raise RuleBroken("the program changed one of its inputs")
        return taken

    def _time(self, peer: Peer, shape: Shape, message: dict[str, Any], source: str, found: dict[str, Any]) -> None:
        """Rounds of touch, reference and candidate on the same fresh inputs, each judged."""
        opened = self._current()
        arrangement = arrangement_of(opened.problem, shape, opened.dtype)
        tolerance = opened.problem.tolerance(opened.dtype)
        budget, least, most = message["budget_s"], message["min_rounds"], message["max_rounds"]
        bound: list[int | float] | None = None
        began, number = 0.0, -_WARM_ROUNDS
        first_call = 0.0
        while number < most and (number < least or time.monotonic() - began < budget):
            if number == 0:
                peer.seal()
                bound = None
                began = time.monotonic()
            values = self._draw(shape)
            numbers = scalars_of(opened.problem, shape, opened.dtype, values)
            if numbers != bound:
                with _reference_guard():
                    self._bind(opened.reference, arrangement, shape, values, (opened.dialect, opened.source))
                self._bind(peer, arrangement, shape, values, (message["dialect"], source))
                bound = numbers
            for buffers in (self._mine, self._theirs):
                self._paint(buffers, arrangement)
                poisons = self._poison(buffers, arrangement)
            at = time.monotonic()
            with _reference_guard():
                touch = self._timed_call(opened.reference, self._mine, arrangement, values, touch=True)
                reference = self._timed_call(opened.reference, self._mine, arrangement, values)
            candidate = self._timed_call(peer, self._theirs, arrangement, values)
            del values
            self._check_guards(arrangement)
            want = [self._mine.view(slot) for slot in arrangement.outputs]
            mismatch = compare(self._snapshots(arrangement), want, tolerance, poisons, _SLACK)
            if mismatch is not None:
                raise Wrong(f"at {_describe(shape)}: {mismatch}")
            if number == -_WARM_ROUNDS:
                first_call = candidate
            if number >= 0:
                found["rounds"].append([round(at, 6), touch, reference, candidate])
            number += 1
        found["compile_s"] += max(0.0, first_call - min(r[3] for r in found["rounds"]))
        if message["burst_s"]:
            self._burst(peer, arrangement, message["burst_s"], found)
        found["claimed_s"] = peer.claim(_CLAIMED_CALLS)

    def _burst(self, peer: Peer, arrangement: Arrangement, seconds: float, found: dict[str, Any]) -> None:
        """Calls back to back while the supervisor reads the energy counter at both ends."""
        poisons = self._poison(self._theirs, arrangement)
        self.card.synchronize()
        self._ask("burst")
        began, calls = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            peer.ready()
            peer.go(_nothing)
            calls += 1
        self._ask("burst_end")
        found["burst"] = {"calls": calls, "seconds": time.monotonic() - began}
        self._copy_out(self._theirs, arrangement)
        opened = self._current()
        want = [self._mine.view(slot) for slot in arrangement.outputs]
        mismatch = compare(
            self._snapshots(arrangement), want, opened.problem.tolerance(opened.dtype), poisons, _SLACK
        )
        if mismatch is not None:
            raise Wrong(f"after calls back to back: {mismatch}")

    # ------------------------------------------------------------------ parts

    def _bind(
        self, peer: Peer, arrangement: Arrangement, shape: Shape, values: Any, program: tuple[str, str]
    ) -> None:
        opened = self._current()
        launches = launches_for(opened.problem, shape, opened.dtype, *program)
        peer.bind(arrangement, scalars_of(opened.problem, shape, opened.dtype, values), launches)

    def _fill(self, buffers: Buffers, arrangement: Arrangement, values: Any) -> None:
        """Write the inputs and the guard bands."""
        self._paint(buffers, arrangement)
        for slot, value in zip(arrangement.inputs, values, strict=True):
            if slot is not None:
                buffers.view(slot).copy_(value)

    def _paint(self, buffers: Buffers, arrangement: Arrangement) -> None:
        for host in (False, True):
            paint_guards(buffers.arena(host), arrangement.guards(host))

    def _poison(self, buffers: Buffers, arrangement: Arrangement) -> list[float]:
        self._draws += 1
        salt = derive(self._secret, "poison", self._draws)
        return [poison(buffers.view(slot), salt) for slot in arrangement.outputs]

    def _timed_call(
        self, peer: Peer, buffers: Buffers, arrangement: Arrangement, values: Sequence[Any], touch: bool = False
    ) -> float:
        """Seconds from the first byte of input until this process's own copy of the output is complete.

        The inputs arrive and the cache is flushed with the clock running: whoever watches for fresh inputs and
        computes ahead of the call is charged for it. An empty call pays for both as well, so they cancel.
        """
        self._snapshots(arrangement)
        self.card.synchronize()

        def hand_over() -> None:
            for slot, value in zip(arrangement.inputs, values, strict=True):
                if slot is not None:
                    buffers.view(slot).copy_(value)
            self.card.flush()

        def hand_over_staged() -> None:
            # What is staged must lie in shared memory before the candidate fetches it.
            hand_over()
            peer.ready(touch)

        if self._mine.staging:
            return peer.go(lambda: self._copy_out(buffers, arrangement), hand_over_staged)
        peer.ready(touch)
        return peer.go(lambda: self._copy_out(buffers, arrangement), hand_over)

    def _copy_out(self, buffers: Buffers, arrangement: Arrangement) -> None:
        for slot, target in zip(arrangement.outputs, self._snapshots(arrangement), strict=True):
            target.copy_(buffers.view(slot))
        self.card.synchronize()

    def _snapshots(self, arrangement: Arrangement) -> list[torch.Tensor]:
        """This process's own copies of the outputs: made once a shape, so that no call pays for them."""
        import torch

        found = []
        for number, slot in enumerate(arrangement.outputs):
            key = ((number, *slot.shape), slot.element)
            if key not in self._snapshot:
                device = "cpu" if self.staged else self.card.device
                self._snapshot[key] = torch.empty(slot.shape, dtype=getattr(torch, slot.element), device=device)
            found.append(self._snapshot[key])
        return found

    def _check_guards(self, arrangement: Arrangement) -> None:
        for host in (False, True):
            if torn_guards(self._theirs.arena(host), arrangement.guards(host)):
                raise RuleBroken("the program wrote outside of its arrays")

    def _draw(self, shape: Shape) -> list[Any]:
        """Fresh inputs that nobody has seen."""
        opened = self._current()
        self._draws += 1
        seed = derive(self._secret, opened.problem.name, self._draws)
        return opened.problem.make_inputs_device(seed, shape, opened.dtype, self.card.device)

    def _cases_for(self, message: dict[str, Any]) -> list[Case]:
        opened = self._current()
        key = (*opened.key, message["kind"], tuple(message["seeds"]), message["seed"], opened.memory_bytes)
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

    def _timed_shape(self) -> Shape:
        opened = self._current()
        return opened.problem.shapes(opened.memory_bytes, opened.scale)[-1]

    def _current(self) -> Opened:
        if self._opened is None:
            raise RuntimeError("no problem is open")
        return self._opened

    def _measure_ceilings(self, dtype: str) -> dict[str, Any]:
        if "copy" not in self._ceilings:
            self._ceilings["copy"] = copy_ceiling(self.card)
        if dtype not in self._ceilings:
            self._ceilings[dtype] = product_ceiling(self.card, dtype)
        opened, shape = self._current(), self._timed_shape()
        return {
            "bytes_per_s": self._ceilings["copy"],
            "flops_per_s": self._ceilings[dtype],
            "bytes": opened.problem.bytes_moved(shape, opened.dtype),
            "flops": opened.problem.flops(shape, opened.dtype),
        }

    def _hand_out_inputs(self) -> dict[str, Any]:
        """The seed by which another trusted process makes inputs of the timed shape on the host."""
        self._draws += 1
        return {"seed": derive(self._secret, "cpu", self._draws), "shape": dict(self._timed_shape().dims)}

    def _ask(self, event: str) -> None:
        """Tell the supervisor where things stand and wait for its word."""
        wire.send(self._control, {"event": event})
        select.select([self._control], [], [])
        message, _ = wire.receive(self._control)
        if message["cmd"] != "go_on":
            raise PeerGone("the supervisor ended it")

    def _reference_failed(self, error: PeerFailed | PeerGone) -> dict[str, Any]:
        detail = error.report if isinstance(error, PeerFailed) else {"type": "Gone", "message": str(error)}
        return {"failed": detail}


class _reference_guard:
    """Turns what goes wrong with the reference into :class:`ReferenceBroken`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PeerFailed):
            report = error.report
            raise ReferenceBroken(f"{report.get('type')}: {report.get('message')}") from None
        if isinstance(error, PeerGone):
            raise ReferenceBroken(str(error)) from None


def _same_bytes(got: torch.Tensor, value: Value | torch.Tensor) -> bool:
    import torch

    assert isinstance(value, torch.Tensor)
    return bool(torch.equal(got.reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8)))


def _describe(shape: Shape) -> str:
    return ", ".join(f"{name}={size}" for name, size in shape.dims.items())


def _nothing() -> None:
    """Stop the clock at once."""
