"""The bench of several cards, where a worker fails."""

from __future__ import annotations

import multiprocessing
import os
import time
from threading import BrokenBarrierError
from typing import Any

import pytest

from scripts.bench.gpu_parts import scaling


def answer(answers: Any, number: int) -> None:
    answers.put({"programs": number})


def test_a_worker_that_ends_without_an_answer_is_not_waited_for() -> None:
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()
    good, bad = context.Process(target=answer, args=(answers, 7)), context.Process(target=os._exit, args=(3,))
    for worker in (good, bad):
        worker.start()
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="ended with status 3"):
        scaling._answers_of([good, bad], answers)
    assert time.monotonic() - began < 30
    good.join()
    bad.join()


def test_every_answer_is_waited_for() -> None:
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()
    workers = [context.Process(target=answer, args=(answers, number)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    assert sorted(found["programs"] for found in scaling._answers_of(workers, answers)) == [1, 2]
    for worker in workers:
        worker.join()


def test_nobody_waits_for_a_worker_that_could_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(settings: object) -> None:
        raise ValueError("the card is lost")

    monkeypatch.setattr(scaling, "GpuExecutor", lost)
    barrier = multiprocessing.get_context("fork").Barrier(2)
    with pytest.raises(ValueError, match="the card is lost"):
        scaling._work("gpu", "", 1, 0.0, (None, barrier, None))
    with pytest.raises(BrokenBarrierError):
        barrier.wait(1)
