"""The candidate's side: load one untrusted program and answer calls to its entry point with plain data.

All of this runs confined, in the same process as the program, so nothing here is trusted once the program has been
loaded: whatever the program does to this code only changes its own answers. What is sent before (the greeting) and
done before (the limits) can be relied on.

Frames sent: ``["h", cpu_s]`` (greeting, before the program arrives), ``["k"]`` (loaded),
``["l", type, message]`` (loading failed), ``["m", name]`` (no such entry point), and one per call:
``["r", value]`` or ``["r", value, args]`` (with the positional arguments, where the call changed a list, dict, set
or bytearray among them and all still cross), ``["x", type, message]`` (raised), ``["u", why]`` (the answer is not
plain data).
"""

from __future__ import annotations

import contextlib
import marshal
import os
import resource
import sys
import time
import types
from typing import Any, Final

from orchestrator.execute.sandbox.protocol import (
    MOST_BYTES,
    Channel,
    ChannelClosed,
    NotPlain,
    ProtocolError,
    dump,
    encode,
    frame,
    load,
)

__all__ = ["MODULE_NAME", "parse_reply", "rehearse", "serve"]

MODULE_NAME: Final = "solution"
_MOST_MESSAGE: Final = 500
_MUTABLE: Final = (list, dict, set, bytearray)
_REHEARSALS: Final = 12
_REHEARSED: Final = (
    "from typing import List\n\n\ndef answer(a: str, b: float, c: List[int]) -> List[str]:\n    return [a]\n"
)
# A program may be long and its calls many: only what comes *from* a candidate is capped tightly.
_MOST_JOB_BYTES: Final = 256 << 20


def serve(channel_fd: int, discard_fd: int) -> None:
    """Answer over ``channel_fd`` until it is closed. ``discard_fd`` is /dev/null, for output nobody reads."""
    channel = Channel(channel_fd, _MOST_JOB_BYTES)
    _serve(channel, channel, discard_fd)


def _serve(channel: Channel, answers: Channel, discard_fd: int) -> None:
    with contextlib.suppress(ChannelClosed):
        answers.send(frame(b'["h",%r]' % time.process_time()))
        # From the supervisor by way of the referee, so it may be taken at its word; marshal is the fastest.
        job = marshal.loads(channel.receive())
        # The whole batch is taken in before the first answer: sender and receiver never both wait to send.
        calls = [channel.receive() for _ in range(job["calls"])]
        _settle(job, discard_fd)
        function = _load_program(answers, job)
        if function is None:
            return
        for call in calls:
            _answer(answers, function, call, flush=not job["discard"])
        while True:
            _answer(answers, function, channel.receive(), flush=not job["discard"])


def rehearse() -> None:
    """Go through the motions with a harmless program, in a zygote before its first fork.

    What is set up on first use, and the interpreter's notes in code that has run often, are then in place once
    instead of being written, and so copied, in every candidate.
    """
    call = dump(encode([["a", 1.5, [1, (2, None)]], {}]))
    job = {"program": _REHEARSED, "entry": "answer", "limits": [], "discard": False, "calls": 1}
    for _ in range(_REHEARSALS):
        ours, theirs = os.pipe()
        answers, end = os.pipe()
        Channel(theirs).send(frame(marshal.dumps(job)), frame(call))
        os.close(theirs)
        _serve(Channel(ours, _MOST_JOB_BYTES), Channel(end), os.dup(0))
        for descriptor in (ours, answers, end):
            os.close(descriptor)
    del sys.modules[MODULE_NAME]


def _settle(job: dict[str, Any], discard_fd: int) -> None:
    for which, value in job["limits"]:
        resource.setrlimit(which, (value, value))
    if job["discard"]:
        os.dup2(discard_fd, 1)
        os.dup2(discard_fd, 2)
    os.close(discard_fd)


def _load_program(channel: Channel, job: dict[str, Any]) -> Any:
    """Return the entry point; None where there is none, which has then been said."""
    module = types.ModuleType(MODULE_NAME)
    sys.modules[MODULE_NAME] = module
    namespace = module.__dict__
    try:
        exec(compile(job["program"], MODULE_NAME + ".py", "exec", dont_inherit=True), namespace)
        function = namespace.get(job["entry"])
    except BaseException as error:  # noqa: BLE001 - the program's own ending, whatever it is, is its answer.
        _reply(channel, ["l", *_describe(error)])
        return None
    finally:
        if not job["discard"]:
            _flush()
    if not callable(function):
        _reply(channel, ["m", job["entry"]])
        return None
    _reply(channel, ["k"])
    return function


def _answer(channel: Channel, function: Any, call: bytes, flush: bool) -> None:
    args, kwargs = load(call)
    try:
        value = function(*args, **kwargs)
        reply: list[Any] = ["r", encode(value)]
        if any(type(a) in _MUTABLE for a in args):
            # What was put into an argument may not cross; that is no fault of the answer.
            with contextlib.suppress(NotPlain):
                after = [encode(a) for a in args]
                if dump([after, encode(kwargs)]) != call:
                    reply.append(after)
    except NotPlain as error:
        reply = ["u", str(error)]
    except BaseException as error:  # noqa: BLE001 - as above.
        reply = ["x", *_describe(error)]
    if flush:
        _flush()
    _reply(channel, reply)


def _reply(channel: Channel, reply: list[Any]) -> None:
    text = dump(reply)
    if len(text) > MOST_BYTES:
        text = dump(["u", f"an answer of more than {MOST_BYTES >> 20} MiB"])
    channel.send(frame(text))


def _describe(error: BaseException) -> list[str]:
    kind = type(error)
    try:
        # The text of a KeyError is the representation of its key: the key itself makes the same error again.
        alone = kind is KeyError and len(error.args) == 1 and type(error.args[0]) is str
        message = (error.args[0] if alone else str(error))[:_MOST_MESSAGE]
        message.encode()
    except BaseException:  # noqa: BLE001 - a message that cannot be made is no message.
        message = ""
    return [str(kind.__name__)[:100], message]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def parse_reply(text: bytes) -> list[Any]:
    """Return a candidate's frame as a list whose first element is its kind and whose shape is that kind's.

    Raises:
        ProtocolError: any other shape.
    """
    reply = load(text)
    if type(reply) is not list or not reply or type(reply[0]) is not str:
        raise ProtocolError("a frame of no known kind")
    rest = [type(part) for part in reply[1:]]
    kind = reply[0]
    fits = (
        (kind == "r" and (len(rest) == 1 or (len(rest) == 2 and rest[1] is list)))
        or (kind in ("x", "l") and rest == [str, str])
        or (kind in ("u", "m") and rest == [str])
        or (kind == "k" and not rest)
        or (kind == "h" and rest == [float])
    )
    if not fits:
        raise ProtocolError(f"a malformed frame of kind {kind[:10]!r}")
    return reply
