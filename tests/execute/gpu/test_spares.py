"""Spares of two executors on one host: contexts are begun in turn, and a program is never kept waiting for long."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.execute.gpu.family import Family
from orchestrator.execute.gpu.spares import ArmingFailed, Spares
from orchestrator.execute.gpu.turns import Turn


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    made = Family(False, {"CUDA_VISIBLE_DEVICES": ""}, str(tmp_path_factory.mktemp("spares")))
    yield made
    made.close()


@pytest.fixture
def name() -> str:
    return "test-" + secrets.token_hex(8)


def spares_of(family: Family, name: str, count: int = 2) -> Spares:
    bounds: dict[str, Any] = {
        "read": family.readable,
        "nodes": [],
        "hidden": family.hidden,
        "file_bytes": 1 << 30,
        "open_files": 4096,
        "data_bytes": None,
        "scratch_bytes": 1 << 30,
    }
    return Spares(family, count, {"device": "cpu"}, bounds, Turn(name, 2.0))


def end(family: Family, spares: Spares) -> None:
    while spares.armed:
        family.end(spares.take(), "the test is over")


def test_all_are_armed_and_the_turn_is_over(family: Family, name: str) -> None:
    spares = spares_of(family, name)
    spares.fill()
    assert (spares.armed, spares.arming) == (2, 0)
    other = Turn(name)
    assert other.take()
    other.leave()
    end(family, spares)


def is_there(family: Family, spares: Spares) -> None:
    """Wait until all that are forked have said that they are there."""
    spares.restock()
    spares.settle()


def test_none_arms_out_of_turn(family: Family, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spares, other = spares_of(family, name), Turn(name)
    assert other.take()
    is_there(family, spares)
    spares.restock()
    assert (spares.armed, spares.arming) == (0, 0)
    # Who waits for its turn is at rest: a program that is about to be timed does not wait for it.
    with monkeypatch.context() as patched:
        patched.setattr(family, "turn", lambda _: pytest.fail("it waited"))
        spares.settle()
    other.leave()
    spares.restock()
    assert spares.arming == 2
    spares.settle()
    assert spares.armed == 2
    end(family, spares)


def test_a_turn_is_over_when_the_context_is_there_whatever_the_executor_does(family: Family, name: str) -> None:
    spares, other = spares_of(family, name, 1), Turn(name)
    is_there(family, spares)
    (child,) = spares._forked
    os.kill(child.pid, signal.SIGSTOP)
    spares.restock()
    assert spares.arming == 1
    assert not other.take()
    os.kill(child.pid, signal.SIGCONT)
    limit = time.monotonic() + 30
    # The executor is at something else: it looks after nothing meanwhile.
    while not other.take():
        assert time.monotonic() < limit
        time.sleep(0.01)
    other.leave()
    spares.settle()
    end(family, spares)


def test_who_needs_one_now_does_not_wait_for_ever(family: Family, name: str) -> None:
    spares, other = spares_of(family, name, 1), Turn(name)
    assert other.take()
    child = spares.take()
    assert child.ending is None
    assert other.fds
    other.leave()
    family.end(child, "the test is over")


def test_one_that_dies_before_it_is_armed_is_an_error(family: Family, name: str) -> None:
    spares, other = spares_of(family, name, 1), Turn(name)
    assert other.take()
    is_there(family, spares)
    (child,) = spares._forked
    child.kill("the test wants it")
    with pytest.raises(ArmingFailed, match="ended without a word"):
        spares.take()
    other.leave()
    assert (spares.armed, spares.arming) == (0, 0)


def test_one_that_could_not_arm_beside_a_program_is_tried_again(family: Family, name: str) -> None:
    spares, other = spares_of(family, name, 1), Turn(name)
    spares.patience_s = 20.0
    assert other.take()
    is_there(family, spares)
    (first,) = spares._forked
    first.kill("as if the card were full")
    while first.ending is None:
        family.turn(0.05)
    # Nobody who judges a program hears of it.
    spares.look()
    other.leave()
    child = spares.take()
    assert child.number != first.number
    family.end(child, "the test is over")
