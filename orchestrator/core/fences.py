"""The fenced blocks of a chat reply, as models really write them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

__all__ = ["Block", "clean", "outside", "parse", "read_blocks"]

# Nothing is given back once it is taken (``*+``): a long line that is no fence costs one look, not its square.
_FENCE = re.compile(r"^(?P<indent>[ \t]*+)(?P<mark>`{3,}+|~{3,}+)[ \t]*+(?P<info>[^`]*+)$")

_MOST_NESTED = 8
"""Fences of Markdown within each other that are opened: nobody writes more, and each is a level of calls."""

_MOST_WEIGHED = 32
"""Blocks of one text whose possible ends are weighed, each at the cost of parsing what is left of the text. Those
after them, which no honest reply has, end at the first fence that could end them."""
_MOST_ENDS = 8


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its label, its text, and the longer texts it has if an inner fence did not end it."""

    label: str
    text: str
    closed: bool
    longer: tuple[str, ...] = ()


def parse(source: str) -> ast.Module | None:
    """The tree of a program, or None where Python refuses to compile it for any reason.

    It is compiled, not only parsed, since the parser alone lets ``return`` stand outside a function.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            compile(tree, "<reply>", "exec", dont_inherit=True)
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def clean(text: str) -> str:
    """Unify line ends, drop a byte-order mark and the leading thoughts of local reasoning models."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    return re.sub(r"\A\s*<think>.*?(?:</think>\n*|\Z)", "", text, flags=re.DOTALL)


def read_blocks(text: str, depth: int = 0) -> Iterator[Block]:
    """Yield the fenced blocks of ``text`` in order; an unclosed one runs to the end.

    ``depth`` counts the fences of Markdown around ``text``, whose own blocks are read in their place.
    """
    lines = text.split("\n")
    at = count = 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if opening is None:
            at += 1
            continue
        count += 1
        if count > _MOST_WEIGHED:
            lines_on = range(at + 1, len(lines))
            end = next((i for i in lines_on if _ends_unweighed(lines[i], opening["mark"])), len(lines))
            closed = end < len(lines) and _closes(lines[end], opening["mark"])
            body = _strip_indent(lines[at + 1 : end], opening["indent"])
            yield Block(_label(opening), _undo_prompts(body), closed)
            at = end + closed
            continue
        closing = (i for i in range(at + 1, len(lines)) if _closes(lines[i], opening["mark"]))
        ends = list(islice(closing, _MOST_ENDS))
        end = ends[0] if ends else len(lines)
        bodies = [_strip_indent(lines[at + 1 : e], opening["indent"]) for e in (ends or [end])]
        label = _label(opening)
        inner = _inner_fence(bodies[0])
        if label in {"markdown", "md"} and depth < _MOST_NESTED:
            yield from read_blocks(bodies[0], depth + 1)
        elif inner is not None and all(parse(body) is None for body in bodies):
            # The block was never closed, and the next one begins inside it.
            head = "\n".join(bodies[0].split("\n")[:inner]) + "\n"
            yield Block(label, _undo_prompts(head), closed=False)
            at += 1 + inner
            continue
        else:
            # A closing fence may belong to a docstring inside the code; then the block goes on.
            yield Block(label, _undo_prompts(bodies[0]), bool(ends), tuple(bodies[1:]))
        at = end + 1


def _label(opening: re.Match[str]) -> str:
    """The language that a fence names."""
    return re.split(r"[\s:,]", opening["info"].strip())[0].strip("{}.").lower()


def _ends_unweighed(line: str, mark: str) -> bool:
    """Whether a line closes a block, or opens a labelled one."""
    opening = _FENCE.match(line)
    return opening is not None and (bool(opening["info"].strip()) or _closes(line, mark))


def _inner_fence(text: str) -> int | None:
    """The first line that opens a labelled fence, if any."""
    for i, line in enumerate(text.split("\n")):
        opening = _FENCE.match(line)
        if opening is not None and opening["info"].strip():
            return i
    return None


def _closes(line: str, mark: str) -> bool:
    line = line.strip()
    return len(line) >= len(mark) and set(line) == {mark[0]}


def _strip_indent(lines: Sequence[str], indent: str) -> str:
    """Take the fence's own indentation off its lines (a block inside a list item)."""
    return "\n".join(line.removeprefix(indent) for line in lines) + "\n"


def _undo_prompts(text: str) -> str:
    """Turn an interactive session that defines things (``>>> def f``) back into source."""
    lines = text.split("\n")
    if not any(line.startswith((">>> def ", ">>> async def ", ">>> class ")) for line in lines):
        return text
    return "\n".join(line[4:] for line in lines if line.startswith((">>> ", "... "))) + "\n"


def outside(text: str) -> str:
    """The text with its fenced blocks taken out."""
    kept: list[str] = []
    mark = ""
    for line in text.split("\n"):
        opening = _FENCE.match(line)
        if mark:
            if _closes(line, mark):
                mark = ""
        elif opening:
            mark = opening["mark"]
        else:
            kept.append(line)
    return "\n".join(kept)
