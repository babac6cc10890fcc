from __future__ import annotations

import pytest

from orchestrator.config.errors import did_you_mean, show


@pytest.mark.parametrize(
    ("wrong", "known", "clause"),
    [
        ("opsu", ["sonnet", "opus", "haiku"], "; did you mean opus?"),
        ("effort", ["model.effort", "samples"], "; did you mean model.effort?"),
        ("efort", ["model.effort", "samples"], "; did you mean model.effort?"),
        ("zzz", ["b", "a"], "; there is a, b"),
        ("zzz", [str(number) for number in range(100)], ""),
    ],
)
def test_the_nearest_name_is_offered(wrong: str, known: list[str], clause: str) -> None:
    assert did_you_mean(wrong, known) == clause


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (-1.0, "-1"),
        (0.25, "0.25"),
        (["a", None], "[a,null]"),
        ("x" * 90, "x" * 77 + "..."),
    ],
)
def test_values_are_shown_as_they_are_typed(value: object, text: str) -> None:
    assert show(value) == text
