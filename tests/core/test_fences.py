"""Fenced blocks as they are read out of text."""

from __future__ import annotations

import time
import warnings

import pytest

from orchestrator.core import fences
from orchestrator.core.fences import Block, clean, outside, parse, read_blocks


def texts(reply: str) -> list[tuple[str, str]]:
    return [(block.label, block.text) for block in read_blocks(reply)]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("no fence", []),
        ("```\na\n```", [("", "a\n")]),
        ("```Python\na\n```\n~~~sh\nb\n~~~", [("python", "a\n"), ("sh", "b\n")]),
        ("````\n```\na\n```\n````", [("", "```\na\n```\n")]),
        ("````markdown\n```py\na\n```\n````", [("py", "a\n")]),
        ("  ```py\n  a\n    b\n  ```", [("py", "a\n  b\n")]),
        ("text ```inline``` text", []),
        ("```py\na", [("py", "a\n")]),
        ("```py\n(\n```py\nb = 1\n```", [("py", "(\n"), ("py", "b = 1\n")]),
        ("```{.python .numberLines}\na\n```", [("python", "a\n")]),
        ("```py\n```", [("py", "\n")]),
        # A session: its prompts go, and what it answered.
        ("```\n>>> def f():\n...     return 7\n>>> f()\nthe answer\n```", [("", "def f():\n    return 7\nf()\n")]),
        ("```\n>>> f()\n7\n```", [("", ">>> f()\n7\n")]),
    ],
)
def test_read_blocks(reply: str, expected: list[tuple[str, str]]) -> None:
    assert texts(reply) == expected


def test_a_block_knows_whether_it_was_closed() -> None:
    assert [block.closed for block in read_blocks("```\na\n```\n```\nb")] == [True, False]
    assert [block.closed for block in read_blocks("```py\n(\n```py\nb = 1\n```")] == [False, True]


def test_a_fence_within_the_code_leaves_longer_readings() -> None:
    reply = 'x\n```py\ns = """\n```\n"""\n```\n'
    first = next(read_blocks(reply))
    assert first == Block("py", 's = """\n', True, ('s = """\n```\n"""\n',))


def test_markdown_is_opened_only_so_deep() -> None:
    assert texts("````md\n" * 3 + "```py\na\n```\n" + "````\n" * 3)[0] == ("py", "a\n")
    assert texts("````md\n" * 2000)


@pytest.mark.parametrize("line", ["```" + " " * 50_000 + "`", "~" * 50_000 + "`", "~" * 9_000 + " " * 9_000 + "`"])
def test_a_long_line_that_is_no_fence_costs_little(line: str) -> None:
    began = time.process_time()
    assert texts(line) == []
    assert outside(line) == line
    # With one look at every place in it, this would be ten seconds and more.
    assert time.process_time() - began < 2


@pytest.mark.parametrize("block", ["```py\nx = (\n", "```py\n", "~~~py\n(\n```py\n"])
def test_fences_that_never_close_are_weighed_only_so_often(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    def counted(source: str) -> object:
        parsed.append(len(source))
        return parse(source)

    monkeypatch.setattr(fences, "parse", counted)
    found = texts(block * 1000 + "```python\ny = 1\n```\nprose")
    # Every one of them is found all the same, and so is what stands behind them.
    assert len(found) == 1 + 1000 * block.count("py")
    assert found[-1] == ("python", "y = 1\n")
    assert len(parsed) <= 40


def test_blocks_behind_many_others_end_where_they_are_closed() -> None:
    assert texts("```py\na\n```\n" * 100) == [("py", "a\n")] * 100
    assert [block.closed for block in read_blocks("```py\n(\n```\n" * 99 + "```\nb")] == [True] * 99 + [False]


def test_outside_leaves_the_prose() -> None:
    assert outside("a\n```py\nb\n```\nc\n~~~\nd") == "a\nc"


def test_clean() -> None:
    assert clean("\ufeffa\r\nb\rc") == "a\nb\nc"
    assert clean("<think>\nno\n</think>\n\nyes") == "yes"
    assert clean("<think>never done") == ""
    assert clean("a <think> b") == "a <think> b"


def test_what_python_only_warns_of_compiles_and_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse('pattern = "\\d"\nif 1 is 1: pass\n') is not None


def test_parse_takes_only_what_compiles() -> None:
    assert parse("x = 1\n") is not None
    for source in ("x =", "return 1", "\x00", "nonlocal x", "(" * 10_000):
        assert parse(source) is None
