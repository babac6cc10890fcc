"""How many seconds of a server each request used, when several share it."""

from __future__ import annotations

__all__ = ["BusyMeter"]


class BusyMeter:
    """Shares the time in which a server is busy among the requests it works on.

    At every moment each of the ``n`` requests in flight is charged 1/n: the shares of all requests add up to the
    time in which at least one was in flight, so the card's hour is paid once.
    """

    def __init__(self) -> None:
        self._in_flight = 0
        self._per_request = 0.0
        """Integral of dt/n so far."""
        self._at = 0.0

    def start(self, now: float) -> float:
        """A request is sent; keep the mark for :meth:`stop`."""
        self._advance(now)
        self._in_flight += 1
        return self._per_request

    def stop(self, now: float, mark: float) -> float:
        """It ended; the seconds of the server that are its share."""
        self._advance(now)
        self._in_flight -= 1
        return self._per_request - mark

    def _advance(self, now: float) -> None:
        if self._in_flight:
            self._per_request += (now - self._at) / self._in_flight
        self._at = now
