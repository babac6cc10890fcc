"""What asks a run to stop, sent to this very process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from orchestrator.core.streams import Output
from orchestrator.driver.signals import Signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """Handlers as they were, and as a shell leaves them before: a test runner may be run with ``nohup``."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def heard(*numbers: signal.Signals) -> list[str]:
    """What a run is told of these."""
    told: list[str] = []
    with Signals(lambda: told.append("stop"), lambda: told.append("alone"), Output()) as signals:
        # As Ray's core does while the run starts.
        signal.signal(signal.SIGTERM, lambda number, frame: told.append("Ray"))
        signals.hold()
        for number in numbers:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.05)
    return told


@pytest.mark.parametrize(
    ("number", "told"), [(signal.SIGINT, "stop"), (signal.SIGTERM, "stop"), (signal.SIGHUP, "alone")]
)
def test_each_signal_is_heard_each_time_also_after_ray_took_it(number: signal.Signals, told: str) -> None:
    assert asyncio.run(heard(number, number)) == [told, told]


def test_a_hang_up_that_nohup_had_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert asyncio.run(heard(signal.SIGHUP, signal.SIGINT)) == ["stop"]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_afterwards_signals_do_what_they_did() -> None:
    asyncio.run(heard())
    assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
