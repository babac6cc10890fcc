"""Whatever a candidate sends, the referee lives on and gives a verdict, and nothing passes but right answers."""

from __future__ import annotations

import marshal
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestrator.execute.sandbox import referee
from orchestrator.execute.sandbox.protocol import Channel, dump, encode, frame, load
from tests.execute.sandbox.values import plain

SECRET = 8675309
TESTS = {
    "setup": "",
    # Everything that tests do with answers: compare, compute, loop, index, expect an error, swallow errors.
    "source": f"""
def check(candidate):
    assert candidate(1) == [{SECRET}, "right"]
    try:
        candidate(2)
        assert False
    except ValueError:
        pass
    try:
        assert candidate(3)[0] + 1 == {SECRET}
    except:
        assert False
    assert abs(candidate(4) - {SECRET}.5) < 1e-6
    assert sorted(candidate(5)) == [1, 2, {SECRET}]
    assert candidate(6)
""",
    "examples": [],
    "calls": [dump(encode([[n], {}])).decode() for n in range(1, 7)],
}
RIGHT = [
    ["h", 0.0],
    ["k"],
    ["r", [SECRET, "right"]],
    ["x", "ValueError", "as expected"],
    ["r", [SECRET - 1]],
    ["r", SECRET + 0.5],
    ["r", [SECRET, 2, 1]],
    ["r", True],
]
VERDICTS = {"passed", "wrong_answer", "error", "out_of_memory", "gone", "unstarted", "diverged"}


class Referee:
    """The referee's own loop in a thread, with this test in the place of supervisor and candidate."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._channel = Channel(self._control.fileno())
        self._theirs = theirs
        self._thread = threading.Thread(target=referee.serve, args=(theirs,))
        self._thread.start()
        self._known = False

    def judge(self, sent: bytes, *, batch: bool = True) -> dict[str, Any]:
        """The result for a candidate that sends these bytes, whatever it is asked."""
        ours, theirs = socket.socketpair()
        job = {
            "key": "tests",
            "tests": None if self._known else TESTS,
            "drop": [],
            "entry": "f",
            "test_seed": "seed",
            "batch": batch,
            "record": False,
            "candidate": {"program": "", "entry": "f", "limits": [], "discard": True},
        }
        self._known = True
        with ours:
            socket.send_fds(self._control, [b"J"], [theirs.fileno()])
            theirs.close()
            self._channel.send(frame(marshal.dumps(job)))
            ours.sendall(sent)
            ours.shutdown(socket.SHUT_WR)
            result: dict[str, Any] = load(self._channel.receive())
        return result

    def close(self) -> None:
        self._control.close()
        self._thread.join()
        self._theirs.close()


@pytest.fixture(scope="module")
def judged() -> Iterator[Referee]:
    made = Referee()
    yield made
    assert made._thread.is_alive()
    made.close()
    assert not made._thread.is_alive()


def frames(replies: list[Any]) -> bytes:
    return b"".join(frame(dump([reply[0], *map(encode, reply[1:])])) for reply in replies)


def put(index: int, reply: list[Any]) -> list[Any]:
    """The right replies with one replaced."""
    return [*RIGHT[:index], reply, *RIGHT[index + 1 :]]


def test_the_right_answers_pass(judged: Referee) -> None:
    assert judged.judge(frames(RIGHT))["verdict"] == "passed"
    assert judged.judge(frames(RIGHT), batch=False)["verdict"] == "passed"


@pytest.mark.parametrize("index", range(2, len(RIGHT)))
def test_each_answer_is_needed(judged: Referee, index: int) -> None:
    replies = put(index, ["r", None])
    assert judged.judge(frames(replies))["verdict"] == "wrong_answer"
    assert judged.judge(frames(RIGHT[:index]))["verdict"] == "gone"


fuzzed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzzed
@given(st.integers(0, len(RIGHT)), st.binary(max_size=64))
@example(2, b"\xff\xff\xff\xff")
@example(1, b"\x00\x00\x00\x00")
def test_bytes(judged: Referee, index: int, noise: bytes) -> None:
    result = judged.judge(frames(RIGHT[:index]) + noise)
    assert result["verdict"] in VERDICTS
    assert result["verdict"] != "passed" or index == len(RIGHT)


KINDS = st.sampled_from(["h", "k", "l", "m", "r", "u", "x", "o", "", "passed", "verdict"])
REPLIES = st.tuples(KINDS, st.lists(plain(), max_size=3)).map(lambda drawn: [drawn[0], *drawn[1]])


@fuzzed
@given(st.lists(REPLIES, max_size=12), st.booleans())
def test_well_formed_replies_in_any_order(judged: Referee, replies: list[Any], batch: bool) -> None:
    result = judged.judge(frames(replies), batch=batch)
    assert result["verdict"] in VERDICTS - {"passed"}
    assert "\n" not in result["reason"]
    assert result["reason"].encode()


@fuzzed
@given(st.integers(2, len(RIGHT) - 1), plain())
def test_a_wrong_answer_in_each_place(judged: Referee, index: int, answer: object) -> None:
    result = judged.judge(frames(put(index, ["r", answer])))
    right = [SECRET, "right"], None, None, SECRET + 0.5, None, None
    if index == len(RIGHT) - 1:
        # The tests only ask for something true here.
        assert (result["verdict"] == "passed") == bool(answer)
    elif not _close(answer, right[index - 2]):
        assert result["verdict"] in ("wrong_answer", "out_of_memory")


@fuzzed
@given(st.integers(1, len(RIGHT) - 1), st.text(max_size=20), st.text(max_size=20))
@example(3, "SystemExit", "0")
@example(3, "UnicodeDecodeError", "made from more than a message")
@example(3, "ValueError", "\ud800")
@example(5, "AssertionError", "")
@example(5, "Ended", "passed")
def test_raising_anything_anywhere(judged: Referee, index: int, name: str, message: str) -> None:
    result = judged.judge(frames(put(index, ["x", name, message])))
    assert (result["verdict"] == "passed") == (index == 3 and name in ("ValueError", *_VALUE_ERRORS))


_VALUE_ERRORS = ("UnicodeError", "UnicodeDecodeError", "UnicodeEncodeError", "UnicodeTranslateError")


def _close(answer: object, right: object) -> bool:
    if isinstance(answer, int | float | complex) and isinstance(right, float):
        return abs(answer - right) < 1e-6
    return answer == right


def test_the_referee_closed_every_channel(judged: Referee) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        judged.judge(b"noise")
    assert len(os.listdir("/proc/self/fd")) == before
