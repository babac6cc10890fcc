"""What a GPU problem is: the types that every file in ``tasks/gpu/problems`` fills in.

Nothing here imports torch or cupy, so that a CUDA-free process can load the suite.

Number formats are named twice. A *dtype* is what a sweep asks for (``fp64``, ``fp32``, ``bf16``, ``fp16``). An
*element type* is what one array holds, by torch's names (``float64``, ``float32``, ``bfloat16``, ``float16``,
``int64``, ``int32``). NumPy has no ``bfloat16``: on the host such an array is ``float32`` whose values are
already rounded to bfloat16, so that converting it on the device loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.gpu.draw import Draw, NumpyDraw

if TYPE_CHECKING:
    import torch

__all__ = [
    "CUDA_TYPES",
    "DIALECTS",
    "DTYPES",
    "ELEMENT_BYTES",
    "ELEMENT_OF",
    "MEMORY_SHARE",
    "Array",
    "ArraySpec",
    "GpuProblem",
    "InputSpec",
    "ScalarSpec",
    "Shape",
    "Tolerance",
    "Value",
    "host_dtype",
]

Array = NDArray[Any]
Value = Array | int | float
"""One input on the host: an array, or a Python number for a scalar."""

DTYPES: Final = ("fp64", "fp32", "bf16", "fp16")
DIALECTS: Final = ("torch", "cupy", "triton", "cuda")

ELEMENT_OF: Final[Mapping[str, str]] = {
    "fp64": "float64",
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
}
"""dtype of a sweep -> element type of the problem's floating-point arrays."""

ELEMENT_BYTES: Final[Mapping[str, int]] = {
    "float64": 8,
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "int64": 8,
    "int32": 4,
}
"""Bytes of one element on the device."""

CUDA_TYPES: Final[Mapping[str, str]] = {
    "float64": "double",
    "float32": "float",
    "bfloat16": "__nv_bfloat16",
    "float16": "__half",
    "int64": "long long",
    "int32": "int",
}
"""Element type -> C++ type of a pointer's target in a ``cuda`` program."""

MEMORY_SHARE: Final = 1 / 6
"""Inputs and outputs of any shape together take at most this share of the card's memory, so that an 8 GB card does:
beside the program's own buffers stand those of the reference, fresh inputs, a copy of the output, four contexts and
the workspace of both programs."""


def host_dtype(element: str) -> np.dtype[Any]:
    """NumPy dtype that carries ``element`` on the host (``float32`` for ``bfloat16``)."""
    return np.dtype("float32" if element == "bfloat16" else element)


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array that a program gets or fills. Always contiguous, in C order."""

    name: str
    shape: tuple[int, ...]
    element: str
    """Element type, e.g. ``float32``."""
    what: str = ""
    """What it holds, for the prompt."""
    host: bool = False
    """True: stays in host memory (``torch``: a CPU tensor; ``cupy``: a NumPy array). Inputs only."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return self.size * ELEMENT_BYTES[self.element]


@dataclass(frozen=True, slots=True)
class ScalarSpec:
    """One Python number that a program gets."""

    name: str
    kind: Literal["int", "float"]
    """A ``cuda`` kernel gets an ``int`` as ``long long`` and a ``float`` as ``double``."""
    what: str = ""


InputSpec = ArraySpec | ScalarSpec


@dataclass(frozen=True, slots=True)
class Shape:
    """One size of a problem: its named dimensions, e.g. ``{"m": 5000, "k": 5000}``, in the problem's order."""

    name: str
    dims: Mapping[str, int]
    timed: bool = False
    """True for the one shape that is timed; the others only check correctness, and are small."""

    def __getitem__(self, dim: str) -> int:
        return self.dims[dim]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A result is right where ``|got - want| <= atol + rtol * |want|``. Integer outputs must be equal."""

    rtol: float
    atol: float
    reason: str
    """Why these numbers, in a sentence: it stands in the prompt."""


@dataclass(frozen=True)
class GpuProblem:
    """One problem of the suite ``gpu``; everything but ``task`` stays on the trusted side."""

    name: str
    """Without the suite's prefix, e.g. ``softmax``. Equals the module's name."""
    level: Literal[1, 2, 3]
    """1: one library call would do. 2: fusing several pays. 3: a small application."""
    task: str
    """What is to be computed, as it stands in the prompt; no sizes of any test."""
    dtypes: tuple[str, ...]
    """Of :data:`DTYPES`, those that make sense here."""
    sizes: Mapping[str, str]
    """Name of each dimension -> what it is. Their order is the order of a ``cuda`` kernel's size arguments."""
    inputs: Callable[[Shape, str], tuple[InputSpec, ...]]
    """(shape, dtype) -> what the program gets, in order."""
    outputs: Callable[[Shape, str], tuple[ArraySpec, ...]]
    """(shape, dtype) -> what the program fills; with more than one, ``out`` is a tuple in this order."""
    draw: Callable[[Draw, Shape, str], list[Any]]
    """Makes the inputs with the given source of random arrays, on the host or on a device."""
    cpu_reference: Callable[..., tuple[Array, ...]]
    """The host inputs, in order -> expected outputs, as a CPU program would compute them with NumPy, pandas or
    pyarrow. Sixteen-bit inputs are computed and returned in float32 or float64."""
    references: Mapping[str, str]
    """Dialect -> source of an honest, good program. The keys are the dialects that are allowed."""
    tolerance: Callable[[str], Tolerance]
    flops: Callable[[Shape, str], int]
    """(shape, dtype) -> least operations of the usual algorithm."""
    correctness: tuple[Mapping[str, int], ...]
    """Dimensions of the small shapes."""
    timed: Callable[[float], Mapping[str, int]]
    """scale >= some small number -> dimensions of the timed shape; work grows about in proportion."""
    least_bytes: Callable[[Shape, str], int] | None = None
    """(shape, dtype) -> least bytes that must cross the memory bus, where that is not every input and output
    once."""
    dialect_dtypes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Dialect -> dtypes, where a dialect's reference does not cover all of ``dtypes``."""
    device_draw: bool = True
    """False: ``draw`` needs the host (data structures), so inputs are made there at every size."""

    @property
    def dialects(self) -> tuple[str, ...]:
        """Dialects that a submission may be written in, in the order of :data:`DIALECTS`."""
        return tuple(d for d in DIALECTS if d in self.references)

    def cuda_sizes(self, shape: Shape, dtype: str) -> tuple[str, ...]:
        """Names of the sizes that a ``cuda`` kernel gets after the outputs: those that no scalar input gives."""
        scalars = {spec.name for spec in self.inputs(shape, dtype) if isinstance(spec, ScalarSpec)}
        return tuple(name for name in self.sizes if name not in scalars)

    def supports(self, dialect: str, dtype: str) -> bool:
        """Whether the suite has this problem in this dialect and dtype."""
        if dialect not in self.references or dtype not in self.dtypes:
            return False
        if dialect == "cupy" and dtype == "bf16":  # CuPy has no bfloat16 arrays.
            return False
        return dtype in self.dialect_dtypes.get(dialect, self.dtypes)

    def shapes(self, memory_bytes: int, scale: float = 1.0) -> tuple[Shape, ...]:
        """The small shapes, then the timed one.

        Args:
            memory_bytes: memory of the card (what may be used of it).
            scale: work of the timed shape relative to its base size; larger than what fits is cut back.

        The timed shape's inputs and outputs stay under :data:`MEMORY_SHARE` of ``memory_bytes`` in the widest
        dtype of this problem, so that one scale serves all dtypes.

        Raises:
            ValueError: if ``scale`` is not positive or nothing fits.
        """
        if not scale > 0:
            raise ValueError(f"scale must be positive, not {scale}")
        small = tuple(Shape(f"small{i}", dims) for i, dims in enumerate(self.correctness))
        limit = memory_bytes * MEMORY_SHARE
        timed = Shape("timed", self.timed(scale), timed=True)
        while self.footprint(timed, self.dtypes[0]) > limit:
            scale *= 0.9
            if scale < 1e-6:
                raise ValueError(f"{self.name}: no timed shape fits in {memory_bytes} bytes")
            timed = Shape("timed", self.timed(scale), timed=True)
        return (*small, timed)

    def footprint(self, shape: Shape, dtype: str) -> int:
        """Bytes of all inputs and outputs of one call."""
        arrays = [*self.inputs(shape, dtype), *self.outputs(shape, dtype)]
        return sum(a.nbytes for a in arrays if isinstance(a, ArraySpec))

    def largest_footprint(self, dtype: str, memory_bytes: int, scale: float) -> int:
        """Bytes of the largest call's inputs and outputs, which every program holds whatever it does."""
        return max(self.footprint(shape, dtype) for shape in self.shapes(memory_bytes, scale))

    def bytes_moved(self, shape: Shape, dtype: str) -> int:
        """Least bytes that must cross the memory bus for one call: the roofline's traffic."""
        return self.footprint(shape, dtype) if self.least_bytes is None else self.least_bytes(shape, dtype)

    def make_inputs(self, seed: int, shape: Shape, dtype: str) -> list[Value]:
        """Inputs on the host, in order: NumPy arrays in :func:`host_dtype`, Python numbers for scalars.

        Equal arguments give equal inputs on every machine.
        """
        values = self.draw(NumpyDraw(seed), shape, dtype)
        made: list[Value] = []
        for spec, value in zip(self.inputs(shape, dtype), values, strict=True):
            if isinstance(spec, ScalarSpec):
                made.append(int(value) if spec.kind == "int" else float(value))
            else:
                made.append(_to_host(value, spec))
        return made

    def make_inputs_device(self, seed: int, shape: Shape, dtype: str, device: str) -> list[torch.Tensor | Any]:
        """Inputs of the same kind, drawn on ``device`` by torch: for timed shapes, where the host is slow.

        Arrays marked ``host`` come as CPU tensors. The values differ from those of :meth:`make_inputs` for the
        same seed, and may differ between kinds of device.
        """
        from tasks.gpu.draw import TorchDraw, to_device

        source: Draw = TorchDraw(seed, device) if self.device_draw else NumpyDraw(seed)
        values = self.draw(source, shape, dtype)
        made: list[Any] = []
        for spec, value in zip(self.inputs(shape, dtype), values, strict=True):
            if isinstance(spec, ScalarSpec):
                made.append(int(value) if spec.kind == "int" else float(value))
            else:
                made.append(to_device(value, spec.element, "cpu" if spec.host else device).contiguous())
        return made

    def reference(self, dialect: str, dtype: str) -> str:
        """The whole reference program for this dialect and dtype.

        A ``cuda`` source is written over a type ``scalar``, which this settles with a line in front.

        Raises:
            KeyError: if the suite does not have this problem in this dialect and dtype.
        """
        if not self.supports(dialect, dtype):
            raise KeyError(f"{self.name} has no {dialect} reference in {dtype}")
        source = self.references[dialect].lstrip("\n")
        if dialect != "cuda":
            return source
        include = {"fp16": "#include <cuda_fp16.h>\n", "bf16": "#include <cuda_bf16.h>\n"}.get(dtype, "")
        return f"{include}typedef {CUDA_TYPES[ELEMENT_OF[dtype]]} scalar;\n{source}"


def _to_host(value: Any, spec: ArraySpec) -> Array:
    from tasks.gpu.draw import round_bfloat16

    array = np.ascontiguousarray(value)
    if spec.element == "bfloat16":
        return round_bfloat16(array)
    return np.ascontiguousarray(array.astype(host_dtype(spec.element), copy=False))
