from __future__ import annotations

import pytest

from orchestrator.generate.buckets import Bucket


def known(*, at_end: bool = False) -> Bucket:
    bucket = Bucket(at_end=at_end)
    bucket.read(0.0, 0.0, 600.0, 600.0)
    return bucket


def test_without_a_header_there_is_no_limit() -> None:
    bucket = Bucket()
    bucket.launch(0.0, 1e9)
    assert bucket.wait_s(0.0, 1e9) == 0.0
    assert (bucket.rate, bucket.level(0.0), bucket.margin) == (float("inf"), float("inf"), 0.0)


def test_what_a_header_does_not_know_yet_is_subtracted() -> None:
    bucket = known()
    for at in (1.0, 2.0, 3.0):
        bucket.launch(at, 100.0)
    # Sent by the server after it had seen the first two.
    bucket.read(2.5, 3.5, 600.0, 420.0)
    assert bucket.level(3.5) == pytest.approx(330.0)
    assert bucket.level(4.5) == pytest.approx(340.0)


def test_an_older_header_changes_nothing() -> None:
    bucket = known()
    bucket.read(5.0, 5.0, 600.0, 300.0)
    bucket.read(4.0, 4.0, 600.0, 1.0)
    assert bucket.level(5.0) == 300.0


def test_the_level_never_exceeds_the_limit() -> None:
    assert known().level(1e6) == 600.0


def test_waiting_is_as_long_as_the_refill_takes() -> None:
    bucket = known()
    bucket.launch(0.1, 597.0)
    wait = bucket.wait_s(0.1, 10.0)
    assert wait > 0
    assert bucket.wait_s(0.1 + wait, 10.0) == pytest.approx(0.0, abs=1e-9)
    assert bucket.level(0.1 + wait) == pytest.approx(10.0 + bucket.margin)


def test_more_than_the_whole_limit_waits_for_a_full_bucket_and_then_goes() -> None:
    bucket = known()
    assert bucket.wait_s(0.0, 5000.0) == 0.0
    bucket.launch(0.0, 60.0)
    bucket.read(0.1, 0.1, 600.0, 540.0)
    assert bucket.wait_s(0.1, 5000.0) == pytest.approx(6.0)


def test_a_refused_request_took_nothing() -> None:
    bucket = known()
    bucket.launch(1.0, 100.0)
    bucket.finish(1.1, 100.0, 0.0)
    assert bucket.level(1.1) == 600.0


def test_what_a_reply_used_more_or_less_was_known_from_its_start() -> None:
    bucket = known()
    bucket.launch(1.0, 100.0)
    bucket.finish(1.0, 100.0, 20.0)
    assert bucket.level(1.0) == 500.0


def test_of_several_replies_only_those_still_being_written_are_set_aside() -> None:
    bucket = known(at_end=True)
    for expected in (200.0, 100.0):
        bucket.launch(1.0, expected)
    bucket.finish(1.0, 200.0, 50.0)
    assert bucket.level(1.0) == 600.0 - 50.0 - 100.0


def test_output_is_set_aside_while_it_is_written_and_charged_at_its_end() -> None:
    bucket = known(at_end=True)
    bucket.launch(1.0, 200.0)
    assert bucket.level(1.0) == 400.0
    bucket.read(2.0, 2.0, 600.0, 600.0)
    assert bucket.level(2.0) == 400.0, "the server has not charged it yet"
    bucket.finish(3.0, 200.0, 150.0)
    assert bucket.level(3.0) == 450.0
    bucket.read(3.5, 3.5, 600.0, 450.0)
    assert bucket.level(3.5) == 450.0


def test_a_bucket_that_was_full_for_long_holds_no_more_than_its_limit() -> None:
    bucket = known()
    bucket.launch(1000.0, 600.0)
    assert bucket.level(1000.0) == 0.0


def test_charges_are_forgotten_after_a_while_without_headers() -> None:
    bucket = Bucket()
    for second in range(10_000):
        bucket.launch(float(second), 1.0)
    assert len(bucket._since) < 200


def test_an_empty_bucket_is_used_at_its_rate_a_fuller_one_faster_and_a_full_one_at_once() -> None:
    gaps = []
    for remaining in (600.0, 300.0, 150.0, 0.0):
        bucket = Bucket()
        bucket.read(1.0, 1.0, 600.0, remaining)
        gaps.append(bucket.gap_s(1.0, 1.0))
    # 600 a minute are one in 0.1 s; a quarter of the limit left doubles that, half of it triples it.
    assert gaps == pytest.approx([0.0, 0.1 / 3, 0.05, 0.1])
    assert Bucket().gap_s(0.0, 1.0) == 0.0, "no limit is known"


def test_what_may_not_have_arrived_is_not_taken_for_known() -> None:
    bucket = known()
    bucket.launch(1.0, 100.0)
    bucket.launch(2.0, 50.0)
    bucket.read(2.5, 2.5, 600.0, 550.0, knows_until=1.5)
    assert bucket.level(2.5) == 500.0


def test_a_margin_widens_up_to_a_bound() -> None:
    bucket = known()
    assert bucket.margin == pytest.approx(3.0)
    bucket.widen_margin()
    assert bucket.margin == pytest.approx(6.0)
    for _ in range(10):
        bucket.widen_margin()
    assert bucket.margin == pytest.approx(48.0)
