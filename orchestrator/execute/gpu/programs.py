"""Turns a program's source into something to call, inside the candidate. One way for each dialect."""

from __future__ import annotations

import linecache
import sys
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["CompileError", "MissingEntryPoint", "Program", "load"]

FILE_NAME: Final = "program.py"


class CompileError(Exception):
    """The compiler refused the program; the message is the compiler's own."""


class MissingEntryPoint(Exception):
    """The program ran, but defines no function of the asked name."""


class Program(ABC):
    """A loaded program."""

    @abstractmethod
    def bind(self, case: dict[str, Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[], None]:
        """A call of no arguments on these arrays.

        Args:
            case: what the referee sent, with ``launches`` for raw CUDA.
            inputs: torch tensors and Python numbers, in order.
            outputs: torch tensors.
        """


def load(source: str, dialect: str, entry_point: str, folder: Path) -> Program:
    """Execute or compile ``source``.

    Raises:
        CompileError: for raw CUDA that does not compile.
        MissingEntryPoint: if there is no such function.
        BaseException: whatever the program raises while it is loaded.
    """
    if dialect == "cuda":
        return _CudaProgram(source)
    path = folder / FILE_NAME
    path.write_text(source, encoding="utf-8", errors="surrogatepass")
    # Compilers that read a function's source (Triton, TorchScript) ask the line cache or the file; both have it.
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    module = types.ModuleType("program")
    module.__file__ = str(path)
    sys.modules["program"] = module
    exec(compile(source, str(path), "exec"), module.__dict__)
    solve = module.__dict__.get(entry_point)
    if not callable(solve):
        raise MissingEntryPoint(f"the program defines no function {entry_point!r}")
    return _PythonProgram(solve, cupy_arrays=dialect == "cupy")


class _PythonProgram(Program):
    def __init__(self, solve: Callable[..., object], cupy_arrays: bool) -> None:
        self._solve = solve
        self._cupy_arrays = cupy_arrays

    def bind(self, case: dict[str, Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[], None]:
        given = [self._convert(x) for x in inputs]
        filled = [self._convert(x) for x in outputs]
        out = filled[0] if len(filled) == 1 else tuple(filled)
        solve = self._solve

        def call() -> None:
            solve(*given, out)

        return call

    def _convert(self, value: Any) -> Any:
        if not self._cupy_arrays or isinstance(value, int | float):
            return value
        if value.device.type == "cpu":
            return value.numpy()
        import cupy

        return cupy.from_dlpack(value)


class _CudaProgram(Program):
    """Raw CUDA C++: compiled by NVRTC here, launched by the rule that the referee read from its comment lines."""

    def __init__(self, source: str) -> None:
        import cupy

        self._cupy = cupy
        self._module = cupy.RawModule(code=source, options=("--std=c++17", *_MACROS, *_include_options()))
        try:
            self._module.compile()
        except cupy.cuda.compiler.CompileException as error:
            raise CompileError(str(error)) from None

    def bind(self, case: dict[str, Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[], None]:
        import numpy as np

        cupy, plan = self._cupy, case["launches"]
        staged: list[tuple[Any, Any]] = []
        arguments: list[Any] = []
        for value in (*inputs, *outputs):
            if isinstance(value, int):
                arguments.append(np.int64(value))
            elif isinstance(value, float):
                arguments.append(np.float64(value))
            elif value.device.type == "cpu":
                copy = cupy.empty(value.numel() * value.element_size(), cupy.uint8)
                staged.append((copy, value.reshape(-1).view(_uint8()).numpy()))
                arguments.append(copy)
            else:
                arguments.append(cupy.from_dlpack(value.reshape(-1).view(_uint8())))
        arguments += [np.int64(size) for size in plan["sizes"]]
        scratch = cupy.empty(plan["scratch"], cupy.uint8) if plan["scratch"] else None
        arguments.append(np.uint64(0) if scratch is None else scratch)
        launches = []
        for name, grid, block, shared in plan["launches"]:
            kernel = self._module.get_function(name)
            if shared > _STATIC_SHARED:
                kernel.max_dynamic_shared_size_bytes = shared
            launches.append((kernel, tuple(grid), tuple(block), shared))
        repeat = plan["repeat"]

        def call() -> None:
            for copy, source in staged:
                copy.set(source)
            for turn in range(repeat):
                given = (*arguments, np.int32(turn))
                for kernel, grid, block, shared in launches:
                    kernel(grid, block, given, shared_mem=shared)

        return call


_MACROS: Final = (
    "-DINFINITY=__int_as_float(0x7f800000)",
    "-DNAN=__int_as_float(0x7fffffff)",
    "-DFLT_MAX=3.402823466e+38F",
    "-DDBL_MAX=1.7976931348623157e+308",
)
"""What programs expect of <math.h> and <float.h>, which NVRTC does not have."""
_STATIC_SHARED: Final = 48 << 10
"""Dynamic shared memory over this must be asked for."""


def _uint8() -> Any:
    import torch

    return torch.uint8


def _include_options() -> tuple[str, ...]:
    """Where CUDA's own headers stand, for toolkits that came as wheels."""
    found = []
    for entry in sys.path:
        for folder in sorted(Path(entry or ".").glob("nvidia/*/include")):
            if (folder / "cuda_fp16.h").exists():
                found.append(f"-I{folder}")
    return tuple(found)
