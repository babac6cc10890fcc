"""The launch rule of a ``cuda`` program: comment lines that say which kernels run, and on how many threads.

A program is CUDA C++ source with ``extern "C" __global__`` kernels and, anywhere in it, lines such as::

    // launch: partial(grid=(ceil_div(n, 1024)), block=(256), shared=1024)
    // launch: solve(grid=(rows, ceil_div(cols, 32)), block=(32, 8))
    // scratch: 4 * ceil_div(n, 1024)
    // repeat: steps

The kernels run in the order of their lines, one after the other, the whole sequence ``repeat`` times. One of
them is called ``solve``. Every kernel gets the same arguments: the inputs, the outputs, the problem's sizes (each
``long long``), ``void* scratch`` and ``int round`` (0 .. repeat - 1). A kernel may leave out trailing ones.

Expressions are integers, names of the problem's sizes, ``+ - * / // %`` (both divisions round down),
``min``, ``max``, ``ceil_div`` and parentheses. Nothing else is evaluated: the text comes from a model.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Launch", "LaunchError", "LaunchPlan", "parse_launch"]

_LINE: Final = re.compile(r"^[ \t]*//[ \t]*(launch|scratch|repeat)[ \t]*:(.*)$", re.MULTILINE)
_MAX_VALUE: Final = 1 << 62
_MAX_LINES: Final = 256
_MAX_REPEAT: Final = 1_000_000
_MAX_NAME: Final = 100
"""Letters of a kernel's name: those of all lines together go into one message."""


class LaunchError(ValueError):
    """The launch lines of a ``cuda`` program can't be followed; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch with its numbers settled."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    """Dynamic shared memory a block."""


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """All launches of one call of ``solve``."""

    launches: tuple[Launch, ...]
    scratch_bytes: int
    """Size of the scratch buffer; 0: the kernels get a null pointer."""
    repeat: int


def parse_launch(source: str, sizes: Mapping[str, int]) -> LaunchPlan:
    """Read the launch lines of ``source`` for one shape.

    Args:
        source: a ``cuda`` program.
        sizes: the problem's dimensions at this shape.

    Raises:
        LaunchError: for missing, malformed or impossible lines.
    """
    found = [(kind, text.strip(" \t")) for kind, text in _LINE.findall(source)]
    if len(found) > _MAX_LINES:
        raise LaunchError(f"more than {_MAX_LINES} launch, scratch and repeat lines")
    launches = tuple(_launch(text, sizes) for kind, text in found if kind == "launch")
    if not launches:
        raise LaunchError("no '// launch: kernel(grid=(...), block=(...))' line")
    if not any(launch.kernel == "solve" for launch in launches):
        raise LaunchError("no launch line for a kernel called solve")
    scratch = _single(found, "scratch", sizes, 0)
    repeat = _single(found, "repeat", sizes, 1)
    if scratch < 0:
        raise LaunchError(f"scratch is {scratch}, must not be negative")
    if not 1 <= repeat <= _MAX_REPEAT:
        raise LaunchError(f"repeat is {repeat}, must be from 1 to {_MAX_REPEAT}")
    return LaunchPlan(launches, scratch, repeat)


def _single(found: Sequence[tuple[str, str]], kind: str, sizes: Mapping[str, int], default: int) -> int:
    texts = [text for k, text in found if k == kind]
    if len(texts) > 1:
        raise LaunchError(f"more than one '// {kind}:' line")
    return _evaluate(_parse(texts[0]), sizes) if texts else default


def _parse(text: str) -> ast.expr:
    if len(text) > 1000:
        raise LaunchError("a launch line is longer than 1000 characters")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise LaunchError(f"cannot read {text[:80]!r}: {type(error).__name__}") from None


def _launch(text: str, sizes: Mapping[str, int]) -> Launch:
    call = _parse(text)
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args):
        raise LaunchError(f"not of the form kernel(grid=(...), block=(...), shared=...): {text[:80]!r}")
    if len(call.func.id) > _MAX_NAME or not call.func.id.isascii():
        raise LaunchError(f"a kernel's name has up to {_MAX_NAME} ASCII letters, not {call.func.id[:80]!r}")
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    unknown = [str(name) for name in given if name not in ("grid", "block", "shared")]
    if unknown or len(given) != len(call.keywords):
        raise LaunchError(f"{call.func.id}: only grid, block and shared, each once, not {', '.join(unknown)}")
    if "grid" not in given or "block" not in given:
        raise LaunchError(f"{call.func.id}: grid and block are both needed")
    grid = _triple(given["grid"], sizes, f"{call.func.id}: grid")
    block = _triple(given["block"], sizes, f"{call.func.id}: block")
    if block[0] * block[1] * block[2] > 1024:
        raise LaunchError(f"{call.func.id}: block {block} has more than 1024 threads")
    if grid[0] >= 1 << 31 or grid[1] > 65535 or grid[2] > 65535:
        raise LaunchError(f"{call.func.id}: grid {grid} is over CUDA's limit (2^31 - 1, 65535, 65535)")
    shared = _evaluate(given["shared"], sizes) if "shared" in given else 0
    if shared < 0:
        raise LaunchError(f"{call.func.id}: shared is {shared}, must not be negative")
    return Launch(call.func.id, grid, block, shared)


def _triple(node: ast.expr, sizes: Mapping[str, int], what: str) -> tuple[int, int, int]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    if not 1 <= len(parts) <= 3:
        raise LaunchError(f"{what} must have one to three parts")
    values = [_evaluate(part, sizes) for part in parts]
    if min(values) < 1:
        raise LaunchError(f"{what} is {tuple(values)}, every part must be at least 1")
    x, y, z = (*values, 1, 1)[:3]
    return x, y, z


def _floor_div(a: int, b: int) -> int:
    if b == 0:
        raise LaunchError("division by zero")
    return a // b


def _modulo(a: int, b: int) -> int:
    if b == 0:
        raise LaunchError("division by zero")
    return a % b


_OPERATORS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: _floor_div,
    ast.FloorDiv: _floor_div,
    ast.Mod: _modulo,
}


def _evaluate(node: ast.expr, sizes: Mapping[str, int]) -> int:
    """Value of an integer expression."""
    try:
        return _value(node, sizes)
    except RecursionError:
        raise LaunchError("an expression is nested too deeply") from None


def _value(node: ast.expr, sizes: Mapping[str, int]) -> int:
    value: int
    if isinstance(node, ast.Constant) and type(node.value) is int:
        value = node.value
    elif isinstance(node, ast.Name):
        if node.id not in sizes:
            raise LaunchError(f"unknown size {node.id!r}; known: {', '.join(sizes)}")
        value = sizes[node.id]
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        value = _OPERATORS[type(node.op)](_value(node.left, sizes), _value(node.right, sizes))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = -_value(node.operand, sizes)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        value = _call(node.func.id, [_value(arg, sizes) for arg in node.args])
    else:
        raise LaunchError(f"only integers, sizes, + - * / // %, min, max, ceil_div: {ast.unparse(node)[:80]!r}")
    if abs(value) > _MAX_VALUE:
        raise LaunchError(f"{ast.unparse(node)[:80]!r} is too large")
    return value


def _call(name: str, args: Sequence[int]) -> int:
    if name in ("min", "max") and args:
        return min(args) if name == "min" else max(args)
    if name == "ceil_div" and len(args) == 2:
        return -_floor_div(-args[0], args[1])
    raise LaunchError(f"cannot call {name!r} with {len(args)} arguments")
