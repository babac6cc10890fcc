"""Runs programs of every dialect on the CPU, for the tests: torch as it is, CuPy over NumPy, Triton in its
interpreter, CUDA through a C++ emulation."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from tasks.gpu.check import compare
from tasks.gpu.launch import parse_launch
from tasks.gpu.problem import ArraySpec, GpuProblem, ScalarSpec, Shape, host_dtype

HEADER = Path(__file__).with_name("cuda_emulation.h")


def poisoned(spec: ArraySpec) -> np.ndarray:
    """A host array full of a value that no test expects."""
    kind = host_dtype(spec.element)
    return np.full(spec.shape, np.nan if kind.kind == "f" else -987_654_321, dtype=kind)


def run_torch(source: str, problem: GpuProblem, shape: Shape, dtype: str, values: list[Any]) -> list[np.ndarray]:
    """Outputs of a torch (or interpreted Triton) program, on the host."""
    namespace: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(source, "<candidate>", "exec"), namespace)
    return call_torch(namespace["solve"], problem, shape, dtype, values)


def call_torch(solve: Any, problem: GpuProblem, shape: Shape, dtype: str, values: list[Any]) -> list[np.ndarray]:
    """Call ``solve`` with CPU tensors made from host ``values``."""
    import torch

    args = []
    for spec, value in zip(problem.inputs(shape, dtype), values, strict=True):
        if isinstance(spec, ScalarSpec):
            args.append(value)
        else:
            args.append(torch.from_numpy(value.copy()).to(getattr(torch, spec.element)))
    outs = [
        torch.from_numpy(poisoned(spec)).to(getattr(torch, spec.element)) for spec in problem.outputs(shape, dtype)
    ]
    solve(*args, outs[0] if len(outs) == 1 else tuple(outs))
    wide = {torch.bfloat16: torch.float32, torch.float16: torch.float32}
    return [out.to(wide.get(out.dtype, out.dtype)).numpy() for out in outs]


def cupy_over_numpy() -> dict[str, types.ModuleType]:
    """Stand-ins for ``sys.modules``: CuPy's functions have NumPy's names and meaning."""
    import scipy.sparse
    import scipy.special

    cupy = types.ModuleType("cupy")
    cupy.__getattr__ = lambda name: getattr(np, name)  # type: ignore[method-assign]
    # CuPy's sort is always stable; NumPy's only when asked.
    cupy.argsort = lambda a, axis=-1: np.argsort(a, axis=axis, kind="stable")  # type: ignore[attr-defined]
    cupyx = types.ModuleType("cupyx")
    cupyx.scatter_add = np.add.at  # type: ignore[attr-defined]
    cupyx.scatter_max = np.maximum.at  # type: ignore[attr-defined]
    cupyx_scipy = types.ModuleType("cupyx.scipy")
    cupyx.scipy = cupyx_scipy  # type: ignore[attr-defined]
    return {
        "cupy": cupy,
        "cupyx": cupyx,
        "cupyx.scipy": cupyx_scipy,
        "cupyx.scipy.sparse": scipy.sparse,
        "cupyx.scipy.special": scipy.special,
    }


def run_cupy(source: str, problem: GpuProblem, shape: Shape, dtype: str, values: list[Any]) -> list[np.ndarray]:
    """Outputs of a CuPy program run over NumPy; the stand-ins must be in ``sys.modules``."""
    namespace: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(source, "<candidate>", "exec"), namespace)
    outs = [poisoned(spec) for spec in problem.outputs(shape, dtype)]
    args = [value.copy() if isinstance(value, np.ndarray) else value for value in values]
    namespace["solve"](*args, outs[0] if len(outs) == 1 else tuple(outs))
    return outs


def run_triton(  # noqa: PLR0917
    source: str, folder: Path, problem: GpuProblem, shape: Shape, dtype: str, values: list[Any]
) -> list[np.ndarray]:
    """Outputs of a Triton program in Triton's interpreter (``TRITON_INTERPRET=1`` must be set before import).

    ``triton.jit`` reads the source of its functions, so the program must stand in a file.
    """
    path = folder / f"triton_{problem.name}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
        return call_torch(module.solve, problem, shape, dtype, values)
    finally:
        del sys.modules[path.stem]


class EmulatedCuda:
    """A ``cuda`` program compiled for the CPU, where every CUDA thread is a fibre."""

    def __init__(self, source: str, folder: Path) -> None:
        self._source = source
        kernels = _kernel_names(source)
        table = "\n".join(f'    if (!strcmp(name, "{k}")) return emu_launch({k}, args);' for k in kernels)
        text = _dynamic_shared(source)
        path = folder / "program.cpp"
        path.write_text(
            f'#include "{HEADER}"\n{text}\nextern "C" int emu_run(const char* name, void** args) {{\n{table}\n'
            "    return 1;\n}\n",
            encoding="utf-8",
        )
        library = folder / "program.so"
        command = ["g++", "-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-o", str(library), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(done.stderr[:4000])
        self._library = ctypes.CDLL(str(library))

    def run(self, problem: GpuProblem, shape: Shape, dtype: str, values: list[Any]) -> list[np.ndarray]:
        """Outputs of one call, launched as the source's launch lines say."""
        plan = parse_launch(self._source, dict(shape.dims))
        outs = [poisoned(spec) for spec in problem.outputs(shape, dtype)]
        scratch = np.full(max(plan.scratch_bytes, 1), 0xCD, dtype=np.uint8)
        keep: list[Any] = []
        for value in values:
            if isinstance(value, np.ndarray):
                keep.append(ctypes.c_void_p(np.ascontiguousarray(value).ctypes.data))
            else:
                keep.append(ctypes.c_longlong(value) if isinstance(value, int) else ctypes.c_double(value))
        keep += [ctypes.c_void_p(out.ctypes.data) for out in outs]
        keep += [ctypes.c_longlong(shape[name]) for name in problem.cuda_sizes(shape, dtype)]
        keep.append(ctypes.c_void_p(scratch.ctypes.data))
        turn = ctypes.c_int(0)
        keep.append(turn)
        args = (ctypes.c_void_p * len(keep))(*(ctypes.addressof(k) for k in keep))
        for turn.value in range(plan.repeat):
            for launch in plan.launches:
                self._library.emu_shape(*launch.grid, *launch.block, launch.shared_bytes)
                assert self._library.emu_run(launch.kernel.encode(), args) == 0, launch
        return outs


def _kernel_names(source: str) -> list[str]:
    import re

    return re.findall(r'extern\s+"C"\s+__global__\s+void\s+(\w+)\s*\(', source)


def _dynamic_shared(source: str) -> str:
    import re

    return re.sub(
        r"extern\s+__shared__\s+([\w ]+?)\s+(\w+)\[\];", r"\1* \2 = (\1*)emu_dynamic_shared.data();", source
    )


def wrong_outputs(
    problem: GpuProblem, dtype: str, got: list[np.ndarray], want: tuple[np.ndarray, ...]
) -> list[str]:
    """One line for each output that is outside the tolerance."""
    tolerance = problem.tolerance(dtype)
    assert len(got) == len(want)
    found = [compare(g, w, tolerance) for g, w in zip(got, want, strict=True)]
    return [f"output {i}: {m}" for i, m in enumerate(found) if m is not None]
