"""What stands for the candidate's function inside the tests: calls go out as plain data, answers come back so."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterable
from typing import Any, Final

from orchestrator.execute.sandbox.ahead import Ahead
from orchestrator.execute.sandbox.candidate import parse_reply
from orchestrator.execute.sandbox.protocol import (
    Channel,
    ChannelClosed,
    NotPlain,
    ProtocolError,
    dump,
    encode,
    frame,
)

__all__ = ["CandidateError", "Ended", "Opaque", "Proxy", "Unsendable"]

# These two end loops quietly: raised under a test's ``all(map(candidate, ...))`` they would pass for its end.
_LOOP_ENDS: Final = (StopIteration, StopAsyncIteration)
_BUILTIN_ERRORS: Final = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _LOOP_ENDS)
}


class Ended(BaseException):
    """The candidate can answer no more; ``verdict`` and ``reason`` say how it came to that.

    Not an Exception, so that tests which expect one do not take it for the candidate's.
    """

    def __init__(self, verdict: str, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


class CandidateError(Exception):
    """The candidate raised something that is no builtin exception; the message begins with its type's name."""


class Unsendable(TypeError):
    """The tests pass the candidate something that is not plain data."""


class Opaque:
    """An answer that is not plain data: it equals nothing, and nothing can be done with it."""

    def __init__(self, why: str) -> None:
        self.why = why

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError(self.why)

    def __repr__(self) -> str:
        return f"<{self.why}>"


class Proxy:
    """Callable in the candidate's place.

    With ``recorded`` calls, which the candidate has been sent already, every call is compared with the one that
    the reference got at that point; the first that differs ends it as ``diverged``. Later calls go one by one.
    ``ahead`` follows a reference.
    """

    def __init__(self, channel: Channel, recorded: list[bytes], ahead: Ahead | None = None) -> None:
        self._channel = channel
        self._recorded = recorded
        self._ahead = ahead
        self._loaded = False
        self.made: list[bytes] = []
        """The text of every call so far."""
        self.raised: list[BaseException] = []
        """Every exception that came from the candidate, as raised here."""
        self.ended: Ended | None = None

    def __call__(self, *args: object, **kwargs: object) -> Any:
        self.ensure_loaded()
        try:
            given = [[encode(a) for a in args], encode(kwargs)]
        except NotPlain as error:
            raise Unsendable(f"an argument does not cross: {error}") from error
        call = dump(given)
        if self._ahead is not None:
            self._ahead.called(given)
        position = len(self.made)
        self.made.append(call)
        if position >= len(self._recorded):
            self._send(call)
        elif self._recorded[position] != call:
            raise self._end("diverged", f"call {position + 1} is not the one that was recorded")
        reply = self._receive()
        if reply[0] == "r":
            if len(reply) == 3:
                _write_back(args, reply[2])
            return reply[1]
        if reply[0] == "u":
            return Opaque(reply[1])
        if reply[0] == "x":
            raised = _rebuild(reply[1], reply[2])
            self.raised.append(raised)
            raise raised
        raise self._end("error", f"broke the protocol: a frame of kind {reply[0]!r} for an answer")

    def ensure_loaded(self) -> None:
        """Wait until the program is loaded.

        Raises:
            Ended: it failed to load, has no such entry point, or is gone.
        """
        if self.ended is not None:
            raise self.ended
        if self._loaded:
            return
        reply = self._receive()
        if reply[0] == "l":
            verdict = "out_of_memory" if reply[1] == "MemoryError" else "error"
            raise self._end(verdict, f"while loading: {reply[1]}: {reply[2]}")
        if reply[0] == "m":
            raise self._end("error", f"defines no function {reply[1]}")
        if reply[0] != "k":
            raise self._end("error", f"broke the protocol: a frame of kind {reply[0]!r} while loading")
        self._loaded = True

    def _send(self, call: bytes) -> None:
        try:
            self._channel.send(frame(call))
        except ChannelClosed:
            raise self._end("gone", "ended before the tests were answered") from None

    def _receive(self) -> list[Any]:
        try:
            text = self._channel.receive()
            reply = parse_reply(text)
        except ChannelClosed:
            raise self._end("gone", "ended before the tests were answered") from None
        except ProtocolError as error:
            raise self._end("error", f"broke the protocol: {error}") from None
        if self._ahead is not None:
            self._ahead.answered(text)
        return reply

    def _end(self, verdict: str, reason: str) -> Ended:
        self.ended = Ended(verdict, reason)
        return self.ended


def _write_back(args: tuple[object, ...], after: list[Any]) -> None:
    """Carry over what the call did to mutable arguments, as in one process; identities within are lost."""
    pairs: Iterable[tuple[Any, Any]] = zip(args, after, strict=False)
    for old, new in pairs:
        if type(old) is not type(new):
            continue
        if isinstance(old, list | bytearray):
            old[:] = new
        elif isinstance(old, dict | set):
            old.clear()
            old.update(new)


def _rebuild(name: str, message: str) -> Exception:
    kind = _BUILTIN_ERRORS.get(name)
    if kind is None:
        return CandidateError(f"{name}: {message}" if message else name)
    try:
        return kind(message)
    except TypeError:
        # Some (UnicodeDecodeError) are made from more than a message.
        with contextlib.suppress(TypeError):
            bare = kind.__new__(kind)
            bare.args = (message,)
            return bare
    # And some (ExceptionGroup) from nothing less than what they are about.
    return CandidateError(f"{name}: {message}")
