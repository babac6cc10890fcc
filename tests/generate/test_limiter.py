from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import pytest

from orchestrator.core.generation import GenerationRequest, Message, Usage
from orchestrator.generate.attempts import Attempt, AttemptReply, AttemptResult, Failure, FailureKind, Window
from orchestrator.generate.limiter import Expected, GenerationStopped, InFlightCap, Limiter, Slot
from tests.generate.simulated import SimulatedSender
from tests.generate.virtual import run

SMALL = Expected(100, 50)
REQUEST = GenerationRequest("anthropic", "m", "", (Message("user", "x" * 300),), 1000)


def limiter(cap: int = 1000, **kwargs: float) -> Limiter:
    return Limiter(InFlightCap(cap), rng=random.Random(1), **kwargs)  # type: ignore[arg-type]


def replied(*windows: Window, usage: Usage | None = None) -> AttemptResult:
    return AttemptResult(AttemptReply("", "end_turn", usage or Usage(100, 50), "m", "r"), None, windows)


def failed(kind: FailureKind, *windows: Window, retry_after_s: float | None = None) -> AttemptResult:
    return AttemptResult(None, Failure(kind, "x", retry_after_s=retry_after_s), windows)


def now() -> float:
    return asyncio.get_running_loop().time()


async def drive(
    gate: Limiter, sender: SimulatedSender, seconds: float, workers: int, expected: Expected = SMALL
) -> None:
    """Keep ``workers`` requests wanted for so long."""
    end = now() + seconds

    async def work() -> None:
        while now() < end:
            slot = await gate.acquire(expected, 0)
            gate.finish(slot, await sender.send(Attempt(REQUEST, 60)))

    await asyncio.gather(*(work() for _ in range(workers)))


def spent(low: int, high: int, out_low: int, out_high: int) -> tuple[Callable[[random.Random], Usage], Expected]:
    """Usage that varies, and what has been learned to expect of it."""
    mean = Expected((low + high) / 2, (out_low + out_high) / 2)
    return lambda rng: Usage(rng.randint(low, high), rng.randint(out_low, out_high)), mean


@pytest.mark.parametrize("lag_s", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("output_at_start", [False, True])
@pytest.mark.parametrize(
    ("usage", "binding"),
    [
        (spent(100, 400, 20, 80), "requests"),
        (spent(600, 1000, 20, 80), "input-tokens"),
        (spent(100, 400, 100, 400), "output-tokens"),
    ],
)
def test_the_binding_limit_is_used_and_hardly_ever_hit(
    usage: tuple[Callable[[random.Random], Usage], Expected], binding: str, output_at_start: bool, lag_s: float
) -> None:
    """Also where busy machines hold requests and replies up, which makes every header late by an unknown time."""
    limits = {"requests": 1000.0, "input-tokens": 5e5, "output-tokens": 1e5}

    async def main() -> tuple[float, float]:
        sender = SimulatedSender(limits=limits, usage=usage[0], output_at_start=output_at_start, lag_s=lag_s)
        gate = limiter(300)
        ramp, window = 120.0, 120.0
        start = now()
        await drive(gate, sender, ramp + window, 300, usage[1])
        used = 0.0
        for at, tokens in sender.charged:
            if start + ramp <= at < start + ramp + window:
                used += {"requests": 1, "input-tokens": tokens.input_tokens, "output-tokens": tokens.output_tokens}[
                    binding
                ]
        return used / (limits[binding] * window / 60), sender.refused / len(sender.attempts)

    share, rejected = run(main())
    assert share > 0.95
    assert rejected < 0.01


def test_a_wrong_idea_of_the_size_of_requests_costs_no_throughput() -> None:
    async def main() -> tuple[float, float]:
        sender = SimulatedSender(limits={"input-tokens": 5e5}, usage=lambda rng: Usage(rng.randint(600, 1000), 50))
        gate = limiter(200)
        start = now()
        await drive(gate, sender, 210, 200, Expected(100, 50))
        used = sum(tokens.input_tokens for at, tokens in sender.charged if at >= start + 90)
        return used / 1e6, sender.refused / len(sender.attempts)

    share, rejected = run(main())
    assert share > 0.95
    assert rejected < 0.03


def test_a_refusal_that_the_headers_explain_leaves_the_window_alone() -> None:
    """A bucket ran dry: fewer requests at once would not fill it any faster."""

    async def main() -> tuple[float, float, float]:
        gate = limiter(100, first_window=50)
        slots = [await gate.acquire(SMALL, 0) for _ in range(50)]
        before = gate.buckets["requests"].margin
        for slot in slots:
            gate.finish(slot, failed(FailureKind.RATE_LIMITED, Window("requests", 1000, 2, 9.0), retry_after_s=0.2))
        return gate.window, before, gate.buckets["requests"].margin

    window, before, after = run(main())
    assert window == 50.0
    assert before == 0.0, "no limit was known"
    assert after == pytest.approx(0.01 * 1000), "doubled once: they were refused together"


def test_a_decrease_goes_by_what_was_in_flight_and_not_by_what_a_pause_left() -> None:
    async def main() -> float:
        gate = limiter(100, first_window=50)
        slots = [await gate.acquire(SMALL, 0) for _ in range(50)]
        for slot in slots[:-1]:
            gate.finish(slot, replied())
        before = gate.window
        gate.finish(slots[-1], failed(FailureKind.RATE_LIMITED, retry_after_s=0.2))
        return gate.window / before

    # Fifty were beside it at its launch, and the window was never put to the test by more.
    assert run(main()) == pytest.approx(0.8)


@pytest.mark.parametrize(("share", "low", "high"), [(0.04, 150, 200), (0.6, 1, 20)])
def test_a_provider_that_is_busy_now_and_then_is_not_one_that_is_overloaded(
    share: float, low: float, high: float
) -> None:
    async def main() -> float:
        rng = random.Random(3)
        overloaded = Failure(FailureKind.OVERLOADED, "Overloaded", 529)
        sender = SimulatedSender(script=lambda attempt, number: overloaded if rng.random() < share else None)
        gate = limiter(200)
        await drive(gate, sender, 120, 200)
        return gate.window

    assert low <= run(main()) <= high


def test_a_limit_enforced_in_smaller_pieces_is_still_used() -> None:
    """A server whose bucket holds two seconds' worth while its headers speak of a minute."""

    async def main() -> tuple[float, float]:
        sender = SimulatedSender(limits={"requests": 600.0}, capacity_s=2.0, latency_s=(0.5, 1.5))
        gate = limiter(200)
        start = now()
        await drive(gate, sender, 180, 200)
        done = sum(start + 60 <= at < start + 180 for at, _ in sender.charged)
        return done / 1200, sender.refused / len(sender.attempts)

    share, rejected = run(main())
    assert share > 0.9
    assert rejected < 0.05


def test_slow_start_doubles_and_then_creeps() -> None:
    async def main() -> tuple[list[float], float]:
        sender = SimulatedSender(latency_s=(1.0, 1.0))
        gate = limiter(64)
        seen = []
        task = asyncio.create_task(drive(gate, sender, 12, 200))
        for _ in range(4):
            await asyncio.sleep(1.05)
            seen.append(gate.window)
        slot = await gate.acquire(SMALL, 10)
        gate.finish(slot, failed(FailureKind.RATE_LIMITED, retry_after_s=0.1))
        after = gate.window
        await asyncio.sleep(3.0)
        grown = gate.window - after
        await task
        return [*seen, after], grown

    windows, grown = run(main())
    assert windows[:3] == [16.0, 32.0, 64.0]
    assert windows[3] == 64.0, "never over the cap"
    assert 45 < windows[4] < 55
    assert 0 < grown < 6


def test_one_burst_of_refusals_is_one_decrease() -> None:
    async def main() -> tuple[float, float]:
        gate = limiter(100, first_window=50)
        slots = [await gate.acquire(SMALL, 0) for _ in range(50)]
        for slot in slots[:20]:
            gate.finish(slot, failed(FailureKind.RATE_LIMITED, retry_after_s=0.2))
        first = gate.window
        await asyncio.sleep(5)
        gate.finish(slots[20], failed(FailureKind.RATE_LIMITED, retry_after_s=0.2))
        return first, gate.window

    first, second = run(main())
    assert first == pytest.approx(40.0)
    assert second < first


def test_server_errors_and_drops_leave_the_window_alone() -> None:
    async def main() -> float:
        gate = limiter(100, first_window=50)
        for kind in (FailureKind.SERVER_ERROR, FailureKind.DROPPED, FailureKind.CONNECTION, FailureKind.INVALID):
            gate.finish(await gate.acquire(SMALL, 0), failed(kind))
        return gate.window

    assert run(main()) == 50.0


@pytest.mark.parametrize(("asked", "low", "high"), [(5.0, 5.0, 5.6), (900.0, 60.0, 66.1)])
def test_retry_after_is_obeyed_up_to_a_ceiling(asked: float, low: float, high: float) -> None:
    async def main() -> float:
        gate = limiter()
        gate.finish(await gate.acquire(SMALL, 0), failed(FailureKind.RATE_LIMITED, retry_after_s=asked))
        start = now()
        await gate.acquire(SMALL, 0)
        return now() - start

    assert low <= run(main()) <= high


def test_an_overload_does_not_hold_everybody_back() -> None:
    async def main() -> float:
        gate = limiter()
        gate.finish(await gate.acquire(SMALL, 0), failed(FailureKind.OVERLOADED, retry_after_s=30.0))
        start = now()
        await gate.acquire(SMALL, 0)
        return now() - start

    assert run(main()) < 0.1


def test_a_refusal_without_a_time_waits_for_the_exhausted_window() -> None:
    async def main() -> float:
        gate = limiter()
        empty = Window("requests", 60, 0, 9.0)
        gate.finish(await gate.acquire(SMALL, 0), failed(FailureKind.RATE_LIMITED, empty))
        start = now()
        await gate.acquire(SMALL, 0)
        return now() - start

    assert 9.0 <= run(main()) < 10.0


def test_later_turns_first_then_retries_then_order() -> None:
    async def main() -> list[str]:
        gate = limiter(1, first_window=1)
        held = await gate.acquire(SMALL, 0)
        order: list[str] = []

        async def want(name: str, priority: int, again: bool) -> None:
            slot = await gate.acquire(SMALL, priority, again=again)
            order.append(name)
            await asyncio.sleep(0.01)
            gate.finish(slot, replied())

        tasks = []
        for name, priority, again in [("a", 0, False), ("b", 0, False), ("c", 2, False), ("d", 0, True)]:
            tasks.append(asyncio.create_task(want(name, priority, again)))
            await asyncio.sleep(0)
        gate.finish(held, replied())
        await asyncio.gather(*tasks)
        return order

    assert run(main()) == ["c", "d", "a", "b"]


def test_a_cancelled_wait_gives_its_place_to_the_next() -> None:
    async def main() -> tuple[int, int]:
        gate = limiter(1, first_window=1)
        held = await gate.acquire(SMALL, 0)
        waiting = [asyncio.create_task(gate.acquire(SMALL, 0)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.finish(held, replied())
        # Admitted by now, and cancelled before it could know.
        waiting[1].cancel()
        await asyncio.wait(waiting[:2])
        slot = await waiting[2]
        assert isinstance(slot, Slot)
        return gate.in_flight, gate.waiting

    assert run(main()) == (1, 0)


def test_stopping_frees_those_who_wait() -> None:
    async def main() -> None:
        gate = limiter(1, first_window=1)
        await gate.acquire(SMALL, 0)
        waiting = asyncio.create_task(gate.acquire(SMALL, 0))
        await asyncio.sleep(0)
        gate.stop()
        with pytest.raises(GenerationStopped):
            await waiting
        with pytest.raises(GenerationStopped):
            await gate.acquire(SMALL, 0)

    run(main())


def test_two_limiters_share_one_cap() -> None:
    async def main() -> int:
        cap = InFlightCap(3)
        one, two = (Limiter(cap, rng=random.Random(n)) for n in range(2))
        slots = [await one.acquire(SMALL, 0), await two.acquire(SMALL, 0), await one.acquire(SMALL, 0)]
        waiting = asyncio.create_task(two.acquire(SMALL, 0))
        await asyncio.sleep(1)
        assert not waiting.done()
        one.finish(slots[0], replied())
        await waiting
        return cap.taken

    assert run(main()) == 3


def test_a_server_with_few_slots_is_never_given_more() -> None:
    async def main() -> int:
        gate = limiter(100, most=2)
        sender = SimulatedSender(latency_s=(0.5, 1.0))
        await drive(gate, sender, 30, 20)
        return sender.most_in_flight

    assert run(main()) == 2


def test_launches_are_spread_after_a_pause() -> None:
    async def main() -> list[float]:
        gate = limiter(500, first_window=400)
        gate.finish(await gate.acquire(SMALL, 0), failed(FailureKind.RATE_LIMITED, retry_after_s=1.0))
        gate._window = 400.0  # the decrease is not what is looked at here
        times: list[float] = []

        async def want() -> None:
            await gate.acquire(SMALL, 0)
            times.append(now())

        await asyncio.gather(*(want() for _ in range(200)))
        return times

    times = run(main())
    most_at_once = max(len(list(group)) for _, group in itertools.groupby(times))
    assert most_at_once <= 32
    assert 0.02 < times[-1] - times[0] < 0.5
