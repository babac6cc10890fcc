"""Fuzz of what a candidate may send: no message crashes the executor, and none makes a pass.

Each example is a program that writes frames of its own, well and badly formed, on the channel to the referee and is
gone. The one right answer is a random text that no example can know, so that every ``passed`` would be a hole.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.execution import Execution, Job
from orchestrator.core.problems import ExampleTests, Limits, Problem, PublicProblem, PythonTests
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.executor import PythonExecutor
from orchestrator.execute.sandbox.protocol import dump, encode, frame, load

_ANSWER = secrets.token_hex(16)
_LIMITS = Limits(cpu_s=10.0, wall_s=60.0)
_TESTS = f"def check(candidate):\n    for n in range(3):\n        assert candidate(n) == {_ANSWER!r}\n"
_RIGHT = f"def solve(n):\n    return {_ANSWER!r}\n"
_PROBLEM = Problem(
    public=PublicProblem("hostile/fuzz", "hostile", "Give the answer.", "solve"),
    scoring=PythonTests("", _TESTS),
    feedback=ExampleTests("", ()),
    reference=_RIGHT,
    limits=_LIMITS,
)
_WRITER = """
import os

data = bytes.fromhex({data!r})


def solve(n):
    rest = data
    while rest:
        rest = rest[os.write(3, rest):]
    os._exit(0)


if {at_once}:
    solve(0)
"""

Run = Callable[[str], Execution]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    executor = PythonExecutor()
    preparation = executor.prepare(_PROBLEM, 0)
    yield lambda program: executor.run(
        _PROBLEM, preparation, Job(_PROBLEM.id, program, "scoring", 0, _LIMITS, alone=True)
    )
    executor.close()


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(
        ["r", "x", "u", "k", "h", "l", "m", "passed", "MemoryError", "StopIteration", "ExceptionGroup"]
    )
)
_TAGS = st.sampled_from(["i", "u", "t", "d", "s", "f", "c", "b", "B", "r", "I", "k", "v", "e", "z", "!"])
_DATA = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TAGS | st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)
_KINDS = st.sampled_from(["r", "x", "u", "k", "h", "l", "m", "o", ""])
_SHAPED = st.builds(lambda kind, rest: [kind, *rest], _KINDS, st.lists(_DATA, max_size=3))
_TEXT = (_SHAPED | _DATA).map(lambda data: json.dumps(data).encode()) | st.binary(max_size=40)
_BROKEN = st.builds(lambda size, text: struct.pack("<I", size) + text, st.integers(0, 2**32 - 1), _TEXT)
_STREAM = st.lists(_TEXT.map(frame) | _BROKEN, max_size=6).map(b"".join)


def test_the_right_answers_pass(run: Run) -> None:
    """Also when sent by hand, so that the fuzz fails for its content and for nothing else."""
    assert run(_RIGHT).verdict is Verdict.PASSED
    by_hand = frame(dump(["r", _ANSWER])) * 3
    assert run(_WRITER.format(data=by_hand.hex(), at_once=False)).verdict is Verdict.PASSED


@settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "300")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(stream=_STREAM, at_once=st.booleans())
def test_no_message_passes_or_crashes(run: Run, stream: bytes, at_once: bool) -> None:
    found = run(_WRITER.format(data=stream.hex(), at_once=at_once))
    assert found.verdict in {Verdict.WRONG_ANSWER, Verdict.ERROR, Verdict.OUT_OF_MEMORY}
    assert found.reason.isprintable()
    assert found.reason


def test_the_executor_is_as_good_as_before(run: Run) -> None:
    assert run(_RIGHT).verdict is Verdict.PASSED
    assert run("def solve(n):\n    return n\n").verdict is Verdict.WRONG_ANSWER


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_PLAIN)
def test_plain_data_comes_back_as_it_went(value: Any) -> None:
    back = load(dump(encode(value)))
    assert back == value
    assert repr(back) == repr(value)
