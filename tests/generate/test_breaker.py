"""When a sweep is stopped because nothing will be answered."""

from __future__ import annotations

import pytest

from orchestrator.generate.attempts import Failure, FailureKind
from orchestrator.generate.breaker import Breaker

INVALID = Failure(FailureKind.INVALID, "bad field", 400)


def after(*failures: Failure) -> Breaker:
    breaker = Breaker()
    for failure in failures:
        breaker.failure(failure)
    return breaker


def test_the_fifth_equal_refusal_in_a_row_trips() -> None:
    assert after(*[INVALID] * 4).tripped is None
    breaker = after(*[INVALID] * 4)
    error = breaker.failure(INVALID)
    assert error is not None
    assert error is breaker.tripped
    assert error.failure is INVALID


@pytest.mark.parametrize(
    "other", [Failure(FailureKind.INVALID, "another field", 400), Failure(FailureKind.INVALID, "bad field", 413)]
)
def test_another_refusal_begins_a_row_of_its_own(other: Failure) -> None:
    assert after(*[INVALID] * 4, other, *[INVALID] * 4).tripped is None
    assert after(*[INVALID] * 4, *[other] * 5).tripped is not None


def test_a_reply_ends_the_row() -> None:
    breaker = after(*[INVALID] * 4)
    breaker.reply()
    assert [breaker.failure(INVALID) for _ in range(4)] == [None] * 4
    assert breaker.failure(INVALID) is not None


def test_what_may_pass_neither_counts_nor_ends_the_row() -> None:
    passing = Failure(FailureKind.OVERLOADED, "busy", 529)
    assert after(*[passing] * 50).tripped is None
    assert after(*[INVALID] * 4, passing, INVALID).tripped is not None


def test_what_concerns_the_account_trips_at_once_and_for_good() -> None:
    breaker = Breaker()
    error = breaker.failure(Failure(FailureKind.FATAL, "no credit", 402))
    assert error is not None
    assert "no credit" in str(error)
    breaker.reply()
    for later in (Failure(FailureKind.OVERLOADED, "busy", 529), Failure(FailureKind.FATAL, "no such model", 404)):
        assert breaker.failure(later) is error
