"""The referee: runs a problem's tests against a candidate that it reaches only through plain data.

It is a process of its own, as confined as a candidate save that it may read all installed packages, lives as long
as its executor, and runs every job in a fresh namespace. It is told jobs over a stream socket, each with the
descriptor of a candidate's channel, and answers one result frame (for feedback tests, one frame an example before).
"""

from __future__ import annotations

import marshal
import os
import random
import socket
import sys
import time
from types import CodeType
from typing import Any, Final, NamedTuple

from orchestrator.execute.sandbox.ahead import Ahead
from orchestrator.execute.sandbox.candidate import parse_reply
from orchestrator.execute.sandbox.protocol import Channel, ChannelClosed, ProtocolError, dump, encode, frame
from orchestrator.execute.sandbox.proxy import CandidateError, Ended, Opaque, Proxy, Unsendable

__all__ = ["MOST_JOB_BYTES", "serve"]

MOST_JOB_BYTES: Final = 512 << 20
_MOST_REASON: Final = 300
_MOST_GOT: Final = 2000
_TESTS_FILE: Final = "tests.py"
_RECURSION: Final = sys.getrecursionlimit()


class _Tests(NamedTuple):
    """One problem's tests, compiled, with the recorded calls as they are sent."""

    setup: CodeType
    source: CodeType | None
    examples: list[tuple[str, str]]
    calls: list[bytes]
    batch: bytes
    text: str
    """What ``source`` was compiled from; empty without it."""


class _Result(NamedTuple):
    verdict: str
    reason: str
    tainted: bool = False
    """This process should be replaced: what happened may have left a mark on it."""


def serve(control: socket.socket) -> None:
    """Work on jobs until the supervisor closes its end."""
    channel = Channel(control.fileno(), MOST_JOB_BYTES)
    known: dict[str, _Tests] = {}
    while True:
        try:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                return
            job = marshal.loads(channel.receive())
        except (ChannelClosed, ConnectionError):
            return
        for key in job["drop"]:
            known.pop(key, None)
        try:
            result = _work(channel, Channel(descriptors[0]), job, known)
        finally:
            os.close(descriptors[0])
        channel.send(frame(dump(encode(result))))


def _work(control: Channel, candidate: Channel, job: dict[str, Any], known: dict[str, _Tests]) -> dict[str, Any]:
    began = time.process_time()
    proxy = Proxy(candidate, [])
    ahead = Ahead()
    greeting = 0.0
    try:
        if job["tests"] is not None:
            known[job["key"]] = _compile(job["tests"])
        tests = known[job["key"]]
        kind, *greeted = parse_reply(candidate.receive())
        if kind != "h":
            raise ProtocolError("no greeting")
        greeting = greeted[0]
        recorded = tests.calls if job["batch"] else []
        order = marshal.dumps({**job["candidate"], "calls": len(recorded)})
        candidate.send(frame(order), *([tests.batch] if recorded else []))
    except (ChannelClosed, ProtocolError):
        # The program is run only once all of this has arrived, so it cannot be its doing.
        result = _Result("unstarted", "ended before the program was sent")
    except (SyntaxError, ValueError) as error:
        result = _Result("invalid", f"the tests do not compile: {error}")
    else:
        proxy = Proxy(candidate, recorded, ahead if job["record"] else None)
        result = _judge(control, proxy, tests, job)
    return {
        "verdict": result.verdict,
        "reason": _one_line(result.reason),
        "tainted": result.tainted,
        "greeting": greeting,
        "calls": len(proxy.made),
        "recording": [call.decode() for call in proxy.made[: ahead.calls]],
        "cpu_s": time.process_time() - began,
    }


def _compile(tests: dict[str, Any]) -> _Tests:
    calls = [call.encode() for call in tests["calls"]]
    source = tests["source"]
    return _Tests(
        setup=compile(tests["setup"], "setup.py", "exec", dont_inherit=True),
        source=None if source is None else compile(source, _TESTS_FILE, "exec", dont_inherit=True),
        text=source or "",
        examples=tests["examples"],
        calls=calls,
        batch=b"".join(frame(call) for call in calls),
    )


def _judge(control: Channel, proxy: Proxy, tests: _Tests, job: dict[str, Any]) -> _Result:
    sys.setrecursionlimit(_RECURSION)
    _seed(job["test_seed"])
    namespace: dict[str, Any] = {"__name__": "tests", job["entry"]: proxy}
    try:
        exec(tests.setup, namespace)
        namespace[job["entry"]] = proxy
        if tests.source is None:
            return _try_examples(control, proxy, tests.examples, namespace)
        exec(tests.source, namespace)
        # Taken first: in MBPP an entry point is called `check` too.
        check = namespace["check"]
        namespace[job["entry"]] = proxy
        check(proxy)
        proxy.ensure_loaded()
        result = _Result("passed", "")
    except BaseException as error:  # noqa: BLE001 - whatever ends the tests is a verdict; the process goes on.
        result = _explain(error, proxy, tests.text)
    # A test that swallows everything must not swallow this.
    return result if proxy.ended is None else _Result(proxy.ended.verdict, proxy.ended.reason)


def _try_examples(
    control: Channel, proxy: Proxy, examples: list[tuple[str, str]], namespace: dict[str, Any]
) -> _Result:
    proxy.ensure_loaded()
    first = _Result("passed", "")
    for index, (call, expected) in enumerate(examples):
        try:
            wanted = eval(expected, namespace)
            got = eval(call, namespace)
            passed, shown = bool(got == wanted), _show(got)
            result = _Result("wrong_answer", f"{call} gave {shown}, not {expected}")
        except BaseException as error:  # noqa: BLE001 - as in _judge.
            if proxy.ended is not None:
                raise proxy.ended from None
            result = _explain(error, proxy)
            passed, shown = False, _one_line(result.reason)
        control.send(frame(dump(encode(["o", index, passed, shown]))))
        if not passed and first.verdict == "passed":
            first = result
    return first


def _failed_line(error: BaseException, source: str) -> str:
    """The line of the tests at which an exception left them; empty where it came from elsewhere."""
    lines = source.splitlines()
    found = ""
    place = error.__traceback__
    while place is not None:
        if place.tb_frame.f_code.co_filename == _TESTS_FILE and place.tb_lineno <= len(lines):
            found = lines[place.tb_lineno - 1].strip()
        place = place.tb_next
    return found


def _said(error: AssertionError, source: str) -> str:
    """What the tests say of a failure: their message and, where it is an assertion, the line."""
    line, message = _failed_line(error, source), _text(error)
    if not line.startswith("assert"):
        return message or line
    # The line says what was asked and expected; most suites' messages, if any, number the tests.
    return line if message in line else f"{message}: {line}"


def _explain(error: BaseException, proxy: Proxy, source: str = "") -> _Result:
    if isinstance(error, Ended):
        return _Result(error.verdict, error.reason)
    if any(error is raised for raised in proxy.raised):
        text = _text(error) if isinstance(error, CandidateError) else _name(error)
        return _Result("out_of_memory" if isinstance(error, MemoryError) else "error", text)
    if isinstance(error, AssertionError):
        said = _said(error, source)
        return _Result("wrong_answer", f"at call {len(proxy.made)}" + (f": {said}" if said else ""))
    if isinstance(error, Unsendable):
        return _Result("unsendable", _text(error))
    tainted = isinstance(error, MemoryError) or not isinstance(error, Exception)
    return _Result("wrong_answer", f"the tests could not use the answer: {_name(error)}", tainted)


def _text(error: BaseException) -> str:
    """What an exception says. It may hold an answer (``assert x == 4, x``), and not every answer has a text."""
    try:
        return str(error)
    except (ValueError, RecursionError, MemoryError):
        # The interpreter writes no integer of more than some thousand digits.
        return ""


def _name(error: BaseException) -> str:
    message = _text(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _show(value: object) -> str:
    text = _one_line(value.why) if isinstance(value, Opaque) else repr(value)
    return text if len(text) <= _MOST_GOT else text[:_MOST_GOT] + "..."


def _one_line(reason: str) -> str:
    """What a program calls its exceptions ends on terminals: nothing but printable text may get there."""
    # Cut first: a message that was written by hand may be as long as a frame.
    words = " ".join(reason[:_MOST_GOT].split())
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
    return plain[:_MOST_REASON]


def _seed(seed: str) -> None:
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(random.getrandbits(32))
        random.seed(seed)
