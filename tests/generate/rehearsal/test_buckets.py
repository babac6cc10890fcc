from __future__ import annotations

import pytest

from orchestrator.generate.rehearsal.buckets import Buckets, TokenBucket
from orchestrator.generate.rehearsal.errors import ApiError
from orchestrator.generate.rehearsal.settings import ServerLimits


def test_a_bucket_fills_up_to_its_capacity_and_no_further() -> None:
    bucket = TokenBucket(per_minute=60, bucket_s=10.0, now=100.0)
    assert bucket.level(100.0) == 10
    bucket.take(10, 100.0)
    assert bucket.wait(1, 100.0) == pytest.approx(1.0)
    assert bucket.level(104.0) == pytest.approx(4.0)
    assert bucket.wait(4, 104.0) == 0
    assert bucket.level(500.0) == 10
    assert bucket.full_in(500.0) == 0


def test_what_is_larger_than_the_bucket_waits_until_it_is_full_and_leaves_a_debt() -> None:
    bucket = TokenBucket(per_minute=60, bucket_s=10.0, now=0.0)
    assert bucket.wait(25, 0.0) == 0
    bucket.take(25, 0.0)
    assert bucket.level(0.0) == -15
    assert bucket.wait(25, 0.0) == pytest.approx(25.0)


def test_over_any_time_no_more_is_admitted_than_the_limit_and_one_bucket() -> None:
    buckets = Buckets(ServerLimits(requests_per_minute=600, bucket_s=6.0), now=0.0)
    admitted = 0
    for step in range(12_000):
        try:
            buckets.admit(1, 1, now=step * 0.01)
        except ApiError:
            continue
        admitted += 1
    assert 1259 <= admitted <= 1261


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (ServerLimits(requests_per_minute=2), "requests"),
        (ServerLimits(input_tokens_per_minute=200), "input-tokens"),
        (ServerLimits(output_tokens_per_minute=100), "output-tokens"),
    ],
)
def test_each_limit_refuses_by_its_name_and_takes_nothing(limits: ServerLimits, name: str) -> None:
    buckets = Buckets(limits, now=0.0)
    buckets.admit(100, 50, now=0.0)
    buckets.admit(100, 50, now=0.0)
    for _ in range(3):
        with pytest.raises(ApiError) as refused:
            buckets.admit(100, 50, now=0.0)
        assert refused.value.status == 429
        assert refused.value.reason == f"limit_{name}"
        assert refused.value.headers["retry-after"] == "30"
        assert refused.value.headers[f"anthropic-ratelimit-{name}-remaining"] == "0"
    buckets.admit(100, 50, now=30.0)


def test_headers_tell_of_the_limits_that_there_are() -> None:
    buckets = Buckets(ServerLimits(requests_per_minute=4000, output_tokens_per_minute=400_000), now=0.0)
    buckets.admit(10_000, 1_600, now=0.0)
    headers = buckets.headers(0.0)
    assert headers["anthropic-ratelimit-requests-limit"] == "4000"
    assert headers["anthropic-ratelimit-requests-remaining"] == "3999"
    # To the nearest thousand, as at the API.
    assert headers["anthropic-ratelimit-output-tokens-remaining"] == "398000"
    assert not any("input" in name for name in headers)
    assert Buckets(ServerLimits(), now=0.0).headers(0.0) == {}
