"""Token buckets and the headers that tell of them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from orchestrator.generate.rehearsal.errors import ApiError
from orchestrator.generate.rehearsal.settings import ServerLimits

__all__ = ["Buckets", "TokenBucket"]

_ROUNDED_FROM = 10_000
"""Token limits from here on are reported to the nearest thousand, as the API does."""


class TokenBucket:
    """Fills continuously up to ``bucket_s`` seconds of its limit."""

    def __init__(self, per_minute: int, bucket_s: float, now: float) -> None:
        self.per_minute = per_minute
        self._rate = per_minute / 60.0
        self._capacity = max(1.0, self._rate * bucket_s)
        self._level = self._capacity
        self._at = now

    def level(self, now: float) -> float:
        """What it holds at ``now``; below zero after something larger than the bucket was taken."""
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def wait(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` fits; what is larger than the bucket fits when the bucket is full."""
        return max(0.0, (min(amount, self._capacity) - self.level(now)) / self._rate)

    def take(self, amount: float, now: float) -> None:
        """Take ``amount``, whether or not it fits."""
        self._level = self.level(now) - amount

    def full_in(self, now: float) -> float:
        """Seconds until it is full."""
        return max(0.0, (self._capacity - self.level(now)) / self._rate)


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    """As in the headers, e.g. ``input-tokens``."""
    words: str
    """As in the message of a 429."""
    bucket: TokenBucket


class Buckets:
    """All limits of the server.

    A request is admitted when its own size fits into each bucket, its output included: the server knows what it
    will answer. So what is reported as remaining is what may still be started.
    """

    def __init__(self, limits: ServerLimits, now: float) -> None:
        self._requests = self._make(limits.requests_per_minute, limits, now)
        self._input = self._make(limits.input_tokens_per_minute, limits, now)
        self._output = self._make(limits.output_tokens_per_minute, limits, now)
        self._named = [
            _Named(name, words, bucket)
            for name, words, bucket in (
                ("requests", "requests", self._requests),
                ("input-tokens", "input tokens", self._input),
                ("output-tokens", "output tokens", self._output),
            )
            if bucket is not None
        ]

    @staticmethod
    def _make(per_minute: int | None, limits: ServerLimits, now: float) -> TokenBucket | None:
        return None if per_minute is None else TokenBucket(per_minute, limits.bucket_s, now)

    def admit(self, input_tokens: int, output_tokens: int, now: float) -> None:
        """Take one request from the buckets.

        Raises:
            ApiError: 429 with ``retry-after`` in whole seconds; nothing was taken.
        """
        amounts = {"requests": 1, "input-tokens": input_tokens, "output-tokens": output_tokens}
        for named in self._named:
            wait = named.bucket.wait(amounts[named.name], now)
            if wait > 0:
                raise ApiError(
                    429,
                    "This request would exceed the rate limit for your organization of "
                    f"{named.bucket.per_minute:,} {named.words} per minute.",
                    f"limit_{named.name}",
                    headers={"retry-after": str(max(1, math.ceil(wait))), **self.headers(now)},
                )
        for named in self._named:
            named.bucket.take(amounts[named.name], now)

    def headers(self, now: float) -> dict[str, str]:
        """The ``anthropic-ratelimit-*`` headers; none about what has no limit."""
        wall = time.time()
        headers: dict[str, str] = {}
        for named in self._named:
            remaining = max(0, int(named.bucket.level(now)))
            if named.name != "requests" and named.bucket.per_minute >= _ROUNDED_FROM:
                remaining = round(remaining, -3)
            prefix = f"anthropic-ratelimit-{named.name}"
            headers[f"{prefix}-limit"] = str(named.bucket.per_minute)
            headers[f"{prefix}-remaining"] = str(remaining)
            # Rounded up: who waits until then finds the bucket full.
            headers[f"{prefix}-reset"] = _rfc3339(math.ceil(wall + named.bucket.full_in(now)))
        return headers


def _rfc3339(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
