"""Shares as text."""

from __future__ import annotations

import pytest

from orchestrator.core.percent import percent


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
