"""What the host side of a Triton program may use of each package that it may import.

A package that is allowed as a whole brings its own ways out: it computes arrays (``numpy.exp``), evaluates text
(``numpy.testing.runstring``, ``typing.get_type_hints``) or hands functions on (``functools.update_wrapper``). So
names are listed, not packages.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

__all__ = ["MODULES", "TORCH", "may_use"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TORCH: Final = _words(
    """
    Tensor Size Generator device dtype layout memory_format cuda version backends
    empty empty_like empty_strided zeros zeros_like ones ones_like full full_like arange tensor as_strided
    as_tensor from_dlpack finfo iinfo inf nan pi e
    float16 float32 float64 bfloat16 half float double int8 int16 int32 int64 uint8 uint16 uint32 uint64
    short int long bool float8_e4m3fn float8_e5m2
    contiguous_format preserve_format channels_last strided
    is_tensor is_floating_point numel promote_types result_type no_grad inference_mode
    set_grad_enabled set_float32_matmul_precision get_device_module cdiv
    """
)
"""Names of torch that make, describe or allocate, and compute nothing."""
_TYPING: Final = _words(
    """
    Annotated Any AnyStr Callable ClassVar Collection Concatenate Container DefaultDict Deque Dict Final
    FrozenSet Generator Generic Hashable Iterable Iterator List Literal Mapping MutableMapping MutableSequence
    NamedTuple Never NewType NoReturn NotRequired Optional OrderedDict ParamSpec Protocol Required Reversible
    Self Sequence Set Sized SupportsFloat SupportsIndex SupportsInt Text Tuple Type TypeAlias TypedDict
    TypeGuard TypeVar TYPE_CHECKING Union
    cast final overload override
    """
)
"""What annotations are made of; nothing that evaluates them."""
_DTYPES: Final = _words(
    """
    bool bool_ byte ubyte short ushort half single double longdouble intc uintc int_ uint intp uintp
    int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128
    """
)
_OUT_OF_LANGUAGE: Final = _words("core semantic standard random target_info")
"""Modules of triton.language that hold what it is made with; its functions stand beside them."""

MODULES: Final = MappingProxyType(
    {
        "__future__": None,
        "abc": _words("ABC abstractmethod"),
        "collections": _words("abc namedtuple defaultdict OrderedDict Counter deque ChainMap"),
        "collections.abc": None,
        "contextlib": _words("contextmanager nullcontext suppress ExitStack"),
        "dataclasses": _words("dataclass field replace asdict KW_ONLY"),
        "enum": _words("Enum IntEnum StrEnum Flag IntFlag auto unique"),
        "functools": _words("lru_cache cache cached_property partial reduce cmp_to_key"),
        "itertools": None,
        "math": None,
        "numbers": _words("Number Complex Real Rational Integral"),
        "numpy": _DTYPES
        | _words(
            """
            ndarray dtype generic number integer signedinteger unsignedinteger inexact floating
            iinfo finfo inf nan pi e newaxis ceil floor sqrt log2 prod __version__
            """
        ),
        "time": None,
        "torch": TORCH,
        "torch.backends": _words("cuda cudnn"),
        "torch.backends.cuda": _words("matmul is_built"),
        "torch.backends.cudnn": _words("allow_tf32 benchmark deterministic enabled is_available version"),
        "torch.cuda": _words(
            """
            is_available is_initialized init device_count current_device set_device device device_of synchronize
            get_device_properties get_device_name get_device_capability get_arch_list is_bf16_supported
            Stream ExternalStream Event stream set_stream current_stream default_stream CUDAGraph graph
            is_current_stream_capturing empty_cache mem_get_info memory_allocated max_memory_allocated
            memory_reserved max_memory_reserved reset_peak_memory_stats memory_stats OutOfMemoryError
            """
        ),
        "triton": _words(
            """
            jit autotune heuristics Config cdiv next_power_of_2 language runtime compiler tools set_allocator
            constexpr_function reinterpret TensorWrapper MockTensor OutOfResources CompilationError __version__
            """
        ),
        "triton.compiler": _words("CompilationError errors"),
        "triton.compiler.errors": _words("CompilationError"),
        "triton.language": None,
        "triton.language.core": _DTYPES | _words("bfloat16 int1 float8e4nv float8e5 constexpr dtype pointer_type"),
        "triton.language.extra": _words("cuda libdevice"),
        "triton.language.extra.cuda": None,
        "triton.language.extra.cuda.libdevice": None,
        "triton.language.extra.libdevice": None,
        "triton.language.libdevice": None,
        "triton.language.math": None,
        "triton.runtime": _words("driver Config OutOfResources autotune heuristics autotuner errors"),
        "triton.runtime.autotuner": _words("Config OutOfResources autotune heuristics"),
        "triton.runtime.driver": _words("driver active"),
        "triton.runtime.driver.driver": _words("active"),
        "triton.runtime.errors": _words("OutOfResources PTXASError"),
        "triton.tools": _words("tensor_descriptor"),
        "triton.tools.tensor_descriptor": _words("TensorDescriptor"),
        "typing": _TYPING,
        "typing_extensions": _TYPING,
        "warnings": _words("warn simplefilter filterwarnings catch_warnings"),
    }
)
"""Module that may be imported -> names of it that may be used; None: all that do not begin with an underscore."""


def may_use(module: str, name: str) -> bool:
    """Whether a Triton program may use ``name`` of ``module``, which is one of :data:`MODULES`."""
    if f"{module}.{name}" in MODULES and module.startswith("triton.language"):
        return True
    listed = MODULES[module]
    if listed is not None:
        return name in listed
    inner = module.startswith("triton.language") and name in _OUT_OF_LANGUAGE
    return not name.startswith("_") and not inner
