"""How many requests may be in flight, and when the next may start: as fast as the account's limits allow.

One limiter serves one model of one account for the whole run. It lives in the driver, the only place that
dispatches, so that the sum over all actors and nodes respects the limits. Three things hold a request back:

- a **window** on requests in flight (slow start, then additive increase; decreased at most once per cooldown
  when the server says that it is too much);
- the account's **buckets** (requests, input and output tokens a minute), learned from reply headers: nothing is
  sent that does not fit, and launches are spaced by what is left, so that they settle at the limit;
- a **pause** that a 429 asks for with ``retry-after``. Where its headers show a bucket that ran dry, that is all:
  a smaller window would not fill it, and a window cut by every such answer falls to nothing on a busy machine,
  whose headers are late.

It belongs to one event loop and takes time from it, so a loop with another clock tests it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.generate.attempts import AttemptResult, FailureKind
from orchestrator.generate.buckets import Bucket

__all__ = ["Expected", "GenerationStopped", "InFlightCap", "Limiter", "Slot"]

_FIRST_WINDOW: Final = 8.0
_SMALLEST_WINDOW: Final = 1.0
_CREEP: Final = 1 / 32
"""Growth per reply once slow start is over is at least this: one more a round, as AIMD has it, would take minutes
to win back what a window of hundreds lost to one decrease."""
_AFTER_RATE_LIMIT: Final = 0.8
"""The window is multiplied by this after a 429 ..."""
_AFTER_OVERLOAD: Final = 0.9
"""... and by this after a 529 or a timeout: the provider is busy, which says nothing about our limit."""
_BUSY_SHARE: Final = 0.1
"""Share of recent answers that were 529 or timeouts from which on the window is decreased. Fewer are what a busy
provider gives to everybody; retries cope with them, and a window cut by each would end near one."""
_BUSY_WEIGHT: Final = 0.02
"""Of a new answer in that share: about the last fifty count."""
_COOLDOWN_S: Final = 2.0
"""At most one decrease in this time: replies to what was sent before the decrease still come in."""
_LONGEST_PAUSE_S: Final = 60.0
"""Ceiling on ``retry-after``: limits are per minute, so after a minute it is right to ask again."""
_DEFAULT_PAUSE_S: Final = 1.0
_TICK_S: Final = 0.001
_BURST: Final = 32
_BURST_GAP_S: Final = 0.01
"""At most a burst is launched at once, then a jittered gap of about this: a thousand requests that start in the
same millisecond end in the same one too, and meet the server's limits together."""
_CATCH_UP_S: Final = 0.02
"""Launches that a busy event loop delayed by less than this are made up for at once."""


class GenerationStopped(Exception):
    """The sweep is stopping: nothing new is sent."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a request is expected to use of the account's limits."""

    input_tokens: float
    output_tokens: float


@dataclass(slots=True)
class Slot:
    """Permission to have one request in flight."""

    expected: Expected
    launched_at: float
    beside: int
    """Requests in flight when it was launched, itself included."""
    open: bool = True


class InFlightCap:
    """Most requests in flight over all limiters of a run."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"at least one request must be allowed in flight, not {most}")
        self.most = most
        self.taken = 0
        self._pumps: list[Callable[[], None]] = []

    def attach(self, pump: Callable[[], None]) -> None:
        """Call ``pump`` whenever room is made."""
        self._pumps.append(pump)

    @property
    def full(self) -> bool:
        """Whether nothing more may be launched."""
        return self.taken >= self.most

    def free(self) -> None:
        """One request ended."""
        was_full = self.full
        self.taken -= 1
        if was_full:
            for pump in self._pumps:
                pump()


class Limiter:
    """Admits requests. ``acquire`` before each attempt, ``finish`` after it."""

    def __init__(
        self, cap: InFlightCap, *, rng: random.Random, most: int | None = None, first_window: float = _FIRST_WINDOW
    ) -> None:
        """
        Args:
            cap: shared by all limiters of the run.
            rng: source of jitter.
            most: cap on this limiter's own requests in flight (the slots of a local server).
            first_window: where slow start begins.
        """
        self._cap = cap
        self._rng = rng
        self._most = most
        self._window = first_window if most is None else float(min(first_window, most))
        self._threshold = float("inf")
        self._in_flight = 0
        self._waiting: list[tuple[int, bool, int, _Waiter]] = []
        self._numbers = itertools.count()
        self._paused_until = float("-inf")
        self._cooled_at = float("-inf")
        self._widened_at = float("-inf")
        self._busy = 0.0
        self._gap_until = float("-inf")
        self._full_at = float("-inf")
        """When the window last held somebody back."""
        self._burst = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._stopped = False
        self._spread = False
        self.buckets: dict[str, Bucket] = {
            "requests": Bucket(),
            "input-tokens": Bucket(),
            "output-tokens": Bucket(at_end=True),
        }
        cap.attach(self._pump)

    @property
    def window(self) -> float:
        """The present cap on requests in flight."""
        return self._window

    @property
    def in_flight(self) -> int:
        """Requests admitted and not finished."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Requests that wait to be admitted."""
        return sum(not entry[-1].admitted.done() for entry in self._waiting)

    @property
    def limits(self) -> Mapping[str, float]:
        """Limits per minute as the server told them, by header family."""
        return {name: bucket.limit for name, bucket in self.buckets.items() if bucket.limit is not None}

    async def acquire(self, expected: Expected, priority: int, *, again: bool = False) -> Slot:
        """Wait for permission to send one request.

        Higher ``priority`` goes first; among equals a retry (``again``) does, since it holds a reservation, and
        then who came first.

        Raises:
            GenerationStopped: the sweep is stopping.
        """
        if self._stopped:
            raise GenerationStopped("the sweep is stopping")
        waiter = _Waiter(expected, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, (-priority, not again, next(self._numbers), waiter))
        self._pump()
        try:
            return await waiter.admitted
        except asyncio.CancelledError:
            if waiter.admitted.done() and not waiter.admitted.cancelled() and not waiter.admitted.exception():
                # Admitted and cancelled in the same turn of the loop: nothing was sent.
                self.give_back(waiter.admitted.result())
            raise

    def give_back(self, slot: Slot) -> None:
        """The request of this slot was not sent after all."""
        if slot.open:
            self._end(slot, 0.0, 0.0, requests=0.0)
            self._pump()

    def finish(self, slot: Slot, result: AttemptResult) -> None:
        """The attempt of this slot ended so."""
        if not slot.open:
            return
        now = _now()
        kind = None if result.failure is None else result.failure.kind
        # Growing is right only if the window held others back while this one was under way: else its size was
        # not put to the test.
        held_by_window = self._full_at >= slot.launched_at
        if result.reply is not None:
            usage = result.reply.usage
            # Reads from the cache are free of the input limit on current models.
            self._end(slot, usage.input_tokens + usage.cache_write_tokens, usage.output_tokens, requests=1.0)
        elif result.failure is not None and result.failure.may_have_charged:
            self._end(slot, slot.expected.input_tokens, slot.expected.output_tokens, requests=1.0)
        else:
            self._end(slot, 0.0, 0.0, requests=0.0)
        self._read(slot, result, now)
        if result.reply is not None and held_by_window:
            self._grow()
        elif kind is FailureKind.RATE_LIMITED and result.failure is not None:
            self._refused(slot, result)
            self._pause(result)
        busy = kind in (FailureKind.OVERLOADED, FailureKind.TIMEOUT)
        if busy or result.reply is not None:
            self._busy += _BUSY_WEIGHT * (busy - self._busy)
        if busy and self._busy > _BUSY_SHARE:
            self._slow_down(slot, _AFTER_OVERLOAD)
        self._pump()

    def stop(self, reason: Exception | None = None) -> None:
        """Admit nothing more; everyone who waits gets ``reason`` (by default :class:`GenerationStopped`)."""
        self._stopped = True
        for *_, waiter in self._waiting:
            if not waiter.admitted.done():
                waiter.admitted.set_exception(reason or GenerationStopped("the sweep is stopping"))
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --------------------------------------------------------------------------------------------------------

    def _end(self, slot: Slot, input_tokens: float, output_tokens: float, *, requests: float) -> None:
        slot.open = False
        now = _now()
        self._in_flight -= 1
        self.buckets["requests"].finish(now, 1.0, requests)
        self.buckets["input-tokens"].finish(now, slot.expected.input_tokens, input_tokens)
        self.buckets["output-tokens"].finish(now, slot.expected.output_tokens, output_tokens)
        self._cap.free()

    def _read(self, slot: Slot, result: AttemptResult, now: float) -> None:
        at = max(slot.launched_at, now - result.windows_age_s)
        # What the sender did not see of the time since the launch was spent on the way there and back, by busy
        # machines mostly. So much earlier than the header may be what it knows of, on each way.
        lag = max(0.0, now - slot.launched_at - result.latency_s)
        for window in result.windows:
            if window.name in self.buckets:
                self.buckets[window.name].read(at, now, window.limit, window.remaining, knows_until=at - 2 * lag)

    def _grow(self) -> None:
        self._window += 1.0 if self._window < self._threshold else max(1.0 / self._window, _CREEP)
        most = self._cap.most if self._most is None else min(self._most, self._cap.most)
        self._window = min(self._window, float(most))

    def _refused(self, slot: Slot, result: AttemptResult) -> None:
        """A 429. If the headers explain it, a bucket ran dry: that is about the rate, and not about the window."""
        now = _now()
        needed = {"requests": 1.0, "input-tokens": slot.expected.input_tokens}
        needed["output-tokens"] = slot.expected.output_tokens
        dry = [
            self.buckets[window.name]
            for window in result.windows
            if window.name in self.buckets
            and window.remaining <= max(needed[window.name], self.buckets[window.name].margin)
        ]
        if not dry:
            self._slow_down(slot, _AFTER_RATE_LIMIT)
        elif now >= self._widened_at:
            # Those that were under way together are refused together: that is one lesson.
            self._widened_at = now + _COOLDOWN_S
            for bucket in dry:
                bucket.widen_margin()

    def _slow_down(self, slot: Slot, factor: float) -> None:
        now = _now()
        if now < self._cooled_at:
            return
        self._cooled_at = now + _COOLDOWN_S
        # Where fewer were in flight than the window allows, that number is what was too much: now or at the launch,
        # whichever is larger, since a pause may have emptied the window in between.
        crowd = max(slot.beside, self._in_flight + 1.0)
        self._window = max(_SMALLEST_WINDOW, min(self._window, crowd) * factor)
        self._threshold = self._window

    def _pause(self, result: AttemptResult) -> None:
        assert result.failure is not None
        asked = result.failure.retry_after_s
        if asked is None:
            exhausted = [window.reset_s for window in result.windows if window.remaining < 1.0]
            asked = min(exhausted, default=_DEFAULT_PAUSE_S)
        # A 429 although every bucket had something left: the server enforces its minute in smaller pieces, so
        # from now on requests are spread evenly instead of sent as soon as the minute's bucket allows.
        if all(bucket.level(_now()) > 2 * bucket.margin for bucket in self.buckets.values()):
            self._spread = True
        pause = min(asked, _LONGEST_PAUSE_S) * self._rng.uniform(1.0, 1.1)
        self._paused_until = max(self._paused_until, _now() + pause)

    def _pump(self) -> None:
        """Admit whoever may start now; set a timer for the next who only waits for time."""
        while self._waiting:
            waiter = self._waiting[0][-1]
            if waiter.admitted.done():
                heapq.heappop(self._waiting)
                continue
            if self._in_flight >= int(self._window):
                self._full_at = _now()
                return
            if self._cap.full:
                return
            wait = self._wait_s(waiter.expected)
            if wait > 0:
                self._wake_in(wait)
                return
            heapq.heappop(self._waiting)
            self._admit(waiter)

    def _wait_s(self, expected: Expected) -> float:
        now = _now()
        buckets = self.buckets
        return max(
            self._paused_until - now,
            self._gap_until - now,
            buckets["requests"].wait_s(now, 1.0),
            buckets["input-tokens"].wait_s(now, expected.input_tokens),
            buckets["output-tokens"].wait_s(now, expected.output_tokens),
        )

    def _admit(self, waiter: _Waiter) -> None:
        now = _now()
        expected = waiter.expected
        self._in_flight += 1
        self._cap.taken += 1
        self.buckets["requests"].launch(now, 1.0)
        self.buckets["input-tokens"].launch(now, expected.input_tokens)
        self.buckets["output-tokens"].launch(now, expected.output_tokens)
        gap_s = self._gap_s(now, expected)
        if gap_s > 0.0:
            self._gap_until = max(self._gap_until, now - _CATCH_UP_S) + gap_s * self._rng.uniform(0.8, 1.2)
        else:
            self._burst += 1
            if self._burst >= _BURST:
                self._burst = 0
                self._gap_until = now + _BURST_GAP_S * self._rng.uniform(0.5, 1.5)
        waiter.admitted.set_result(Slot(expected, now, self._in_flight))

    def _gap_s(self, now: float, expected: Expected) -> float:
        """Seconds to leave after a launch, so that launches settle at the limits."""
        buckets = self.buckets
        if self._spread and buckets["requests"].limit is not None:
            return 0.9 / buckets["requests"].rate
        return max(
            buckets["requests"].gap_s(now, 1.0),
            buckets["input-tokens"].gap_s(now, expected.input_tokens),
            buckets["output-tokens"].gap_s(now, expected.output_tokens),
        )

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        # Never less than a tick: a wait that rounds to nothing would spin.
        at = loop.time() + max(seconds, _TICK_S)
        if self._timer is not None and not self._timer.cancelled() and self._timer_at <= at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        self._pump()


@dataclass(slots=True)
class _Waiter:
    expected: Expected
    admitted: asyncio.Future[Slot]


def _now() -> float:
    return asyncio.get_running_loop().time()
