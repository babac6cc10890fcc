"""Stops a sweep when the API refuses everything, before a hundred thousand requests have been refused."""

from __future__ import annotations

from typing import Final

from orchestrator.generate.attempts import Failure, FailureKind

__all__ = ["Breaker", "FatalApiError"]

_IDENTICAL_REFUSALS: Final = 5
"""As many equal refusals in a row, with no reply between, mean that every request is refused."""


class FatalApiError(Exception):
    """No request will be answered: the key, the account, the model or the form of every request is refused."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.line())


class Breaker:
    """Trips at once on what concerns the account, and on a run of identical refusals of single requests."""

    def __init__(self) -> None:
        self.tripped: FatalApiError | None = None
        self._last: tuple[int | None, str] | None = None
        self._run = 0

    def reply(self) -> None:
        """A reply came: the refusals before it were about their requests."""
        self._run, self._last = 0, None

    def failure(self, failure: Failure) -> FatalApiError | None:
        """Note a failure; the error to stop the sweep with, if it trips now or has before."""
        if self.tripped is not None:
            return self.tripped
        if failure.kind is FailureKind.FATAL:
            self.tripped = FatalApiError(failure)
        elif failure.kind is FailureKind.INVALID:
            what = (failure.status, failure.message)
            self._run = self._run + 1 if what == self._last else 1
            self._last = what
            if self._run >= _IDENTICAL_REFUSALS:
                self.tripped = FatalApiError(failure)
        return self.tripped
