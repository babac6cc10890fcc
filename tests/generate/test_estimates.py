"""What a request is expected to use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.generation import GenerationRequest, Message, Usage
from orchestrator.generate.estimates import Estimator

MESSAGES = (Message("user", "x" * 60), Message("user", "y" * 40))
REQUEST = GenerationRequest("anthropic", "m", "é" * 50, MESSAGES, 1000)
"""200 bytes: the system prompt's letters take two each."""


def test_before_any_reply_it_goes_by_bytes_and_half_the_cap() -> None:
    expected = Estimator().expected(REQUEST)
    assert (expected.input_tokens, expected.output_tokens) == (pytest.approx(60.0), 500.0)


def test_the_first_reply_replaces_the_guess_of_its_length() -> None:
    estimator = Estimator()
    estimator.learn(REQUEST, Usage(60, 120))
    assert estimator.expected(REQUEST).output_tokens == 120.0
    # Nothing can be longer than its own cap.
    assert estimator.expected(replace(REQUEST, max_tokens=100)).output_tokens == 100.0


def test_what_is_read_from_the_cache_counts_against_no_limit() -> None:
    estimator = Estimator()
    for _ in range(400):
        estimator.learn(REQUEST, Usage(input_tokens=30, cache_write_tokens=10, cache_read_tokens=900))
    assert estimator.expected(REQUEST).input_tokens == pytest.approx(40.0)


def test_one_odd_reply_moves_the_means_by_a_twentieth() -> None:
    estimator = Estimator()
    estimator.learn(REQUEST, Usage(60, 100))
    estimator.learn(REQUEST, Usage(160, 300))
    expected = estimator.expected(REQUEST)
    assert (expected.input_tokens, expected.output_tokens) == (pytest.approx(65.0), pytest.approx(110.0))


def test_a_request_without_text_teaches_nothing_of_bytes() -> None:
    estimator = Estimator()
    estimator.learn(replace(REQUEST, system="", messages=()), Usage(5, 20))
    expected = estimator.expected(REQUEST)
    assert (expected.input_tokens, expected.output_tokens) == (pytest.approx(60.0), 20.0)
