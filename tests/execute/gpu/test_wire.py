"""Messages and flag pages between processes that do not trust each other."""

from __future__ import annotations

import mmap
import os

import pytest

from orchestrator.execute.gpu import flags, wire


def test_messages_carry_descriptors() -> None:
    left, right = wire.pair()
    read, write = os.pipe()
    wire.send(left, {"a": [1, 2.5, None]}, [write])
    message, fds = wire.receive(right, 2)
    assert message == {"a": [1, 2.5, None]}
    assert not os.get_inheritable(fds[0])
    os.write(fds[0], b"x")
    assert os.read(read, 1) == b"x"
    wire.close_all([read, write, *fds])
    left.close()
    with pytest.raises(EOFError):
        wire.receive(right)
    right.close()


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[1]", b"3", b"{" * 5000, b'{"a": '])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    left, right = wire.pair()
    left.send(data)
    with pytest.raises(wire.WireError):
        wire.receive(right)
    left.close()
    right.close()


def test_unasked_descriptors_do_not_come_through() -> None:
    left, right = wire.pair()
    before = len(os.listdir("/proc/self/fd"))
    null = os.open("/dev/null", os.O_RDONLY)
    wire.send(left, {}, [null, null, null])
    os.close(null)
    with pytest.raises(wire.WireError):
        wire.receive(right, 0)
    assert len(os.listdir("/proc/self/fd")) == before
    left.close()
    right.close()


def test_too_large_a_message_is_not_sent() -> None:
    left, right = wire.pair()
    with pytest.raises(wire.WireError):
        wire.send(left, {"a": "x" * wire.MESSAGE_BYTES})
    left.close()
    right.close()


def test_orders_can_be_read_but_not_written_by_the_other_side() -> None:
    fd, mine = flags.new_page(read_only=True)
    theirs = flags.map_page(fd, write=False)
    mine[flags.GO] = 7
    assert theirs[flags.GO] == 7
    with pytest.raises(TypeError):
        theirs[flags.GO] = 8
    with pytest.raises(PermissionError):
        mmap.mmap(fd, 4096)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def test_answers_go_both_ways() -> None:
    fd, mine = flags.new_page(read_only=False)
    theirs = flags.map_page(fd, write=True)
    theirs[flags.DONE] = -3
    assert mine[flags.DONE] == -3
    os.close(fd)
