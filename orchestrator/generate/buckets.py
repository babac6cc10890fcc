"""What is left of an account's per-minute limits, followed from the driver's side. Pure arithmetic, no clock."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Bucket"]

_HISTORY_S: Final = 180.0
"""Charges older than this are forgotten: no reply's headers are that late and still of use."""

_MARGIN: Final = 0.005
"""Share of the limit that is left unused at first: what is on its way to the server and not in its headers yet."""
_MOST_MARGIN: Final = 0.08
"""A margin is a level that is kept, not a rate that is given up, so a large one costs nothing in the long run."""
_EAGERNESS: Final = 4.0
"""How much faster than the refill a bucket is emptied, in refills per whole bucket that is left. What is seen of
the level is up to a reply's time old; a steeper answer to it overshoots, and overshooting is answered by 429."""
_PLENTY: Final = 0.5
"""Share of the limit above which nothing need be spread."""


class Bucket:
    """One limit: a token bucket on the server, which refills all the time and is full at ``limit``.

    Until a header names the limit there is none. Then the level is what the newest header said, plus what has
    flowed in since, minus what was charged here since. ``at_end`` buckets (output tokens) are charged by the
    server as the reply is written, so what is in flight is set aside at its expected size on top.
    """

    def __init__(self, *, at_end: bool = False) -> None:
        self._at_end = at_end
        self.limit: float | None = None
        """Per minute."""
        self._read_at = float("-inf")
        self._level = 0.0
        self._level_at = 0.0
        self._charged = 0.0
        """All charges so far."""
        self._base = 0.0
        """Of these, what the newest header already knows of."""
        self._since: deque[tuple[float, float]] = deque()
        """Charges that it does not: when, and the sum up to and with them."""
        self._in_flight = 0.0
        self._margin = _MARGIN

    @property
    def rate(self) -> float:
        """Refill per second; infinite while no limit is known."""
        return float("inf") if self.limit is None else self.limit / 60.0

    @property
    def margin(self) -> float:
        """What is never planned for."""
        return 0.0 if self.limit is None else self._margin * self.limit

    def widen_margin(self) -> None:
        """The server refused what should have fitted: what is under way is more than was thought."""
        self._margin = min(2 * self._margin, _MOST_MARGIN)

    def launch(self, now: float, amount: float) -> None:
        """A request that will use about ``amount`` is sent now."""
        self._in_flight += amount
        if not self._at_end:
            self._charge(now, amount)

    def finish(self, now: float, expected: float, actual: float) -> None:
        """A request that was launched with ``expected`` ended and used ``actual`` (0 if it was refused)."""
        self._in_flight = max(0.0, self._in_flight - expected)
        if self._at_end:
            self._charge(now, actual)
        elif actual == 0.0:
            # Refused: the server took nothing. (What a reply used more or less than expected was known to the
            # server from its start, so it is in the headers.)
            self._charge(now, -expected)

    def read(
        self, at: float, now: float, limit: float, remaining: float, *, knows_until: float | None = None
    ) -> None:
        """A header that the server made at ``at``. Older ones than the newest are ignored.

        Args:
            at: the latest moment at which it can have been made.
            now: the present.
            limit: per minute.
            remaining: as it says.
            knows_until: the server surely knew of what was launched before this; by default ``at``. What is
                launched on a busy machine arrives later, and what has not arrived is not in the header.
        """
        if at <= self._read_at:
            return
        self.limit, self._read_at = limit, at
        self._forget_until(at if knows_until is None else min(at, knows_until))
        since = self._charged - self._base
        self._level = min(limit, remaining + self.rate * max(0.0, now - at) - since)
        self._level_at = now

    def level(self, now: float) -> float:
        """What could be used at once; negative when more is under way than there is."""
        if self.limit is None:
            return float("inf")
        return self._flowed(now) - (self._in_flight if self._at_end else 0.0)

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds until ``amount`` can be sent; 0 when it can be now.

        A request larger than the limit itself waits for a full bucket: whether it is possible is for the server
        to say.
        """
        if self.limit is None:
            return 0.0
        wanted = min(amount, self.limit - self.margin) + self.margin
        lacking = wanted - self.level(now)
        return max(0.0, lacking / self.rate)

    def gap_s(self, now: float, amount: float) -> float:
        """Seconds to leave before the next launch after one of ``amount``.

        A bucket that is nearly empty is used as fast as it refills, a fuller one faster, in proportion: so the
        launches settle at the limit instead of swinging between a crowd and a pause.
        """
        if self.limit is None:
            return 0.0
        share = self.level(now) / self.limit
        if share > _PLENTY:
            return 0.0
        return amount / (self.rate * (1.0 + _EAGERNESS * max(0.0, share)))

    def _flowed(self, now: float) -> float:
        """The level at ``now``, with what has flowed in since it was last computed. A full bucket stays full."""
        assert self.limit is not None
        return min(self.limit, self._level + self.rate * max(0.0, now - self._level_at))

    def _charge(self, now: float, amount: float) -> None:
        if self.limit is not None:
            self._level, self._level_at = min(self.limit, self._flowed(now) - amount), now
        self._charged += amount
        self._since.append((now, self._charged))
        if self._since[0][0] < now - _HISTORY_S:
            self._forget_until(now - _HISTORY_S)

    def _forget_until(self, moment: float) -> None:
        while self._since and self._since[0][0] <= moment:
            _, self._base = self._since.popleft()
