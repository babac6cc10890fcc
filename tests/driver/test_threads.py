"""Work in threads, and those who wait for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from orchestrator.driver.threads import to_its_end


@pytest.mark.parametrize("fails", [False, True])
def test_who_is_cancelled_goes_when_the_work_is_done(fails: bool) -> None:
    async def check() -> None:
        begun, may_end = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        told: list[str] = []

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            may_end.wait(20)
            told.append("done")
            if fails:
                raise OSError("it does not stand")

        def cancelled() -> None:
            told.append("waiting")
            may_end.set()

        waiting = asyncio.create_task(to_its_end(work, on_cancel=cancelled))
        await begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert told == ["waiting", "done"]

    asyncio.run(check())


def test_who_is_cancelled_again_goes_at_once() -> None:
    async def check() -> None:
        may_end, waits = threading.Event(), asyncio.Event()
        waiting = asyncio.create_task(to_its_end(lambda: may_end.wait(20), on_cancel=waits.set))
        await asyncio.sleep(0)
        waiting.cancel()
        await waits.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not may_end.is_set()
        may_end.set()

    asyncio.run(check())


def test_its_answer_and_its_error_are_handed_on() -> None:
    assert asyncio.run(to_its_end(lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(to_its_end(lambda: 1 // 0))
