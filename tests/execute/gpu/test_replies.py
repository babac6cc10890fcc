"""What is kept of a candidate's messages."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.execute.gpu import replies, wire
from orchestrator.execute.gpu.candidate import _report
from orchestrator.execute.gpu.peer import Buffers, Peer, PeerFailed

WIDE = ["x", "\u00e9", "\x00", "\ud800", "\U0001f600"]
"""Characters of one to twelve bytes of JSON."""


@pytest.mark.parametrize("character", WIDE)
def test_a_text_is_cut_by_characters_and_by_bytes(character: str) -> None:
    kept = replies.clipped(character * 20_000, replies.MESSAGE_TEXT)
    assert 1000 < len(kept) <= replies.MESSAGE_TEXT
    assert len(json.dumps(kept)) <= 4 * replies.MESSAGE_TEXT + 2
    kept.encode()


def test_a_plain_text_is_kept_as_far_as_its_characters_go() -> None:
    assert replies.clipped("short", replies.MESSAGE_TEXT) == "short"
    assert replies.clipped("x" * 20_000, replies.MESSAGE_TEXT) == "x" * replies.MESSAGE_TEXT


@pytest.mark.parametrize("character", WIDE)
def test_an_exception_of_any_text_fits_into_a_message(character: str) -> None:
    name = "\u00e9" * 5000
    scope: dict[str, Any] = {"Odd": type("\U0001f600" * 5000, (Exception,), {})}
    source = f"def {name}(n, text):\n    if n == 0:\n        raise Odd(text)\n    {name}(n - 1, text)\n"
    exec(compile(source, "program.py", "exec"), scope)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of a type that the text made
        scope[name](20, character * 20_000)
    report = _report(caught.value, "run")
    assert len(report["frames"]) == replies.FRAMES
    assert replies.failure(report) == report
    assert len(json.dumps(report)) < wire.MESSAGE_BYTES // 2


def test_a_failure_keeps_the_known_keys_only() -> None:
    said = {"phase": "load", "type": "E", "message": "no", "frames": ["a"], "oom": True}
    assert replies.failure({**said, "outcome": "passed"}) == said


def test_what_a_failure_leaves_out_is_filled_in() -> None:
    assert replies.failure({}) == {"phase": "run", "type": "Error", "message": "", "frames": [], "oom": False}


def test_of_many_frames_the_innermost_are_kept() -> None:
    frames = [str(number) for number in range(20)]
    assert replies.failure({"frames": frames})["frames"] == frames[12:]


def test_no_time_at_all_is_a_time() -> None:
    assert [replies.number(value) for value in (0, False, True)] == [0.0, 0.0, 1.0]


@pytest.fixture
def ends() -> Iterator[tuple[Peer, socket.socket]]:
    """A peer, and the candidate's end of its line."""
    line, theirs = wire.pair()
    control, supervisor = wire.pair()
    buffers = Buffers(on_card=False, staging="")
    buffers.fit(4096, 4096)
    peer = Peer(line, buffers, control, politely=True)
    yield peer, theirs
    peer.close()
    buffers.close()
    for end in (theirs, control, supervisor):
        end.close()


@pytest.mark.parametrize(
    "said",
    [
        '{"failed": {"type": "E", "frames": 5}}',
        '{"failed": {"type": "E", "frames": [5]}}',
        '{"failed": {"type": ["E"]}}',
        '{"failed": {"type": "E", "message": null}}',
        '{"failed": {"type": "E", "oom": "yes"}}',
        '{"failed": {"type": "E", "phase": {}}}',
        '{"failed": {"type": "E", "phase": "somewhere"}}',
        '{"loaded": 1' + "0" * 400 + "}",
        '{"loaded": 1e999}',
        '{"loaded": NaN}',
        '{"loaded": -1}',
        '{"loaded": "1"}',
        '{"": 1}',
        "{}",
    ],
)
def test_what_no_candidate_says_is_a_protocol_error(ends: tuple[Peer, socket.socket], said: str) -> None:
    peer, theirs = ends
    theirs.send(said.encode())
    with pytest.raises(PeerFailed) as caught:
        peer.load()
    assert caught.value.report["type"] == "ProtocolError"


def test_a_message_that_nobody_waits_for_is_a_protocol_error(ends: tuple[Peer, socket.socket]) -> None:
    peer, theirs = ends
    theirs.send(b'{"": 1}')
    with pytest.raises(PeerFailed, match="ProtocolError"):
        peer.ready()


def test_a_long_failure_can_be_passed_on(ends: tuple[Peer, socket.socket]) -> None:
    peer, theirs = ends
    theirs.send(('{"failed": {"type": "E", "message": "' + "\u00e9" * 20_000 + '"}}').encode())
    with pytest.raises(PeerFailed) as caught:
        peer.load()
    assert caught.value.report["message"].startswith("\u00e9\u00e9")
    assert len(json.dumps(caught.value.report)) < wire.MESSAGE_BYTES // 2


def test_a_number_is_taken(ends: tuple[Peer, socket.socket]) -> None:
    peer, theirs = ends
    theirs.send(b'{"loaded": 2}')
    assert math.isclose(peer.load(), 2.0)
