"""Rules of a dialect that can be read off a program's text, checked on the trusted side before it runs.

They catch a program in the wrong language, not every evasion: what a program computes is judged by running it.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from orchestrator.execute.gpu.cuda_source import includes, is_ambiguous, without_comments
from orchestrator.execute.gpu.triton_rules import triton_violation

__all__ = ["violation"]

_FOREIGN: Final = {
    "torch": ("cupy", "cupyx", "triton", "numba", "pycuda", "cuda", "ctypes", "cffi"),
    "cupy": ("torch", "triton", "numba", "pycuda", "ctypes", "cffi"),
}
"""Dialect -> packages that a program in it may not import."""

_INLINE: Final = ("load_inline", "cpp_extension")
_HEADERS: Final = {
    *("cuda_fp16.h", "cuda_bf16.h", "cuda_fp8.h", "cuda_runtime.h", "cuda.h", "math_constants.h", "mma.h"),
    *("cooperative_groups.h", "cuda_pipeline.h", "cuda/std/limits", "cuda/std/cstdint", "stdint.h"),
}
"""Headers of the CUDA runtime that hold device code only."""

_PROGRAM_BYTES: Final = 128 << 10
"""A longer program is not read: reading has no clock, takes up to a thousand times the text's memory, and of some
texts (a string with many fields) time by the square of their length: 3 s for this much."""
_NAME_PARTS: Final = 200
_LONG_NAME: Final = re.compile(
    r"(?<![\w\x80-\U0010ffff])(?:[\w\x80-\U0010ffff]++[ \t\f\\\r\n]*+\.[ \t\f\\\r\n]*+)"
    f"{{{_NAME_PARTS}}}"
)
"""Names joined by dots. Python's parser keeps each beginning of one that is imported: gigabytes in all."""
_REASON: Final = 300


def violation(program: str, dialect: str, entry_point: str) -> str | None:
    """The rule that ``program`` breaks, in one line; None where none is seen.

    A program that does not parse breaks no rule: loading it gives the error.
    """
    size = len(program.encode("utf-8", "surrogatepass"))
    if size > _PROGRAM_BYTES:
        return f"is {size} bytes long: a program may have at most {_PROGRAM_BYTES}"
    broken = _broken(program, dialect, entry_point)
    # A reason quotes the program, whose names have any length.
    return broken[:_REASON].encode("utf-8", "replace").decode() if broken is not None else None


def _broken(program: str, dialect: str, entry_point: str) -> str | None:
    if dialect == "cuda":
        return _cuda(program, entry_point)
    if _LONG_NAME.search(program):
        return f"has a name of more than {_NAME_PARTS} parts"
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        if "__global__" in program and "def " not in program:
            return f"CUDA C++ source where a {dialect} program was asked"
        return None
    return _python(tree, dialect)


def _cuda(program: str, entry_point: str) -> str | None:
    code = without_comments(program)
    if "__global__" not in code:
        if re.search(r"^[ \t]*(import|from|def)\s", code, re.MULTILINE):
            return "a Python program where raw CUDA C++ was asked"
        return f"no __global__ kernel: {entry_point} must be raw CUDA C++"
    if is_ambiguous(program):
        return 'holds both a raw string (R"...") and a line that a backslash continues: use only one of them'
    for header in includes(program):
        if header not in _HEADERS:
            return f"includes {header[:60]}: only the CUDA runtime's own device headers are allowed"
    return None


def _python(tree: ast.Module, dialect: str) -> str | None:
    foreign = _FOREIGN.get(dialect, ())
    for node in ast.walk(tree):
        modules: list[str] = []
        names: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
            names = [alias.name for alias in node.names]
        for module in modules:
            top = module.split(".")[0]
            if top in foreign:
                return f"imports {top}, which a {dialect} program may not"
        named = {
            *modules,
            *names,
            *([node.attr] if isinstance(node, ast.Attribute) else []),
            *([node.id] if isinstance(node, ast.Name) else []),
        }
        if any(word in name.split(".") for name in named for word in _INLINE):
            return "builds a C++ extension, which no dialect may"
    return triton_violation(tree) if dialect == "triton" else None
