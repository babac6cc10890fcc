"""Reading and splicing Python source by the positions that :mod:`ast` gives, so that comments and layout stay."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Entry", "find_entry", "splice"]

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry function of a program."""

    source: str
    node: _Function
    offsets: tuple[int, ...]
    """Byte offset of the start of each line."""

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Byte offsets of the first byte of ``node`` and of the one after its last."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.offsets[node.lineno - 1] + node.col_offset,
            self.offsets[node.end_lineno - 1] + node.end_col_offset,
        )

    @property
    def returns(self) -> list[ast.Return]:
        """Its own ``return`` statements that return something, in order of the text."""
        return [
            node
            for node in own_nodes(self.node)
            if isinstance(node, ast.Return)
            and node.value is not None
            and not (isinstance(node.value, ast.Constant) and node.value.value is None)
        ]

    @property
    def documented(self) -> bool:
        """Whether the body opens with a docstring."""
        return ast.get_docstring(self.node, clean=False) is not None

    def with_first(self, statements: str) -> str:
        """The program with ``statements`` as the first of the function's body, after its docstring."""
        body = self.node.body
        place = 1 if self.documented else 0
        if place < len(body):
            # A decorated definition begins at its first decorator, which is before its own position.
            decorators = getattr(body[place], "decorator_list", [])
            first = min([body[place], *decorators], key=lambda node: node.lineno)
            line_start = self.offsets[first.lineno - 1]
            margin = self.source.encode()[line_start : line_start + first.col_offset].decode()
            if not margin.replace("@", "").strip():
                margin = margin.replace("@", "")
                text = "".join(f"{margin}{line}\n" for line in statements.splitlines())
                return splice(self.source, [(line_start, line_start, text)])
        # The body begins on the line of its `def`, or is a docstring alone: write the function anew.
        lines = ast.parse(statements).body
        function = copy.copy(self.node)
        function.decorator_list = []
        function.body = [*body[:place], *lines, *body[place:]]
        start, end = self.span(self.node)
        return splice(self.source, [(start, end, ast.unparse(function))])


def own_nodes(function: _Function) -> Iterator[ast.AST]:
    """The nodes of a function's body, those of nested functions, lambdas and classes left out."""
    pending: list[ast.AST] = list(reversed(function.body))
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


def find_entry(source: str, entry_point: str) -> Entry | None:
    """The last function of that name at the top of the module; None if there is none or it does not parse."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    found = [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry_point
    ]
    if not found:
        return None
    offsets = [0]
    for line in source.encode().split(b"\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    return Entry(source, found[-1], tuple(offsets))


def splice(source: str, edits: list[tuple[int, int, str]]) -> str:
    """Replace the bytes ``start`` to ``end`` by a text, for each edit. Edits must not overlap."""
    raw = source.encode()
    for start, end, text in sorted(edits, reverse=True):
        raw = raw[:start] + text.encode() + raw[end:]
    return raw.decode()
