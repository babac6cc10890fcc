"""The text that a model gets for a problem: the task, what comes in, what must go out, and the rules."""

from __future__ import annotations

from typing import Final, cast

from tasks.gpu.problem import CUDA_TYPES, ArraySpec, GpuProblem, ScalarSpec, Shape

__all__ = ["cuda_signature", "prompt_for"]

_LANGUAGE: Final = {
    "torch": "PyTorch",
    "cupy": "CuPy",
    "triton": "Triton (with PyTorch tensors)",
    "cuda": "raw CUDA C++",
}

_DIALECT_RULES: Final = {
    "torch": "Use torch only: no cupy, no triton, no inline C++, no torch.compile.",
    "cupy": (
        "Use CuPy only (cupy, cupyx): no torch, no triton. Where an input is marked as host memory it is a "
        "NumPy array."
    ),
    "triton": (
        "Import torch, triton and triton.language. The computation itself must be done by your own "
        "`@triton.jit` kernels; torch is there to allocate and clear workspace, to make views and to read shapes "
        "and strides. Any other torch operation outside of a kernel (arithmetic, `@`, sums, sorting, copies that "
        "convert or rearrange) is refused. "
        '`tl.dot` on float32 defaults to TF32, which is not exact enough: pass `input_precision="ieee"`.'
    ),
    "cuda": (
        "No libraries (no cuBLAS, cuDNN, CUB, Thrust) and no host code: only device code that NVRTC compiles. "
        "The CUDA runtime's own device headers (cuda_fp16.h, cuda_bf16.h) may be included; there is no C or C++ "
        "standard library. INFINITY, NAN, FLT_MAX and DBL_MAX are defined, INT_MAX and the like are not."
    ),
}

_CUDA_CONTRACT: Final = """\
Write CUDA C++ source with one or more `extern "C" __global__` kernels, one of them called `solve`, and say in
comment lines how they are launched:

// launch: solve(grid=({example}), block=(256), shared=0)

The kernels of all `// launch:` lines run in that order on one stream. `grid` and `block` have one to three parts;
`shared` is dynamic shared memory in bytes and may be left out. Expressions may use integers, the sizes below,
`+ - * / %` (integer division), `min`, `max` and `ceil_div`. Two more lines are optional: `// scratch: <bytes>` asks
for a workspace (not cleared), and `// repeat: <count>` runs the whole sequence so many times.

Every kernel gets the same arguments, in this order (trailing ones that a kernel does not need may be left out):

{signature}

Use the element types shown, no type macros are defined for you."""


class _Symbol:
    """A dimension by name that can be computed with, so that a spec's shape prints as ``n - w + 1``."""

    def __init__(self, text: str, atom: bool = True) -> None:
        self._text, self._atom = text, atom

    def __str__(self) -> str:
        return self._text

    def _factor(self) -> str:
        return self._text if self._atom else f"({self._text})"

    def __add__(self, other: object) -> _Symbol:
        return _Symbol(f"{self} + {other}", atom=False)

    def __sub__(self, other: object) -> _Symbol:
        return _Symbol(f"{self} - {_factor(other)}", atom=False)

    def __mul__(self, other: object) -> _Symbol:
        return _Symbol(f"{self._factor()} * {_factor(other)}")

    def __floordiv__(self, other: object) -> _Symbol:
        return _Symbol(f"{self._factor()} // {_factor(other)}")


def _factor(value: object) -> str:
    return value._factor() if isinstance(value, _Symbol) else str(value)


def _symbolic(problem: GpuProblem) -> Shape:
    return Shape("symbolic", {name: cast(int, _Symbol(name)) for name in problem.sizes})


def cuda_signature(problem: GpuProblem, dtype: str) -> str:
    """The C++ parameter list of every kernel of a ``cuda`` program for this problem."""
    shape = _symbolic(problem)
    parts = []
    for spec in problem.inputs(shape, dtype):
        if isinstance(spec, ScalarSpec):
            parts.append(f"{'long long' if spec.kind == 'int' else 'double'} {spec.name}")
        else:
            parts.append(f"const {CUDA_TYPES[spec.element]}* {spec.name}")
    parts += [f"{CUDA_TYPES[spec.element]}* {spec.name}" for spec in problem.outputs(shape, dtype)]
    parts += [f"long long {name}" for name in problem.cuda_sizes(shape, dtype)]
    return ", ".join([*parts, "void* scratch", "int round"])


def _line(spec: ArraySpec | ScalarSpec) -> str:
    what = f": {spec.what}" if spec.what else ""
    if isinstance(spec, ScalarSpec):
        return f"- `{spec.name}`, {spec.kind}{what}"
    dims = ", ".join(str(d) for d in spec.shape) + ("," if len(spec.shape) == 1 else "")
    where = ", in host memory" if spec.host else ""
    return f"- `{spec.name}`, {spec.element}, shape ({dims}){where}{what}"


def prompt_for(problem: GpuProblem, dialect: str, dtype: str) -> str:
    """The whole prompt of ``problem``; it says nothing of the hardware, of seeds or of any test's sizes."""
    shape = _symbolic(problem)
    inputs, outputs = problem.inputs(shape, dtype), problem.outputs(shape, dtype)
    tolerance = problem.tolerance(dtype)
    names = ", ".join([*(spec.name for spec in inputs), "out"])
    several = len(outputs) > 1
    kind = {"torch": "tensors", "triton": "tensors", "cupy": "CuPy arrays", "cuda": "arrays"}[dialect]
    sections = [f"Write a GPU program in {_LANGUAGE[dialect]} for this task, in {dtype}.", problem.task.strip()]
    if dialect == "cuda":
        first = next(iter(problem.sizes))
        example = f"ceil_div({first}, 256)"
        sections.append(_CUDA_CONTRACT.format(example=example, signature=cuda_signature(problem, dtype)))
    else:
        target = (
            "`out` is a tuple of the buffers listed below, in that order"
            if several
            else "`out` is the buffer below"
        )
        sections.append(
            f"Define `solve({names})`. {target}: write the result into it, in place; what `solve` returns is "
            "ignored."
        )
    sections.append("Inputs:\n" + "\n".join(_line(spec) for spec in inputs))
    sections.append("Output:\n" + "\n".join(_line(spec) for spec in outputs))
    sections.append(
        "Sizes: "
        + "; ".join(f"`{name}` = {what}" for name, what in problem.sizes.items())
        + ". They change between calls and need not be multiples of anything."
    )
    where = (
        "on the GPU"
        if not any(isinstance(s, ArraySpec) and s.host for s in inputs)
        else ("on the GPU unless marked as host memory")
    )
    rules = [
        f"All {kind} are contiguous in row-major order and {where}. Do not modify the inputs.",
        "The output buffers hold garbage before the call. All work must be complete, or queued on the current "
        "stream, when `solve` returns."
        if dialect != "cuda"
        else "The output buffers hold garbage before the call.",
        "The program is called many times with fresh values in the same or in other buffers; every call must "
        "compute its result from its own inputs. Nothing may be kept from one call to the next but compiled "
        "code, tuning choices and workspace.",
        f"Correct means |got - want| <= {tolerance.atol:g} + {tolerance.rtol:g} * |want| for every element "
        f"({tolerance.reason}); integer outputs must be equal. Element types and precision may not be lowered.",
        "It is checked on several sizes and then timed on a large one; faster is better.",
        _DIALECT_RULES[dialect],
    ]
    sections.append("Rules:\n" + "\n".join(f"- {rule}" for rule in rules))
    fence = "cuda" if dialect == "cuda" else "python"
    sections.append(f"Answer with the whole program in one ```{fence} block.")
    return "\n\n".join(sections) + "\n"
