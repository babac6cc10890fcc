"""One slot's processes: a zygote with a candidate at the ready, a referee, and the watch over both.

The supervisor owns deadlines, the output cap and every kill. It does not read a program's answers, run tests or
decide verdicts: the referee reports, :mod:`orchestrator.execute.deciding` decides.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import select
import socket
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.problems import Limits
from orchestrator.execute.boxes import Box, BoxFailed, start_box
from orchestrator.execute.sandbox import process, rlimits
from orchestrator.execute.sandbox.protocol import Channel, ChannelClosed, ProtocolError, frame, load
from orchestrator.execute.sandbox.referee import MOST_JOB_BYTES
from orchestrator.execute.settings import ExecutorSettings
from orchestrator.execute.watch import Output, Stop, Watch, counts_processes

__all__ = ["Observation", "RefereeJob", "Stop", "Supervisor"]

_FIRST_LOOK_S: Final = 0.05
_LOOK_S: Final = 0.025
_GONE_S: Final = 60.0
"""The zygote must have cleared up within this after a kill; a box that does not is broken."""
_MOST_KNOWN_BYTES: Final = 32 << 20
"""Tests and recordings that a referee keeps compiled."""


@dataclass(frozen=True, slots=True)
class RefereeJob:
    """What the referee is told of one program."""

    key: str
    """Names the tests and their recording."""
    tests: dict[str, Any]
    """``setup``, ``source`` (None for examples), ``examples``, ``calls``."""
    entry: str
    program: str
    test_seed: str
    batch: bool
    """Send the recorded calls in one message."""
    record: bool
    discard: bool
    """Nobody reads what the program prints."""
    referee_cpu_s: float
    """What the tests used on the reference's answers."""


@dataclass(slots=True)
class Observation:
    """What was seen of one program."""

    stop: Stop | None = None
    reply: dict[str, Any] | None = None
    """The referee's result; None where it gave none."""
    outcomes: list[tuple[int, bool, str]] = field(default_factory=list)
    output: str = ""
    status: int = 0
    """How the candidate's process ended, as ``waitpid`` says."""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_bytes: int = 0


@dataclass(slots=True)
class _Candidate:
    channel: socket.socket
    output: int
    pidfd: int = -1

    def close(self) -> None:
        """Close what the supervisor holds of it."""
        self.channel.close()
        os.close(self.output)
        if self.pidfd >= 0:
            os.close(self.pidfd)


class Supervisor:
    """Runs one program at a time. Any exception from it means that its boxes are broken."""

    def __init__(self, settings: ExecutorSettings) -> None:
        """Start a zygote and a referee.

        Raises:
            BoxFailed: one of them did not start.
        """
        self._settings = settings
        self._zygotes: dict[str | None, Box] = {}
        self._ready: dict[str | None, _Candidate] = {}
        self._referee: Box | None = None
        self._channel: Channel | None = None
        self._known: OrderedDict[str, int] = OrderedDict()
        self._dropped: list[str] = []
        try:
            self.zygote(None)
            self._start_referee()
        except BaseException:
            self.close()
            raise

    def zygote(self, package: str | None) -> Box:
        """Return the zygote that has ``package`` imported, started if need be."""
        box = self._zygotes.get(package)
        if box is None:
            box = self._zygotes[package] = start_box(self._settings, "zygote", package=package)
            if not counts_processes(box):
                process.run_first(box.pid)
        return box

    def close(self) -> None:
        """End all processes."""
        for candidate in self._ready.values():
            candidate.close()
        self._ready.clear()
        for box in self._zygotes.values():
            box.close()
        self._zygotes.clear()
        self._stop_referee()

    def run(self, job: RefereeJob, limits: Limits, package: str | None) -> Observation:
        """Run one program to its end, with nothing of it left when this returns."""
        zygote = self.zygote(package)
        if self._referee is None:
            self._start_referee()
        seen = Observation()
        candidate: _Candidate | None = None
        try:
            candidate = self._ready.pop(package, None) or self._fork(zygote)
            self._meet(zygote, candidate)
            self._send(job, limits, zygote, candidate)
            # The zygote comes to it as soon as nothing is left of this one, while the verdict is being made.
            self._ready[package] = self._fork(zygote)
            watch = Watch(zygote, self._require_referee(), candidate.pidfd, limits, referee_cpu_s=job.referee_cpu_s)
            with contextlib.nullcontext() if counts_processes(zygote) else process.running_first():
                self._follow(job, watch, candidate, zygote, seen)
        except OSError as error:
            self._discard_boxes(package)
            raise BoxFailed(f"lost a sandbox process: {error}") from error
        except BaseException:
            self._discard_boxes(package)
            raise
        finally:
            if candidate is not None:
                candidate.close()
        if seen.reply is None or seen.reply["tainted"]:
            self._stop_referee()
            self._start_referee()
        return seen

    def _fork(self, zygote: Box) -> _Candidate:
        """Ask for a candidate, without waiting for it."""
        ours, theirs = socket.socketpair()
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        try:
            socket.send_fds(zygote.control, [b"S"], [theirs.fileno(), write])
        except OSError as error:
            os.close(read)
            ours.close()
            raise BoxFailed("the zygote is gone") from error
        finally:
            theirs.close()
            os.close(write)
        return _Candidate(ours, read)

    def _meet(self, zygote: Box, candidate: _Candidate) -> None:
        message, descriptors, _, _ = socket.recv_fds(zygote.control, 4096, 1)
        if message != b"P" or not descriptors:
            raise BoxFailed("the zygote did not fork")
        candidate.pidfd = descriptors[0]

    def _send(self, job: RefereeJob, limits: Limits, zygote: Box, candidate: _Candidate) -> None:
        """Give the program and the candidate's channel to the referee."""
        known = job.key in self._known
        message = {
            "key": job.key,
            "tests": None if known else job.tests,
            "drop": self._dropped,
            "entry": job.entry,
            "test_seed": job.test_seed,
            "batch": job.batch,
            "record": job.record,
            "candidate": {
                "program": job.program,
                "entry": job.entry,
                "discard": job.discard,
                "limits": rlimits.pairs(
                    rlimits.ResourceLimits(
                        # Above where the supervisor stops: for programs that outrun its looks.
                        cpu_s=2 * limits.cpu_s + 2,
                        address_space_bytes=zygote.standing.size_bytes + limits.address_space_bytes,
                        file_bytes=limits.file_bytes,
                        open_files=limits.open_files,
                        processes=limits.processes if counts_processes(zygote) else None,
                        stack_bytes=None,
                    )
                ),
            },
        }
        text = frame(marshal.dumps(message))
        self._dropped = []
        self._remember(job.key, len(text))
        channel = self._require_channel()
        socket.send_fds(self._require_referee().control, [b"J"], [candidate.channel.fileno()])
        channel.send(text)

    def _follow(self, job: RefereeJob, watch: Watch, candidate: _Candidate, zygote: Box, seen: Observation) -> None:
        began = time.monotonic()
        output = Output(candidate.output, watch.limits.output_bytes)
        poll = select.poll()
        channel = self._require_channel()
        for descriptor in (channel.descriptor, zygote.control.fileno()):
            poll.register(descriptor, select.POLLIN)
        if not job.discard:
            poll.register(candidate.output, select.POLLIN)
        end: dict[str, Any] | None = None
        look_at = began + _FIRST_LOOK_S
        killed_at: float | None = None
        referee_over = False
        while end is None or not referee_over:
            ready = [descriptor for descriptor, _ in poll.poll(max(0.0, look_at - time.monotonic()) * 1000)]
            if candidate.output in ready and not output.drain():
                poll.unregister(candidate.output)
            if channel.descriptor in ready and not referee_over:
                referee_over = self._hear(channel, seen)
                if referee_over:
                    seen.wall_s = time.monotonic() - began
                    poll.unregister(channel.descriptor)
            if zygote.control.fileno() in ready and end is None:
                end = _ended(zygote)
                poll.unregister(zygote.control.fileno())
                _hang_up(candidate)
            if referee_over and end is None and killed_at is None:
                killed_at = _kill(candidate)
            now = time.monotonic()
            if now < look_at:
                continue
            look_at = now + _LOOK_S
            if killed_at is not None and end is None and now > killed_at + _GONE_S:
                raise BoxFailed("the zygote did not clear up")
            if end is None and killed_at is None:
                seen.stop = watch.look(now - began)
                if seen.stop is not None:
                    killed_at = _kill(candidate)
            if not referee_over and watch.referee_overdue():
                seen.stop = seen.stop or "referee"
                referee_over = True
                poll.unregister(channel.descriptor)
                if end is None and killed_at is None:
                    killed_at = _kill(candidate)
        if seen.reply is None:
            seen.wall_s = time.monotonic() - began
        if not job.discard:
            output.drain()
            seen.output = output.text()
        self._settle(seen, end, watch)

    def _settle(self, seen: Observation, end: dict[str, Any], watch: Watch) -> None:
        before = seen.reply["greeting"] if seen.reply else 0.0
        seen.status = end["status"]
        seen.cpu_s = max(0.0, max(end["cpu_s"], watch.most.cpu_s) - before)
        seen.peak_bytes = max(end["peak_bytes"], watch.most.resident_bytes)

    def _hear(self, channel: Channel, seen: Observation) -> bool:
        """Take what the referee has said; True when that was its result."""
        while True:
            try:
                said = load(channel.receive())
            except (ChannelClosed, ProtocolError) as error:
                raise BoxFailed("the referee ended by itself") from error
            if isinstance(said, dict):
                seen.reply = said
                return True
            _, index, passed, got = said
            seen.outcomes.append((index, passed, got))
            if not channel.pending:
                return False

    def _remember(self, key: str, size: int) -> None:
        if key in self._known:
            self._known.move_to_end(key)
            return
        self._known[key] = size
        while sum(self._known.values()) > _MOST_KNOWN_BYTES and len(self._known) > 1:
            self._dropped.append(self._known.popitem(last=False)[0])

    def _start_referee(self) -> None:
        self._referee = start_box(self._settings, "referee")
        self._channel = Channel(self._referee.control.fileno(), MOST_JOB_BYTES)

    def _stop_referee(self) -> None:
        self._known.clear()
        self._dropped.clear()
        if self._referee is not None:
            self._referee.kill()
            self._referee.close()
        self._referee = self._channel = None

    def _require_referee(self) -> Box:
        if self._referee is None:
            raise BoxFailed("there is no referee")
        return self._referee

    def _require_channel(self) -> Channel:
        if self._channel is None:
            raise BoxFailed("there is no referee")
        return self._channel

    def _discard_boxes(self, package: str | None) -> None:
        candidate = self._ready.pop(package, None)
        if candidate is not None:
            candidate.close()
        box = self._zygotes.pop(package, None)
        if box is not None:
            box.kill()
            box.close()
        self._stop_referee()


def _kill(candidate: _Candidate) -> float:
    process.kill_group(candidate.pidfd)
    return time.monotonic()


def _hang_up(candidate: _Candidate) -> None:
    """Let the referee see that no more will come, once it has read what did.

    It sees that by itself when the last who holds the candidate's end is gone. But that end may lie in a message on
    a socket that lies in that message too: then it stays open until the kernel happens to collect such rings.
    """
    with contextlib.suppress(OSError):
        candidate.channel.shutdown(socket.SHUT_RDWR)


def _ended(zygote: Box) -> dict[str, Any]:
    message = zygote.control.recv(4096)
    if not message.startswith(b"E"):
        raise BoxFailed("the zygote ended by itself")
    end: dict[str, Any] = json.loads(message[1:])
    return end
