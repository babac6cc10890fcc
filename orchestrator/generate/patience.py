"""Calls that cost nothing, tried again while a provider cannot be reached or asks for time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from orchestrator.generate.attempts import Failure, FailureKind
from orchestrator.generate.batch_records import CallResult

__all__ = ["BatchUnreachable", "Patience", "counts", "passes"]

T = TypeVar("T")

_PASSING: Final = frozenset(
    {
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.SERVER_ERROR,
        FailureKind.TIMEOUT,
        FailureKind.CONNECTION,
        FailureKind.DROPPED,
        FailureKind.ACTOR_DIED,
    }
)
_LONGEST_S: Final = 600.0
"""However long a server asks to be left alone, it is asked again after this."""


class BatchUnreachable(Exception):
    """The provider does not say what became of a batch."""


def passes(failure: Failure) -> bool:
    """Whether the same call may be answered later."""
    return failure.kind in _PASSING


def counts(failure: Failure) -> bool:
    """Whether a failure counts against the retries of its call."""
    return failure.kind is not FailureKind.RATE_LIMITED


class Patience:
    """How often and after what pauses the calls about one batch are made again."""

    def __init__(self, retries: int, pause_s: float, rng: random.Random) -> None:
        """Prepare.

        Args:
            retries: of one call. Refusals by a rate limit do not count: an account may have so many requests in
                open batches, and room for the next comes when one of these ends, after up to a day.
            pause_s: the longest pause that the server did not ask for.
            rng: spreads the pauses.
        """
        self._retries = retries
        self._pause_s = pause_s
        self._rng = rng

    def ends(self, failure: Failure, failures: int) -> bool:
        """Whether this failure, after ``failures`` others that count, is the last."""
        return not passes(failure) or (counts(failure) and failures >= self._retries)

    async def pause(self, failure: Failure, tried: int) -> None:
        """Wait before a call that was made ``tried`` times before this failure is made again."""
        pause = min(self._pause_s, 2.0 ** min(tried, 30)) * self._rng.uniform(0.5, 1.0)
        await asyncio.sleep(max(pause, min(failure.retry_after_s or 0.0, _LONGEST_S)))

    async def surely(self, call: Callable[[], Awaitable[CallResult[T]]]) -> T:
        """The call's value.

        Raises:
            BatchUnreachable: the provider cannot be reached for too long, or it refuses.
        """
        tried = failures = 0
        while True:
            result = await call()
            if result.value is not None:
                return result.value
            failure = result.failure
            if failure is None or self.ends(failure, failures):
                raise BatchUnreachable("nothing came back" if failure is None else failure.line())
            await self.pause(failure, tried)
            tried += 1
            failures += counts(failure)
