"""What the referee works on: the card, the shared memory of both sides, and calls with the clock running."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.execute.gpu import wire
from orchestrator.execute.gpu.arenas import ipc_works
from orchestrator.execute.gpu.bench import Card
from orchestrator.execute.gpu.cases import arrangement_of, derive, launches_for, scalars_of
from orchestrator.execute.gpu.judge import paint_guards, poison, torn_guards
from orchestrator.execute.gpu.layout import Arrangement
from orchestrator.execute.gpu.peer import Buffers, Call, Peer, PeerFailed, PeerGone

if TYPE_CHECKING:
    import torch

    from tasks.gpu.problem import GpuProblem, Shape

__all__ = ["Opened", "ReferenceBroken", "RuleBroken", "Stage", "reference_guard"]

_FEW_CORES: Final = 4


class RuleBroken(Exception):
    """The program did what its problem forbids."""


class ReferenceBroken(Exception):
    """The reference program failed, so nothing can be said of the candidate."""


@dataclass(slots=True)
class Opened:
    """The problem that is being judged, with its reference attached."""

    problem: GpuProblem
    dtype: str
    memory_bytes: int
    dialect: str
    source: str
    """Of the reference."""
    reference: Peer
    scale: float = 1.0

    @property
    def timed(self) -> Shape:
        """The shape that is timed, at the present scale."""
        return self.problem.shapes(self.memory_bytes, self.scale)[-1]

    def arrangement(self, shape: Shape) -> Arrangement:
        """Where the arrays of this shape lie."""
        return arrangement_of(self.problem, shape, self.dtype)

    def scalars(self, shape: Shape, values: Sequence[Any]) -> list[int | float]:
        """The numbers among the inputs."""
        return scalars_of(self.problem, shape, self.dtype, values)

    def bind(self, peer: Peer, shape: Shape, values: Sequence[Any], program: tuple[str, str] | None) -> None:
        """Make ``peer`` ready for calls on this shape.

        Args:
            peer: the candidate, or the reference.
            shape: of the calls.
            values: the inputs, of which the numbers go along.
            program: dialect and source of the peer's program, for launch lines; None: the reference's.

        Raises:
            tasks.gpu.launch.LaunchError: the launch lines can't be followed.
        """
        dialect, source = program or (self.dialect, self.source)
        launches = launches_for(self.problem, shape, self.dtype, dialect, source)
        peer.bind(self.arrangement(shape), self.scalars(shape, values), launches)


class Stage:
    """The card and what is shared on it."""

    def __init__(self, control: socket.socket, device: str, sharing: str) -> None:
        self.card = Card(device)
        shares = self.card.on_gpu and sharing != "host" and ipc_works()
        if sharing == "ipc" and not shares:
            raise RuntimeError("CUDA IPC does not work here; execute with sharing=auto or host")
        self.staged = self.card.on_gpu and not shares
        self.control = control
        self._staging = "cuda" if self.staged else "cpu" if sharing == "host" else ""
        # With few cores, two spinning processes would only hold each other up.
        self._politely = not self.card.on_gpu or len(os.sched_getaffinity(0)) < _FEW_CORES
        self.mine = Buffers(shares, self._staging)
        """Shared with the reference."""
        self.theirs = Buffers(shares, self._staging)
        """Shared with the candidate."""
        self._snapshot: dict[tuple[tuple[int, ...], str], torch.Tensor] = {}
        self._secret = os.urandom(16).hex()
        self._draws = 0

    def attach_reference(self, line_fd: int) -> Peer:
        """Take hold of the reference's process by its end of the line."""
        return Peer(socket.socket(fileno=line_fd), self.mine, None, self._politely)

    def attach_candidate(self, line_fd: int) -> Peer:
        """Take hold of an armed candidate by its end of the line; it finds nothing of the one before it."""
        self.theirs.clear()
        self.card.synchronize()
        return Peer(socket.socket(fileno=line_fd), self.theirs, self.control, self._politely)

    def ask(self, event: str) -> None:
        """Tell the supervisor where things stand and wait for its word.

        Raises:
            PeerGone: the candidate has ended meanwhile.
        """
        wire.send(self.control, {"event": event})
        ended = False
        while True:
            select.select([self.control], [], [])
            message, _ = wire.receive(self.control)
            # An event is answered in any case: what is left unread would be taken for the next command.
            if message["cmd"] == "go_on":
                break
            ended = True
        if ended:
            raise PeerGone("the supervisor ended it")

    def seed(self, *parts: object) -> int:
        """A seed that was never used before and that nobody can guess."""
        self._draws += 1
        return derive(self._secret, self._draws, *parts)

    def draw(self, opened: Opened, shape: Shape) -> list[Any]:
        """Fresh inputs that nobody has seen."""
        seed = self.seed(opened.problem.name)
        return opened.problem.make_inputs_device(seed, shape, opened.dtype, self.card.device)

    def forget(self) -> None:
        """Let go of copies of outputs: other shapes come."""
        self._snapshot.clear()

    def fill(self, buffers: Buffers, arrangement: Arrangement, values: Any) -> None:
        """Write the inputs and the guard bands."""
        self.paint(buffers, arrangement)
        for slot, value in zip(arrangement.inputs, values, strict=True):
            if slot is not None:
                buffers.view(slot).copy_(value)

    def paint(self, buffers: Buffers, arrangement: Arrangement) -> None:
        """Write the guard bands."""
        for host in (False, True):
            paint_guards(buffers.arena(host), arrangement.guards(host))

    def poison(self, buffers: Buffers, arrangement: Arrangement) -> list[float]:
        """Fill the outputs with what no right answer holds; returns what, for each."""
        salt = self.seed("poison")
        return [poison(buffers.view(slot), salt) for slot in arrangement.outputs]

    def timed_call(
        self, peer: Peer, buffers: Buffers, arrangement: Arrangement, values: Sequence[Any], touch: bool = False
    ) -> Call:
        """Seconds from the first byte of input until this process's own copy of the output is complete.

        The inputs arrive and the cache is flushed with the clock running: whoever watches for fresh inputs and
        computes ahead of the call is charged for it. An empty call pays for both as well, so they cancel.
        """
        self.snapshots(arrangement)
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

        if self._staging:
            return peer.go(lambda: self.copy_out(buffers, arrangement), hand_over_staged)
        peer.ready(touch)
        return peer.go(lambda: self.copy_out(buffers, arrangement), hand_over)

    def copy_out(self, buffers: Buffers, arrangement: Arrangement) -> None:
        """Copy the outputs into this process's own memory, and wait until that is done."""
        for slot, target in zip(arrangement.outputs, self.snapshots(arrangement), strict=True):
            target.copy_(buffers.view(slot))
        self.card.synchronize()

    def snapshots(self, arrangement: Arrangement) -> list[torch.Tensor]:
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

    def check_guards(self, arrangement: Arrangement) -> None:
        """See that the candidate wrote between no arrays.

        Raises:
            RuleBroken: it did.
        """
        for host in (False, True):
            if torn_guards(self.theirs.arena(host), arrangement.guards(host)):
                raise RuleBroken("the program wrote outside of its arrays")


@contextmanager
def reference_guard() -> Iterator[None]:
    """Turn what goes wrong with the reference into :class:`ReferenceBroken`."""
    try:
        yield
    except PeerFailed as error:
        raise ReferenceBroken(f"{error.report.get('type')}: {error.report.get('message')}") from None
    except PeerGone as error:
        raise ReferenceBroken(str(error)) from None
