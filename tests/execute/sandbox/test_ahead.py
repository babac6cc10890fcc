"""Which calls may be sent before the answers to those before them are in."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.execute.sandbox.ahead import Ahead
from orchestrator.execute.sandbox.protocol import dump, encode

TEXT = "a text that nobody guesses"


def ahead(*exchanges: tuple[Any, Any]) -> int:
    """How many calls of one argument may be sent ahead, given each one's answer."""
    found = Ahead()
    for argument, answer in exchanges:
        found.called([[encode(argument)], encode({})])
        found.answered(dump(["r", encode(answer)]))
    return found.calls


@pytest.mark.parametrize("answer", [TEXT, [TEXT], {"k": (TEXT, 1)}, 123456, 0.1234, [1, 2, 3], 1 << 70, b"bytes"])
def test_a_call_that_holds_an_answer_is_not_sent_ahead(answer: Any) -> None:
    assert ahead((1, 1), (2, answer), (answer, 3), (4, 4)) == 2
    assert ahead((1, 1), (2, answer), ([9, answer], 3), (4, 4)) == 2


def test_nor_is_one_that_holds_part_of_an_answer() -> None:
    assert ahead((1, [TEXT, 2]), (TEXT, 3)) == 1
    assert ahead((1, iter([TEXT])), (TEXT, 3)) == 1


@pytest.mark.parametrize("answer", [None, True, 7, "a", [], {}, ()])
def test_what_comes_up_by_chance_is_no_answer(answer: Any) -> None:
    assert ahead((1, answer), (answer, 1), (2, 2)) == 3


def test_what_was_given_before_is_no_news() -> None:
    assert ahead((TEXT, TEXT), (TEXT, 1), ([TEXT], 2)) == 3


def test_arguments_that_were_changed_are_answers() -> None:
    found = Ahead()
    found.called([[[3, 1, 2]], {"d": []}])
    found.answered(dump(["r", None, [[1, 2, 3]]]))
    found.called([[[1, 2, 3]], {"d": []}])
    assert found.calls == 1
