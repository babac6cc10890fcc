"""Figures as text."""

from __future__ import annotations

import pytest

from orchestrator.core.statistics import wilson
from orchestrator.core.summary import Rate, summarise
from orchestrator.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (0.0, "$0"),
        (1234.5, "$1,234"),
        (1.234, "$1.23"),
        (0.00571, "$0.0057"),
        (0.0000071, "$0.0000071"),
        (-2.5, "$-2.50"),
    ],
)
def test_dollars(value: float | None, text: str) -> None:
    assert words.dollars(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (3e-6, "3 us"),
        (0.00426, "4.26 ms"),
        (0.71, "710 ms"),
        (1.5, "1.5 s"),
        (600, "10.0 min"),
        (9000, "2.5 h"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "n/a"), (12, "12 B"), (59.9e6, "59.9 MB"), (2.1e9, "2.1 GB"), (1500, "1.5 kB")]
)
def test_size(value: float | None, text: str) -> None:
    assert words.size(value) == text


def test_interval() -> None:
    assert words.interval(Rate(1.0, *wilson(164, 164), problems=164, method="wilson")) == "97.7-100"
    assert words.interval(None) == "n/a"
    # One of 10,000 is not none, and 9,999 are not all.
    assert words.interval(Rate(1e-4, *wilson(1, 10_000), problems=10_000, method="wilson")) == "0.002-0.1"
    assert words.interval(Rate(0.9999, *wilson(9999, 10_000), problems=10_000, method="wilson")) == "99.9-99.998"
    assert words.percent(0.9999) == "99.99%"


def test_rates_over_fewer_problems_and_unequal_samples_are_told() -> None:
    verdicts = {"a": ["passed"] * 5, "b": ["error"] * 4 + ["infrastructure"], "c": ["passed"] + ["not_run"] * 4}
    rows = [
        {"cell": "c", "system": "generate_only", "problem": p, "sample": i, "verdict": v}
        for p, group in verdicts.items()
        for i, v in enumerate(group)
    ]
    notes = words.notes(summarise(rows, []).cells)
    assert "generate_only: pass@5 is over the 1 of 3 problems with 5 graded samples." in notes
    assert any("not 6/10" in note for note in notes)
    whole = [row | {"verdict": "passed"} for row in rows]
    assert words.notes(summarise(whole, []).cells) == []


def test_what_pays_back_within_a_call_takes_a_call() -> None:
    assert [words.calls(value) for value in (0.3, 1.0, 1.2, 5000.0)] == [
        "1 call",
        "1 call",
        "2 calls",
        "5,000 calls",
    ]


def test_clean_shows_what_would_act() -> None:
    assert words.clean("a\x1b[31mb\x07\x7f\r") == "a␛[31mb␇␡␍"
    assert words.clean("x\u202ey\u200bz\u2028") == "x\\u202ey\\u200bz\\u2028"
    assert words.clean("tab\tline\nüñ 漢字") == "tab\tline\nüñ 漢字"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (0.0, "0 uJ"),
        (2.4142, "2.41 J"),
        (0.03624, "36.2 mJ"),
        (4.5e-6, "4.5 uJ"),
        (12345.6, "12,346 J"),
        (999.0, "999 J"),
    ],
)
def test_joules(value: float | None, text: str) -> None:
    assert words.joules(value) == text
