"""What runs inside a candidate: arm, load one program, make the calls that the referee orders.

Everything here shares a process with code that nobody trusts. Nothing in it decides a verdict: it reports, and the
referee looks for itself.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.execute.gpu import flags, programs, replies, wire
from orchestrator.execute.gpu.arenas import close_device, open_device, open_host, view
from orchestrator.execute.gpu.layout import Slot
from orchestrator.execute.gpu.watcher import LibraryCall, watched

if TYPE_CHECKING:
    import torch

__all__ = ["serve"]

_NAP_S: Final = 5e-5
_now: Final = time.perf_counter
"""Its own: a program that replaces the clock's name would have times reported that are none."""


def serve(
    chan: socket.socket,
    line: socket.socket,
    config: dict[str, Any],
    close_doors: Callable[[], None],
    seal: Callable[[], None],
) -> None:
    """Live as a candidate until the referee hangs up.

    Args:
        chan: to the supervisor: "here" goes out, the word to arm comes in, "armed" goes out, one program comes in.
        line: to the referee.
        config: ``device`` and ``folder`` (scratch).
        close_doors: takes away what only arming needs; called before the program is there.
        seal: takes away the right to start processes; called before the program is loaded, or for Triton, whose
            compiler starts an assembler, before it is timed.
    """
    _open_driver(config["device"])
    wire.send(chan, {"here": True})
    try:
        _, turn = wire.receive(chan, 1)
        began = time.perf_counter()
        synchronize = _arm(config["device"], turn)
        wire.send(chan, {"armed": time.perf_counter() - began})
        attached, fds = wire.receive(line, 3)
    except EOFError:
        return
    shared = _Shared.attach(attached, fds)
    close_doors()
    device = "cpu" if config["device"] == "cpu" else "cuda"
    _Session(chan, line, shared, synchronize, seal, Path(config["folder"]), device).run()


@dataclass(slots=True)
class _Shared:
    """Memory and flags that this candidate shares with the referee."""

    orders: memoryview
    answers: memoryview
    host: torch.Tensor
    device: torch.Tensor | None
    """None: device arrays are staged through ``host``, behind the host arrays."""
    staged_at: int
    """Offset in ``host`` where the staged arrays begin."""
    staging: str
    """torch device that staged arrays are copied to; empty: they are used where they lie."""

    @classmethod
    def attach(cls, message: dict[str, Any], fds: list[int]) -> _Shared:
        orders, answers = flags.map_page(fds[0], write=False), flags.map_page(fds[1], write=True)
        host = open_host(fds[2])
        wire.close_all(fds)
        device = open_device(message["handle"], message["device_bytes"]) if message["handle"] else None
        return cls(orders, answers, host, device, message["staged_at"], message["staging"])

    def detach(self) -> None:
        """Let go of the card's memory, so that its maker can free it."""
        if self.device is not None:
            pointer, self.device = self.device.data_ptr(), None
            close_device(pointer)


@dataclass(slots=True)
class _Session:
    chan: socket.socket
    line: socket.socket
    shared: _Shared
    synchronize: Callable[[], None]
    seal: Callable[[], None]
    folder: Path
    device: str
    """By torch's name; where a program's dialect may forbid torch to compute."""
    program: programs.Program | None = None
    """None until the referee says "load": empty calls are timed before there is any code that could slow them."""
    call: Callable[[], None] = field(default=lambda: None)
    touch: Callable[[], None] = field(default=lambda: None)
    before: Callable[[], None] = field(default=lambda: None)
    after: Callable[[], None] = field(default=lambda: None)
    watched: Callable[[], None] | None = None
    """The next call of the program, where it is one that is watched."""
    watching: bool = False
    """Whether the dialect forbids torch to compute. Watched are loading, the first call on new arrays until the
    timed rounds begin, and one call after them; timed calls are left alone, since watching takes time."""
    sealed: bool = False
    failed: bool = False

    def run(self) -> None:
        gc.disable()
        while not self.failed:
            try:
                message, fds = wire.receive(self.line, 3)
            except EOFError:
                return
            operation = message["op"]
            if operation == "load":
                self._load()
            elif operation == "case":
                self._case(message)
            elif operation == "calls":
                self._calls(message["base"])
            elif operation == "claim":
                self._claim(message["calls"])
            elif operation == "attach":
                self.call = self.touch = self.before = self.after = lambda: None
                self.watched = None
                self.shared.detach()
                self.shared = _Shared.attach(message, fds)
                wire.send(self.line, {"attached": True})
            elif operation == "seal":
                self.seal()
                self.sealed = True
                wire.send(self.line, {"sealed": True})

    def _load(self) -> None:
        """Take the program from the supervisor and load it."""
        message, fds = wire.receive(self.chan, 1)
        with os.fdopen(fds[0], "rb") as file:
            source = file.read().decode("utf-8", "surrogatepass")
        if message["dialect"] != "triton":
            self.seal()
        if message["memory_share"] is not None:
            _limit_pools(message["memory_share"])
        self.watching = message["dialect"] == "triton"
        began = _now()
        try:
            self._under_watch(lambda: self._take_program(source, message["dialect"], message["entry_point"]))
            self.synchronize()
        except BaseException as error:  # noqa: BLE001 - a program may raise anything, and all of it is reported
            self._fail(error, "load")
            return
        wire.send(self.line, {"loaded": _now() - began})

    def _take_program(self, source: str, dialect: str, entry_point: str) -> None:
        self.program = programs.load(source, dialect, entry_point, self.folder)

    def _under_watch(self, work: Callable[[], None]) -> None:
        (watched(work, self.device) if self.watching else work)()

    def _case(self, message: dict[str, Any]) -> None:
        try:
            inputs = [self._array(x) for x in message["inputs"]]
            outputs = [self._array(x) for x in message["outputs"]]
            staged_in = [x for x in inputs if isinstance(x, _Staged)]
            staged_out = [x for x in outputs if isinstance(x, _Staged)]
            given = [x.copy if isinstance(x, _Staged) else x for x in inputs]
            filled = [x.copy if isinstance(x, _Staged) else x for x in outputs]
            first = filled[0].reshape(-1)[:1]

            def touch() -> None:
                """Write one element of the output: the cost of everything but the program."""
                first.mul_(1)

            self.touch = touch
            self.call = touch if self.program is None else self.program.bind(message, given, filled)
            watch = self.watching and not self.sealed and self.program is not None
            self.watched = watched(self.call, self.device) if watch else None

            def before() -> None:
                for x in (*staged_in, *staged_out):
                    x.copy.copy_(x.shared)

            def after() -> None:
                for x in staged_out:
                    x.shared.copy_(x.copy)

            self.before, self.after = before, after
        except BaseException as error:  # noqa: BLE001 - binding runs compilers on the program
            self._fail(error, "load")
            return
        wire.send(self.line, {"set": True})

    def _array(self, x: dict[str, Any]) -> Any:
        if "scalar" in x:
            return x["scalar"]
        slot = Slot(x["at"], tuple(x["shape"]), x["element"], x["host"])
        shared = self.shared
        if slot.host:
            return view(shared.host, slot)
        if shared.device is not None:
            return view(shared.device, slot)
        there = view(shared.host[shared.staged_at :], slot)
        return _Staged(there, there.to(shared.staging, copy=True)) if shared.staging else there

    def _calls(self, base: int) -> None:
        """Make the calls that are ordered on the shared page, until the referee ends them."""
        orders, answers = self.shared.orders, self.shared.answers
        prepare, go, ready, done = flags.PREPARE, flags.GO, flags.READY, flags.DONE
        synchronize = self.synchronize
        while True:
            number = orders[prepare]
            if number == base:
                time.sleep(_NAP_S)
                continue
            if number < 0:
                break
            base = number
            try:
                self.before()
                synchronize()
                call, after = self.touch if orders[flags.TOUCH] else self._next_call(), self.after
                answers[ready] = number
                while orders[go] != number:
                    pass
                call()
                synchronize()
                after()
            except BaseException as error:  # noqa: BLE001 - a program may raise anything, and all of it is reported
                answers[done] = -number
                self._fail(error, "run")
                return
            answers[done] = number
        wire.send(self.line, {"idle": True})

    def _next_call(self) -> Callable[[], None]:
        """The program's call, under watch where it is the first on new arrays."""
        call, self.watched = self.watched or self.call, None
        return call

    def _claim(self, calls: int) -> None:
        """Time calls with the process's own means: a claim, shown beside the referee's time."""
        try:
            if self.watching:
                watched(self.call, self.device)()
            times = [_self_timed(self.call, self.synchronize) for _ in range(calls)]
        except BaseException as error:  # noqa: BLE001 - the program is called here too
            self._fail(error, "run")
            return
        wire.send(self.line, {"claimed": sorted(times)[len(times) // 2]})

    def _fail(self, error: BaseException, phase: str) -> None:
        self.failed = True
        if isinstance(error, programs.CompileError):
            phase = "compile"
        elif isinstance(error, LibraryCall):
            phase = "rule"
        wire.send(self.line, {"failed": _report(error, phase)})


@dataclass(slots=True)
class _Staged:
    """An array that travels through host memory: the shared one and the program's own copy."""

    shared: torch.Tensor
    copy: torch.Tensor


def _open_driver(device: str) -> None:
    """What comes before a context and needs no turn: the driver is opened, and told of torch's kernels.

    No context is made by it. It is a sixth of what a spare takes to be armed (28 of 157 ms on an H200).
    """
    import torch

    if device != "cpu":
        torch.cuda.init()  # type: ignore[no-untyped-call]


def _arm(device: str, turn: Sequence[int]) -> Callable[[], None]:
    """Create the CUDA context and everything that a first use would create; return how to wait for the card.

    ``turn`` is closed when the context exists: another of this host makes its own then.
    """
    import torch

    if device == "cpu":
        wire.close_all(turn)
        torch.zeros(1).add_(1)
        return lambda: None
    synchronize = torch.cuda.synchronize
    synchronize()
    wire.close_all(turn)
    torch.ones(64, device="cuda").add_(1)
    synchronize()
    return synchronize


def _limit_pools(memory_share: float) -> None:
    """Let the libraries' own pools say "out of memory" where the cap is; going around them is seen from outside."""
    import cupy
    import torch

    torch.cuda.set_per_process_memory_fraction(memory_share)
    cupy.get_default_memory_pool().set_limit(fraction=memory_share)


def _self_timed(call: Callable[[], None], synchronize: Callable[[], None]) -> float:
    import torch

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        began = _now()
        call()
        return _now() - began
    event: Any = torch.cuda.Event
    start, end = event(enable_timing=True), event(enable_timing=True)
    start.record()
    call()
    end.record()
    synchronize()
    return float(start.elapsed_time(end)) / 1e3


def _report(error: BaseException, phase: str) -> dict[str, Any]:
    """An exception as plain data: its type, its message, and the program's own frames."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - __str__ is the program's own code
        text = "(its message could not be read)"
    return {
        "phase": phase,
        "type": replies.clipped(type(error).__name__, replies.TYPE_TEXT),
        "message": replies.clipped(text, replies.MESSAGE_TEXT),
        "frames": _frames(error),
        "oom": _is_out_of_memory(error),
    }


def _frames(error: BaseException) -> Sequence[str]:
    if isinstance(error, SyntaxError):
        found = [f"line {error.lineno}: {(error.text or '').strip()[:160]}"]
    else:
        found = [
            f"line {frame.lineno}, in {frame.name[:100]}: {(frame.line or '')[:160]}"
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).name == programs.FILE_NAME
        ]
    return [replies.clipped(frame, replies.FRAME_TEXT) for frame in found[-replies.FRAMES :]]


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether this is an allocation that failed, by the exception types of the libraries at hand."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & {"OutOfMemoryError", "MemoryError"}:
        return True
    return "cupy" in sys.modules and "cudaErrorMemoryAllocation" in str(getattr(error, "args", ""))[:2000]
