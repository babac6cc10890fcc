"""One executor of a host after the other, and nobody waits for one that is gone or hangs."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import subprocess
import sys

import pytest

from orchestrator.execute.gpu import turns
from orchestrator.execute.gpu.turns import Turn


@pytest.fixture
def name() -> str:
    return "test-" + secrets.token_hex(8)


def test_one_after_the_other(name: str) -> None:
    first, second = Turn(name), Turn(name)
    assert first.take()
    assert first.take(), "who holds it may go on"
    assert not second.take()
    first.leave()
    assert second.take()
    assert second.fds
    assert not first.take()
    second.leave()


def test_a_turn_ends_with_its_process(name: str) -> None:
    code = "import sys\nfrom orchestrator.execute.gpu.turns import Turn\nt = Turn(sys.argv[1])\n"
    code += "print(t.take(), flush=True)\nsys.stdin.read()\n"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    turn = Turn(name)
    try:
        assert holder.stdout.readline() == b"True\n"
        assert not turn.take()
    finally:
        holder.kill()
        holder.communicate()
    assert turn.take()
    turn.leave()


def test_a_turn_lasts_until_all_have_closed_it(name: str) -> None:
    first, second = Turn(name), Turn(name)
    assert first.take()
    handed = os.dup(first.fds[0])
    first.leave()
    assert not second.take()
    os.close(handed)
    assert second.take()
    second.leave()


def test_nobody_waits_for_ever(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(turns.time, "monotonic", lambda: now)
    holder, other = Turn(name), Turn(name, 2.0)
    assert holder.take()
    assert not other.take()
    now += 1.9
    assert not other.take()
    now += 0.2
    assert other.take()
    assert not other.fds
    assert not other.take(), "the next wait begins anew"
    patient = Turn(name)
    assert not patient.take()
    now += 1e6
    assert not patient.take(), "who does not say how long waits as long as it takes"
    holder.leave()


def test_without_such_sockets_nobody_waits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(errno.EINVAL, "no abstract sockets")

    monkeypatch.setattr(turns.socket, "socket", Refused)
    assert Turn(name).take()
