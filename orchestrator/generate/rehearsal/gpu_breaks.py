"""Ways in which a GPU program goes wrong, each made from a right one.

Programs of the dialects ``torch``, ``cupy`` and ``triton`` are Python: they are broken by what stands around the
entry function, which writes its result into its last argument. ``cuda`` is C++ source and is broken as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from orchestrator.generate.rehearsal.python_breaks import break_python
from orchestrator.generate.rehearsal.python_source import find_entry

__all__ = ["GPU_BREAKS", "break_gpu"]

_WRAPPER = """

_{entry}_inner = {entry}


def {entry}(*arguments):
    outputs = arguments[-1] if isinstance(arguments[-1], (list, tuple)) else [arguments[-1]]
    {before}
    _{entry}_inner(*arguments)
    for out in outputs:
        {after}
"""

_TRITON_SPOIL = """

import torch
import triton
import triton.language as tl


@triton.jit
def _spoil(out, n, LAST: tl.constexpr, LOW: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    if LAST:
        mask = at == n - 1
    value = tl.load(out + at, mask=mask)
    if LOW:
        value = value.to(tl.float32).to(tl.float8e5).to(tl.float32).to(value.dtype)
    else:
        value = value * 2 + 1
    tl.store(out + at, value, mask=mask)
"""
"""Triton programs are spoilt by a kernel too: torch may compute nothing in them."""
_SPOIL = "_spoil[(triton.cdiv(out.numel(), 1024),)](out, out.numel(), LAST={last}, LOW={low}, BLOCK=1024)"

_TORCH_LOW = "out.copy_(out.to(torch.float8_e5m2).to(out.dtype))"
_CUPY_LOW = (
    "fraction, power = cupy.frexp(out.astype('f8')); out[...] = cupy.ldexp(cupy.rint(fraction * 8) / 8, power)"
)


def break_gpu(source: str, entry_point: str, dialect: str, kind: str, variant: int) -> str | None:
    """Break a program; None where it offers no place for this mistake.

    Args:
        source: a program that is right.
        entry_point: name of its function or kernel.
        dialect: ``torch``, ``cupy``, ``triton`` or ``cuda``.
        kind: a member of :data:`GPU_BREAKS`.
        variant: chooses between forms of the same mistake.
    """
    if dialect == "cuda":
        return _CUDA_BREAKS[kind](source, entry_point) if kind in _CUDA_BREAKS else None
    if find_entry(source, entry_point) is None:
        return None
    if kind == "compile_error":
        misspelt = re.sub(r"\btl\.load\b", "tl.laod", source) if dialect == "triton" else source
        return misspelt if misspelt != source else break_python(source, entry_point, "syntax_error", variant)
    if kind in ("exception", "endless_loop"):
        return break_python(source, entry_point, kind, variant)
    return _wrap(source, entry_point, dialect, kind)


def _wrap(source: str, entry_point: str, dialect: str, kind: str) -> str | None:
    library = "cupy" if dialect == "cupy" else "torch"
    before, after = "pass", "pass"
    if dialect == "triton" and kind in ("wrong_dtype", "off_by_one", "wrong_operator"):
        after = _SPOIL.format(last=kind == "off_by_one", low=kind == "wrong_dtype")
    elif kind == "wrong_dtype":
        after = _CUPY_LOW if dialect == "cupy" else _TORCH_LOW
    elif kind == "off_by_one":
        after = "out[..., -1:] = out[..., -1:] * 2 + 1"
    elif kind == "wrong_operator":
        after = "out[...] = out * 2 + 1"
    elif kind == "out_of_memory":
        # 16 TiB: more than any card or host gives, refused at once.
        place = "" if dialect == "cupy" else ", device=outputs[0].device"
        before = f"scratch = {library}.empty(1 << 44, dtype={library}.uint8{place})"
    elif kind == "slow":
        before = f"for _ in range(30):\n        _{entry_point}_inner(*arguments)"
    else:
        return None
    wrapper = _WRAPPER.format(entry=entry_point, before=before, after=after)
    # After the source, so that a `from __future__` import at its top stays first.
    head = _TRITON_SPOIL if dialect == "triton" else f"\n\nimport {library}\n"
    return f"{source.rstrip()}{head}{wrapper}"


def _cuda_compile_error(source: str, entry_point: str) -> str | None:
    del entry_point
    # The last semicolon that is no part of a comment.
    found = [match for match in re.finditer(r"//[^\n]*|/\*.*?\*/|;", source, re.DOTALL) if match[0] == ";"]
    return source[: found[-1].start()] + source[found[-1].end() :] if found else None


def _cuda_wrong_dtype(source: str, entry_point: str) -> str | None:
    """The wrong element type: in the line that names it, else in the kernel's own parameters."""
    typedef = re.search(r"\btypedef\s+([\w ]+?)\s+\w+\s*;", source)
    start, body = _kernel_start(source, entry_point), _kernel_body(source, entry_point)
    if typedef:
        place, end = typedef.span(1)
    elif start is not None and body is not None:
        place, end = start, body
    else:
        return None
    before, part, after = source[:place], source[place:end], source[end:]
    for right, wrong in (
        ("double", "float"),
        ("float", "unsigned short"),
        ("__half", "unsigned short"),
        ("__nv_bfloat16", "unsigned short"),
    ):
        changed = re.sub(rf"\b{right}\b", wrong, part)
        if changed != part:
            return before + changed + after
    return None


def _cuda_out_of_memory(source: str, entry_point: str) -> str | None:
    """Asks for 16 TiB of scratch memory, by the comment line that asks for scratch."""
    del entry_point
    line = f"// scratch: {1 << 44}"
    changed, count = re.subn(r"^\s*//\s*scratch:.*$", line, source, flags=re.MULTILINE)
    return changed if count else f"{line}\n{source}"


def _cuda_first(statement: str) -> Callable[[str, str], str | None]:
    def insert(source: str, entry_point: str) -> str | None:
        body = _kernel_body(source, entry_point)
        return None if body is None else f"{source[:body]}\n    {statement}{source[body:]}"

    return insert


def _kernel_start(source: str, entry_point: str) -> int | None:
    """Where the line of the kernel's definition begins; the named one's, else the first's."""
    named = re.search(rf"^[^\n]*__global__[^{{;]*\b{re.escape(entry_point)}\s*\(", source, re.MULTILINE)
    match = named or re.search(r"^[^\n]*__global__", source, re.MULTILINE)
    return match.start() if match else None


def _kernel_body(source: str, entry_point: str) -> int | None:
    """Just after the opening brace of the kernel."""
    start = _kernel_start(source, entry_point)
    if start is None:
        return None
    brace = source.find("{", source.find("__global__", start))
    return brace + 1 if brace >= 0 else None


_CUDA_BREAKS: Final[Mapping[str, Callable[[str, str], str | None]]] = MappingProxyType(
    {
        "compile_error": _cuda_compile_error,
        "wrong_dtype": _cuda_wrong_dtype,
        # Blocks are counted one short: what the last one should write stays unwritten.
        "off_by_one": _cuda_first("if (blockIdx.x + 1 == gridDim.x) return;"),
        "out_of_memory": _cuda_out_of_memory,
        "exception": _cuda_first("__trap();"),
        "slow": _cuda_first("for (volatile int spin = 0; spin < 2000; ++spin) {}"),
    }
)

GPU_BREAKS: Final[tuple[str, ...]] = (
    "compile_error",
    "wrong_dtype",
    "off_by_one",
    "wrong_operator",
    "exception",
    "endless_loop",
    "out_of_memory",
    "slow",
)
"""The mistakes, by name; not each is possible in each dialect."""
