"""Ways in which a Python program goes wrong, each made from a right one.

Every function takes the program's entry and a ``variant`` that chooses between forms of the same mistake, and
returns the broken program, or None where this program offers no place for that mistake.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from orchestrator.generate.rehearsal.python_source import Entry, find_entry, own_nodes, splice

__all__ = ["PYTHON_BREAKS", "break_python", "cut_python"]

_Shape = Literal["number", "sequence", "truth", "unknown"]

_NUMBER_CALLS = frozenset({"abs", "float", "int", "len", "max", "min", "ord", "pow", "round", "sum"})
_SEQUENCE_CALLS = frozenset({"bin", "chr", "hex", "list", "sorted", "str", "tuple"})
_SEQUENCE_METHODS = frozenset({"format", "hexdigest", "join", "lower", "replace", "split", "strip", "upper"})
_TRUTH_CALLS = frozenset({"all", "any", "bool", "isinstance"})

_OPPOSITE_COMPARISON: Final[Mapping[type[ast.cmpop], str]] = MappingProxyType(
    {
        ast.Eq: "!=",
        ast.NotEq: "==",
        ast.Lt: ">=",
        ast.LtE: ">",
        ast.Gt: "<=",
        ast.GtE: "<",
        ast.In: "not in",
        ast.NotIn: "in",
        ast.Is: "is not",
        ast.IsNot: "is",
    }
)
_OTHER_ARITHMETIC: Final[Mapping[type[ast.operator], str]] = MappingProxyType(
    {
        ast.Add: "-",
        ast.Sub: "+",
        ast.Mult: "+",
        ast.Div: "*",
        ast.FloorDiv: "*",
        ast.Mod: "//",
        ast.Pow: "*",
        ast.BitXor: "|",
        ast.BitAnd: "|",
        ast.BitOr: "&",
    }
)

_EXCEPTIONS: Final[tuple[str, ...]] = (
    "parsed = validate_arguments(locals())",
    "scale = 1 / 0",
    'cache = {}\nlast = cache["last"]',
    "seen = []\nlatest = seen[-1]",
    'label = "n = " + 1',
    "state = None\nstate.update({})",
)


def break_syntax(entry: Entry, variant: int) -> str:
    """A program that does not parse."""
    start, _ = entry.span(entry.node)
    raw = entry.source.encode()
    body_start, _ = entry.span(entry.node.body[0])
    colon = raw.rfind(b":", start, body_start)
    last_line = entry.source.rstrip("\n")
    attempts = [
        splice(entry.source, [(colon, colon + 1, "")]),
        splice(entry.source, [(start, start + len("def"), "function")]),
        f"{last_line})\n",
        f"{last_line}\n    else:\n",
    ]
    for attempt in attempts[variant % len(attempts) :] + attempts:
        if not _parses(attempt):
            return attempt
    return f"{last_line}\n    return (\n"


def break_by_one(entry: Entry, variant: int) -> str | None:
    """Every result is off by one: a number one too large or too small, a sequence short of one end.

    Truth values, which cannot be off by one, come out inverted. A result whose type cannot be told from the text
    loses its first item, which is an error where it has none.
    """
    edits: list[tuple[int, int, str]] = []
    for node in entry.returns:
        assert node.value is not None
        start, end = entry.span(node.value)
        text = entry.source.encode()[start:end].decode()
        shape = _shape(node.value, entry)
        if shape == "number":
            changed = f"({text}) {'+-'[variant % 2]} 1"
        elif shape == "truth":
            changed = f"not ({text})"
        else:
            changed = f"({text}){('[1:]', '[:-1]')[variant % 2]}"
        edits.append((start, end, changed))
    return splice(entry.source, edits) if edits else None


def break_operator(entry: Entry, variant: int) -> str | None:
    """Operators in the results, or else in the body, are the wrong ones.

    Loops that run until a condition holds are left alone: a wrong operator there is an endless loop, which is
    another mistake, with a share of its own.
    """
    del variant
    edits = [edit for node in entry.returns if (edit := _operator_edit(entry, node.value))]
    if not edits:
        edits = _body_operator_edits(entry)
    return splice(entry.source, edits) if edits else None


def break_exception(entry: Entry, variant: int) -> str:
    """The function raises as soon as it is called."""
    return entry.with_first(_EXCEPTIONS[variant % len(_EXCEPTIONS)])


def break_endless(entry: Entry, variant: int) -> str:
    """The function never returns."""
    loops = (
        "step = 0\nwhile step >= 0:\n    step = (step + 1) % 7",
        "pending = [0]\nwhile pending:\n    pending[0] += 1",
    )
    return entry.with_first(loops[variant % len(loops)])


def break_memory(entry: Entry, variant: int) -> str:
    """The function builds a table that fits no machine, and touches each page of it."""
    tables = (
        "table = [[0] * 100_000 for _ in range(100_000)]",
        'text = ["x" * 1_000_000 + str(i) for i in range(1_000_000)]',
    )
    return entry.with_first(tables[variant % len(tables)])


PYTHON_BREAKS: Final[Mapping[str, Callable[[Entry, int], str | None]]] = MappingProxyType(
    {
        "syntax_error": break_syntax,
        "off_by_one": break_by_one,
        "wrong_operator": break_operator,
        "exception": break_exception,
        "endless_loop": break_endless,
        "memory_hog": break_memory,
    }
)
"""By name of the mistake."""


def break_python(source: str, entry_point: str, kind: str, variant: int) -> str | None:
    """Break a program; None where it has no function ``entry_point`` or no place for this mistake.

    Args:
        source: a program that is right.
        entry_point: name of its function.
        kind: a key of :data:`PYTHON_BREAKS`.
        variant: chooses between forms of the same mistake.
    """
    entry = find_entry(source, entry_point)
    if entry is None:
        return None
    broken = PYTHON_BREAKS[kind](entry, variant)
    if broken is None or (kind != "syntax_error" and not _parses(broken)):
        return None
    return broken


def cut_python(source: str, entry_point: str, share: float) -> int:
    """Where to cut a program (a number of characters) so that its entry function loses its last result.

    Args:
        source: a program that is right.
        entry_point: name of its function.
        share: 0..1, how far between the start of the function's body and its last ``return`` the cut falls.
    """
    entry = find_entry(source, entry_point)
    if entry is None:
        return int(len(source) * (0.3 + 0.4 * share))
    body = entry.node.body[1:] if entry.documented and len(entry.node.body) > 1 else entry.node.body
    first, last = entry.span(body[0])
    if entry.returns:
        last, _ = entry.span(entry.returns[-1])
    cut = first + int((max(last, first) - first) * share)
    return len(entry.source.encode()[:cut].decode(errors="ignore"))


def _parses(source: str) -> bool:
    try:
        compile(source, "<answer>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _shape(expression: ast.expr, entry: Entry, depth: int = 3) -> _Shape:
    """What kind of value an expression gives, as far as its text tells."""
    if isinstance(expression, ast.Constant):
        value = expression.value
        if isinstance(value, bool):
            return "truth"
        return "number" if isinstance(value, int | float) else "sequence"
    if isinstance(expression, ast.Compare | ast.BoolOp) or (
        isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.Not)
    ):
        return "truth"
    if isinstance(expression, ast.List | ast.ListComp | ast.Tuple | ast.JoinedStr):
        return "sequence"
    if isinstance(expression, ast.UnaryOp):
        return "number"
    if isinstance(expression, ast.BinOp):
        if isinstance(expression.op, ast.Add | ast.Mult | ast.Mod):
            shapes = {_shape(side, entry, depth) for side in (expression.left, expression.right)}
            return "sequence" if "sequence" in shapes else "number" if "number" in shapes else "unknown"
        return "number"
    if isinstance(expression, ast.IfExp):
        return _shape(expression.body, entry, depth)
    if isinstance(expression, ast.Subscript) and isinstance(expression.slice, ast.Slice):
        return "sequence"
    if isinstance(expression, ast.Call):
        return _call_shape(expression)
    if isinstance(expression, ast.Name) and depth > 0:
        return _name_shape(expression.id, entry, depth - 1)
    return _annotated_shape(entry.node.returns)


def _call_shape(call: ast.Call) -> _Shape:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name in _NUMBER_CALLS:
        return "number"
    if name in _TRUTH_CALLS:
        return "truth"
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    return "sequence" if name in _SEQUENCE_CALLS or method in _SEQUENCE_METHODS else "unknown"


def _name_shape(name: str, entry: Entry, depth: int) -> _Shape:
    for node in own_nodes(entry.node):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            shape = _shape(node.value, entry, depth)
            if shape != "unknown":
                return shape
    return _annotated_shape(entry.node.returns)


def _annotated_shape(annotation: ast.expr | None) -> _Shape:
    text = ast.unparse(annotation).lower() if annotation is not None else ""
    if text == "bool":
        return "truth"
    if text in ("int", "float"):
        return "number"
    return "sequence" if text.startswith(("str", "list", "tuple")) else "unknown"


def _operator_edit(entry: Entry, expression: ast.expr | None) -> tuple[int, int, str] | None:
    """An edit that makes the outermost operator of ``expression`` a wrong one; None if it is no operator."""
    if expression is None:
        return None
    start, end = entry.span(expression)
    raw = entry.source.encode()

    def text(node: ast.expr) -> str:
        first, last = entry.span(node)
        return raw[first:last].decode()

    if isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.Not):
        return start, end, f"({text(expression.operand)})"
    if isinstance(expression, ast.BoolOp):
        return start, end, f"not ({raw[start:end].decode()})"
    if isinstance(expression, ast.Compare):
        if len(expression.ops) == 1:
            sign = _OPPOSITE_COMPARISON[type(expression.ops[0])]
            return start, end, f"({text(expression.left)}) {sign} ({text(expression.comparators[0])})"
        return start, end, f"not ({raw[start:end].decode()})"
    if isinstance(expression, ast.BinOp) and type(expression.op) in _OTHER_ARITHMETIC:
        sign = _OTHER_ARITHMETIC[type(expression.op)]
        return start, end, f"({text(expression.left)}) {sign} ({text(expression.right)})"
    return None


def _body_operator_edits(entry: Entry) -> list[tuple[int, int, str]]:
    """Edits on the outermost comparisons and sums of the body, outside of ``while`` loops."""
    edits: list[tuple[int, int, str]] = []
    pending: list[ast.AST] = list(entry.node.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.While | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.expr) and not isinstance(node, ast.JoinedStr):
            edit = _operator_edit(entry, node)
            if edit:
                edits.append(edit)
                continue
        if not isinstance(node, ast.JoinedStr):
            pending.extend(ast.iter_child_nodes(node))
    return edits
