"""The public examples of a problem: what its own prompt says that a call gives.

Two forms are read. Interactive sessions (``>>> f(2)`` and the answer under it) are taken first; only where a
docstring has none, lines of the form ``f(2) == 4``, with ``=>``, ``==>``, ``->``, an arrow, ``=``, ``returns`` or
``should return`` between call and literal. Nothing is guessed: what is not a call of the entry point with plain
arguments and a literal answer is left out.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator

from orchestrator.core.problems import Example
from tasks.suite import helpers_of

__all__ = ["public_examples"]

_MEANS = re.compile(
    r"\s*(?:\#\s*)?(?:={1,3}>|={1,2}|-+>|➞|→|⇒|should\s+return|should\s+be|returns?)\s*", re.IGNORECASE
)
_WORDS = {"true": "True", "false": "False", "none": "None", "null": "None"}
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


def public_examples(prompt: str, entry_point: str) -> tuple[Example, ...]:
    """The examples of ``prompt``, in order and without repetition; empty where it has none."""
    docstring = _docstring(prompt, entry_point)
    found = list(_sessions(docstring, entry_point)) or list(_lines(docstring, entry_point))
    return tuple(dict.fromkeys(found))


def _docstring(prompt: str, entry_point: str) -> str:
    """The entry point's docstring; the whole prompt where there is none to be found."""
    try:
        tree = ast.parse(helpers_of(prompt))
    except (SyntaxError, ValueError, RecursionError):
        return prompt
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry_point:
            return ast.get_docstring(node, clean=True) or prompt
    return prompt


def _sessions(text: str, entry_point: str) -> Iterator[Example]:
    """Examples in the form of an interactive session."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        start = lines[at].lstrip()
        at += 1
        if not start.startswith(">>>"):
            continue
        source = [start[3:].strip()]
        while at < len(lines) and lines[at].lstrip().startswith("..."):
            source.append(lines[at].lstrip()[3:])
            at += 1
        answer = []
        while at < len(lines) and lines[at].strip() and not lines[at].lstrip().startswith(">>>"):
            answer.append(lines[at].strip())
            at += 1
        example = _session_example("\n".join(source), "\n".join(answer), entry_point)
        if example is not None:
            yield example


def _session_example(source: str, answer: str, entry_point: str) -> Example | None:
    call = _expression(source)
    if call is None:
        return None
    expected = _literal(answer)
    if not answer and isinstance(call, ast.Compare) and [type(op) for op in call.ops] == [ast.Eq]:
        # ``>>> f(2) == 4`` with nothing under it says the answer itself.
        expected = _literal(ast.unparse(call.comparators[0]))
        call = call.left
    if expected is None or not _is_call(call, entry_point):
        return None
    return Example(ast.unparse(call), expected)


def _lines(text: str, entry_point: str) -> Iterator[Example]:
    """Examples in the form ``f(2) == 4``, wherever they stand."""
    for match in re.finditer(rf"(?<![\w.]){re.escape(entry_point)}\s*\(", text):
        end = _closing(text, match.end() - 1)
        if end is None:
            continue
        call = _expression(text[match.start() : end])
        means = _MEANS.match(text, end)
        if call is None or means is None or not _is_call(call, entry_point):
            continue
        rest = text[means.end() :].split("\n", 1)[0]
        expected = _leading_literal(rest)
        if expected is not None:
            yield Example(ast.unparse(call), expected)


def _closing(text: str, at: int) -> int | None:
    """The index just after the bracket that closes the one at ``at``, past strings and over line ends."""
    wanted: list[str] = []
    quote = ""
    for i in range(at, len(text)):
        char = text[i]
        if quote:
            if char == quote and text[i - 1] != "\\":
                quote = ""
        elif char in "'\"":
            quote = char
        elif char in _CLOSERS:
            wanted.append(_CLOSERS[char])
        elif wanted and char == wanted[-1]:
            wanted.pop()
            if not wanted:
                return i + 1
        elif char in ")]}":
            return None
    return None


def _leading_literal(rest: str) -> str | None:
    """The literal that ``rest`` begins with, if nothing but a remark follows it.

    A chain such as ``19 - 5 - 6 = 8`` ends in its answer.
    """
    rest = rest.strip()
    for end in range(len(rest), 0, -1):
        after = rest[end:].lstrip()
        if after and after[0] not in "#(.,;":
            continue
        found = _literal(rest[:end])
        if found is not None and not (after[:1] == "." and after[1:2].isalnum()):
            return found
    if " = " in rest:
        return _literal(rest.rsplit(" = ", 1)[1])
    return None


def _literal(text: str) -> str | None:
    """Canonical source of a literal, or None. ``true`` and the like are read as Python's."""
    text = text.strip()
    text = _WORDS.get(text.rstrip(".").lower(), text)
    if text.endswith(".") and text[:-1].rstrip()[-1:].isalnum():
        text = text[:-1]
    try:
        return repr(ast.literal_eval(text)) if text else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _expression(source: str) -> ast.expr | None:
    try:
        return ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None


def _is_call(node: ast.expr, entry_point: str) -> bool:
    """Whether the expression calls the entry point and needs nothing else but builtins."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return entry_point in names and all(name == entry_point or hasattr(builtins, name) for name in names)
