"""The referee's hold on one attached candidate: orders, waiting, and the clock."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from orchestrator.execute.gpu import flags, replies, wire
from orchestrator.execute.gpu.arenas import Arena, device_arena, host_arena, view
from orchestrator.execute.gpu.layout import Arrangement, Slot

if TYPE_CHECKING:
    import torch

__all__ = ["Buffers", "Call", "Peer", "PeerFailed", "PeerGone"]

_SPINS: Final = 256
"""Looks at the page between two looks at the clock."""
_LOOK_S: Final = 0.002
"""Between two looks at the sockets while spinning."""
_PATIENCE_S: Final = 0.05
"""After so long a wait the referee naps between looks: an error of at most a thousandth."""
_NAP_S: Final = 3e-5


class Call(NamedTuple):
    """Seconds of the parts of one call, end to end."""

    before_s: float
    """The referee's own work before the word to go."""
    run_s: float
    """From the word to go until the candidate says that it is done."""
    after_s: float
    """The referee's own work after that."""

    @property
    def around_s(self) -> float:
        """The referee's own work."""
        return self.before_s + self.after_s

    @property
    def total_s(self) -> float:
        """All of it: what a candidate is charged."""
        return self.before_s + self.run_s + self.after_s


class PeerGone(Exception):
    """The candidate ended, or was ended, before it answered."""


class PeerFailed(Exception):
    """The candidate reported an exception; ``report`` is what it said of it."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__(str(report.get("type", "")))
        self.report = report


class Buffers:
    """Arenas shared with one side, candidate or reference; they grow and are used again."""

    def __init__(self, on_card: bool, staging: str) -> None:
        self._on_card = on_card
        self.staging = staging
        self._host: Arena | None = None
        self._device: Arena | None = None
        self._host_bytes = self._device_bytes = 0

    def fit(self, device_bytes: int, host_bytes: int) -> bool:
        """Make room for both; True when arenas are new, so that whoever is attached must attach again."""
        if device_bytes <= self._device_bytes and host_bytes <= self._host_bytes:
            return False
        self.close()
        self._device_bytes, self._host_bytes = device_bytes, host_bytes
        if self._on_card:
            self._device = device_arena(device_bytes)
            self._host = host_arena(host_bytes)
        else:
            self._host = host_arena(host_bytes + device_bytes)
        return True

    def close(self) -> None:
        """Give the arenas up."""
        for arena in (self._host, self._device):
            if arena is not None:
                arena.close()
        self._host = self._device = None
        self._host_bytes = self._device_bytes = 0

    def arena(self, host: bool) -> torch.Tensor:
        """The bytes of host arrays, or of the device's arrays wherever they lie."""
        assert self._host is not None
        if host:
            return self._host.bytes[: self._host_bytes]
        if self._device is not None:
            return self._device.bytes
        return self._host.bytes[self._host_bytes :]

    def view(self, slot: Slot) -> torch.Tensor:
        """The array of ``slot``."""
        return view(self.arena(slot.host), slot)

    def clear(self) -> None:
        """Overwrite all of it with zeros."""
        for arena in (self._host, self._device):
            if arena is not None:
                arena.bytes.zero_()

    def invitation(self) -> tuple[dict[str, Any], int]:
        """What a candidate needs to map the arenas: a message and the memory file's descriptor."""
        assert self._host is not None
        handle = self._device.handle if self._device is not None else ""
        size = self._device.bytes.numel() if self._device is not None else 0
        message = {"handle": handle, "device_bytes": size, "staged_at": self._host_bytes, "staging": self.staging}
        return message, self._host.fd


class Peer:
    """One attached candidate."""

    def __init__(
        self, line: socket.socket, buffers: Buffers, control: socket.socket | None, politely: bool
    ) -> None:
        """Attach.

        Args:
            line: to the candidate.
            buffers: what it shares; already large enough.
            control: to the supervisor, whose word that the candidate has ended ends any wait for it; None for the
                reference, which no candidate's end concerns.
            politely: give the processor away between looks (few cores; the clock is then coarser).
        """
        self.line, self.buffers, self._control = line, buffers, control
        self._pause: Callable[[], object] = os.sched_yield if politely else _nothing
        self._orders_fd, self._orders = flags.new_page(read_only=True)
        self._answers_fd, self._answers = flags.new_page(read_only=False)
        self._number = 0
        self._calling = False
        self._send(*self._attachment())

    def attach_again(self) -> None:
        """Map new arenas. Only for a peer that is trusted to let go of the old ones."""
        self.leave()
        self._send(*self._attachment())
        self._receive("attached")

    def load(self) -> float:
        """Have the program loaded and return the seconds that the candidate says it took.

        Raises:
            PeerFailed: the program could not be loaded.
            PeerGone: it ended instead.
        """
        self.leave()
        self._send({"op": "load"})
        return self._receive("loaded")

    def bind(
        self, arrangement: Arrangement, scalars: Sequence[int | float], launches: dict[str, Any] | None
    ) -> None:
        """Set the arrays and numbers of the calls to come, and make ready for calls."""
        self.leave()
        message = {"op": "case", **arrangement.to_wire(scalars)}
        if launches is not None:
            message["launches"] = launches
        self._send(message)
        self._receive("set")
        self._send({"op": "calls", "base": self._number})
        self._calling = True

    def ready(self, touch: bool = False) -> None:
        """Have the candidate spin for the next call."""
        self._number += 1
        self._orders[flags.TOUCH] = int(touch)
        self._orders[flags.PREPARE] = self._number
        self._await(flags.READY)

    def go(self, finish: Callable[[], object], begin: Callable[[], object] | None = None) -> Call:
        """Make the call and return the seconds from before ``begin`` until after ``finish``, in its parts.

        Args:
            finish: run here when the candidate says that it is done.
            begin: run here before the candidate is told to go.
        """
        began = time.perf_counter_ns()
        if begin is not None:
            begin()
        going = time.perf_counter_ns()
        self._orders[flags.GO] = self._number
        self._await(flags.DONE)
        done = time.perf_counter_ns()
        finish()
        ended = time.perf_counter_ns()
        return Call((going - began) / 1e9, (done - going) / 1e9, (ended - done) / 1e9)

    def leave(self) -> None:
        """End the calls, if any are being made."""
        if self._calling:
            # A negative order ends the calls; the next ones begin above the number that was reached.
            self._orders[flags.PREPARE] = -1
            self._receive("idle")
            self._orders[flags.PREPARE] = self._number
            self._calling = False

    def seal(self) -> None:
        """Have it give up the right to start programs."""
        self.leave()
        self._send({"op": "seal"})
        self._receive("sealed")

    def claim(self, calls: int) -> float:
        """Seconds of one call by the candidate's own measure."""
        self.leave()
        self._send({"op": "claim", "calls": calls})
        return self._receive("claimed")

    def close(self) -> None:
        """Hang up."""
        self.line.close()
        for fd in (self._orders_fd, self._answers_fd):
            os.close(fd)

    def _attachment(self) -> tuple[dict[str, Any], list[int]]:
        message, memory = self.buffers.invitation()
        return {"op": "attach", **message}, [self._orders_fd, self._answers_fd, memory]

    def _send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        try:
            wire.send(self.line, message, fds)
        except OSError:
            raise self._gone() from None

    def _await(self, word: int) -> None:
        """Spin until the candidate's answer is this call's number."""
        answers, number, pause = self._answers, self._number, self._pause
        began = looked = time.perf_counter()
        while True:
            for _ in range(_SPINS):
                answer = answers[word]
                if answer == number:
                    return
                pause()
            now = time.perf_counter()
            if answers[flags.DONE] == -number:
                self._receive("")
            if now - looked > _LOOK_S:
                looked = now
                self._look()
            if now - began > _PATIENCE_S:
                time.sleep(_NAP_S)

    def _look(self) -> None:
        answered, ended = self._ready(0)
        if ended:
            raise self._ended()
        if answered:
            self._receive("")

    def _ready(self, timeout_ms: int | None = None) -> tuple[bool, bool]:
        """Whether something came from the candidate, and from the supervisor; waits for either."""
        poll = select.poll()
        sockets = [self.line, *([self._control] if self._control is not None else [])]
        for sock in sockets:
            poll.register(sock, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(timeout_ms)}
        return self.line.fileno() in ready, any(sock.fileno() in ready for sock in sockets[1:])

    def _receive(self, key: str) -> float:
        """The number under ``key`` in the candidate's next message; without a key only a failure is due.

        Raises:
            PeerFailed: the message reports a failure, or is not the one that was due.
            PeerGone: there is none.
        """
        answered, ended = self._ready()
        if ended and not answered:
            raise self._ended()
        try:
            message, _ = wire.receive(self.line)
            failed = message.get("failed")
            if isinstance(failed, dict):
                raise PeerFailed(replies.failure(failed))
            return replies.number(message.get(key) if key else None)
        except EOFError:
            raise self._gone() from None
        except (wire.WireError, OSError, replies.BadReply) as error:
            raise PeerFailed({"phase": "run", "type": "ProtocolError", "message": str(error)}) from None

    def _gone(self) -> PeerGone:
        return PeerGone("it ended before it answered")

    def _ended(self) -> PeerGone:
        """The supervisor's word that the candidate has ended, taken off the control socket."""
        if self._control is not None:
            wire.receive(self._control)
        return PeerGone("the supervisor ended it")


def _nothing() -> None:
    """Spin on."""
