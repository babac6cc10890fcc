"""Figures as text."""

from __future__ import annotations

import pytest

from orchestrator.core.figures import in_bytes, in_seconds, p_text, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.8414, "84.1%"),
        (0.0, "0.0%"),
        (1.0, "100.0%"),
        (0.9999, "99.99%"),
        (0.00004, "0.004%"),
        (1 - 1e-12, "100.0%"),
        (1.234, "123.4%"),
    ],
)
def test_what_is_not_all_or_nothing_does_not_read_so(share: float, text: str) -> None:
    assert percent(share) == text


def test_fewer_digits() -> None:
    assert (percent(0.875, 0), percent(0.998, 0), percent(1.0, 0)) == ("88%", "99.8%", "100%")


def test_a_p_value_near_the_limit_says_on_which_side_it_lies() -> None:
    assert (p_text(0.0496), p_text(0.0504)) == ("p = 0.04960", "p = 0.05040")
    assert (p_text(0.031), p_text(0.05), p_text(0.0001)) == ("p = 0.031", "p = 0.050", "p < 0.001")


def test_units() -> None:
    assert (in_seconds(0.7), in_seconds(0.0144)) == ("0.7 s", "14.4 ms")
    assert (in_bytes(2.1e9), in_bytes(7e5)) == ("2.1 GB", "0.7 MB")
