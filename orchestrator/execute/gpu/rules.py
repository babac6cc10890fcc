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


def violation(program: str, dialect: str, entry_point: str) -> str | None:
    """The rule that ``program`` breaks, in one line; None where none is seen.

    A program that does not parse breaks no rule: loading it gives the error.
    """
    if dialect == "cuda":
        return _cuda(program, entry_point)
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
        if re.search(r"^\s*(import|from|def)\s", code, re.MULTILINE):
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
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            top = module.split(".")[0]
            if top in foreign:
                return f"imports {top}, which a {dialect} program may not"
        named = {
            *modules,
            *([node.attr] if isinstance(node, ast.Attribute) else []),
            *([node.id] if isinstance(node, ast.Name) else []),
        }
        if any(word in name.split(".") for name in named for word in _INLINE):
            return "builds a C++ extension, which no dialect may"
    return triton_violation(tree) if dialect == "triton" else None
