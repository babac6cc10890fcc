"""What can be read off a program's text."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from orchestrator.execute.gpu.rules import violation
from tasks.gpu.catalog import get, names
from tasks.gpu.problem import DIALECTS

KERNEL = 'extern "C" __global__ void solve(float* out) { out[0] = 1; }\n'
HEAD = "import torch, math\nimport triton\nimport triton.language as tl\n@triton.jit\ndef k(x): tl.sum(x @ x)\n"
TRITON = HEAD + "def solve(x, out): k[(1,)](x)\n"


def host(*lines: str) -> str:
    """A Triton program with a kernel, and these lines in its ``solve``."""
    return HEAD + "def solve(x, out):\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("dialect", "program", "part"),
    [
        ("torch", "import cupy as cp\n", "imports cupy"),
        ("torch", "from triton import jit\n", "imports triton"),
        ("torch", "def solve(x, out):\n    import ctypes\n", "imports ctypes"),
        ("torch", "from torch.utils import cpp_extension\n", "C++ extension"),
        ("torch", "import torch.utils.cpp_extension as e\ne.load_inline('x', '')\n", "C++ extension"),
        ("torch", "import torch\ntorch.utils.cpp_extension.load('x', ['x.cpp'])\n", "C++ extension"),
        ("torch", "from torch.utils import *\nload_inline('x', '')\n", "C++ extension"),
        ("cupy", "import torch\n", "imports torch"),
        ("triton", "import torch\ndef solve(x, out): torch.sum(x, 0, out=out)\n", "no @triton.jit kernel"),
        ("cuda", "import torch\ndef solve(x, out):\n    pass\n", "a Python program where raw CUDA"),
        ("cuda", "// nothing here\nint f() { return 1; }\n", "no __global__ kernel"),
        ("cuda", "// __global__ in a comment only\nimport torch\n", "a Python program"),
        ("cuda", "#include <cublas_v2.h>\n" + KERNEL, "includes cublas_v2.h"),
        ("cuda", "#include <thrust/sort.h>\n" + KERNEL, "includes thrust/sort.h"),
        ("triton", KERNEL, "CUDA C++ source where a triton program"),
    ],
)
def test_broken(dialect: str, program: str, part: str) -> None:
    assert part in (violation(program, dialect, "solve") or "")


@pytest.mark.parametrize(
    ("dialect", "program"),
    [
        ("torch", "import torch, math\nimport torch.nn.functional as F\ndef solve(x, out): out.copy_(F.relu(x))\n"),
        ("cupy", "import cupy as cp\nimport cupyx\ndef solve(x, out): out[...] = cp.exp(x)\n"),
        ("triton", TRITON),
        ("cuda", KERNEL),
        ("cuda", "#include <cuda_fp16.h>\n// #include <cub/cub.cuh>\n" + KERNEL),
        ("torch", "def solve(x, out:\n"),
        ("cuda", '#include "mma.h"\n__device__ char a = 1\'0; // #include <cub/cub.cuh>\n' + KERNEL),
        ("cuda", '__device__ const char* a = R"(\n#include <cub/cub.cuh>\n)";\n' + KERNEL),
    ],
)
def test_kept(dialect: str, program: str) -> None:
    assert violation(program, dialect, "solve") is None


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("torch.softmax(x, dim=1, out=out)", "torch.softmax outside of a kernel"),
        ("torch.nn.functional.softmax(x, 1)", ".softmax outside"),
        ("torch.compile(solve)", "torch.compile outside"),
        ("torch.linalg.solve(x, x)", "torch.linalg outside"),
        ("torch.fft.rfft(x)", "torch.fft outside"),
        ("torch.ops.aten.mm(x, x)", ".mm outside"),
        ("torch._C._nn.gelu(x)", "outside of a kernel"),
        ("torch.Tensor.matmul(x, x)", ".matmul outside"),
        ("y = x @ x", "matrix product (@)"),
        ("out @= x", "matrix product (@)"),
        ("y = x.matmul(x)", ".matmul outside"),
        ("y = x.__matmul__(x)", "uses __matmul__"),
        ("y = x.sum(dim=1)", ".sum outside"),
        ("y = x.float()", ".float outside"),
        ("torch = x; y = torch.finfo(0).max(1)", ".max outside"),
        ("y = x.to(torch.float32)", ".to(torch.float32) outside"),
        ("y = x.to(dtype=torch.float64)", ".to(torch.float64) outside"),
        ("out[...] = x.T", "assigns to elements"),
        ("out[:, 1] += x", "assigns to elements"),
        ("import torch.nn.functional as F", "imports torch.nn.functional"),
        ("from torch import matmul", "imports torch.matmul"),
        ("from torch import *", "imports torch.*"),
        ("import importlib", "imports importlib"),
        ("import sys", "imports sys"),
        ("import cupy", "imports cupy"),
        ("import threading", "imports threading"),
        ("from typing import sys", "uses sys"),
        ("math.sys", "uses sys"),
        ("triton.knobs.runtime.interpret = True", "uses knobs"),
        ("k.fn(x)", "uses fn"),
        ("exec('out.copy_(x.T)')", "uses exec"),
        ("__import__('cupy')", "uses __import__"),
        ("getattr(torch, 'soft' + 'max')(x)", "made while running"),
        ("getattr(torch, 'softmax')(x)", "torch.softmax outside"),
        ("getattr(x, 'matmul')(x)", ".matmul outside"),
        ("SPACE['__builtins__']", "names __builtins__"),
        ("class C: locals().get('__annotation' + 's__')", "uses locals outside"),
        ("look = locals", "uses locals outside"),
        ("(n for n in ()).gi_frame.f_builtins['exec']", "uses f_builtins"),
        ("work = next(map(getattr, [k], ['f' + 'n']))", "passes getattr itself on"),
        ("look = getattr", "passes getattr itself on"),
        ("k.base_fn(x)", "uses base_fn"),
        ("__annotations__ = {'x=print()': int}", "uses __annotations__"),
        ("def __setattr__(self, name, value): KEPT.append(value)", "defines __setattr__"),
        ("helper(torch)", "passes torch itself on"),
        ("(lambda library: library)(torch)", "passes torch itself on"),
        ("import numpy as np; np.testing.runstring('', {})", "uses numpy.testing outside"),
        ("from numpy import testing", "imports numpy.testing"),
        ("import numpy.testing", "imports numpy.testing"),
        ("import numpy as np; n = [np]; n[0].testing", "passes numpy itself on"),
        ("import numpy as np; n = np; n.testing.runstring('', {})", "uses numpy.testing outside"),
        ("import numpy as np; getattr(np, 'testing')", "uses numpy.testing outside"),
        ("import numpy as np; np.exp(np.float32(1))", "uses numpy.exp outside"),
        ("y = x.numpy(force=True)", ".numpy outside"),
        ("from typing import get_type_hints", "imports typing.get_type_hints"),
        ("from typing import *", "imports typing.*"),
        ("import typing; typing.get_type_hints(solve)", "uses typing.get_type_hints outside"),
        ("import typing_extensions as t; t.ForwardRef('x')", "uses typing_extensions.ForwardRef outside"),
        ("import functools; functools.update_wrapper(out, k)", "uses functools.update_wrapper outside"),
        ("triton.testing.do_bench(solve)", "uses triton.testing outside"),
        ("from triton.runtime import interpreter", "uses interpreter"),
        ("t = triton.runtime; t.build", "uses triton.runtime.build outside"),
        ("tl.core.wraps", "uses triton.language.core.wraps outside"),
        ("tl.semantic.core", "uses triton.language.semantic outside"),
        ("torch.cuda.jiterator", "uses torch.cuda.jiterator outside"),
        ("from torch.cuda import jiterator", "imports torch.cuda.jiterator"),
        ("c = [torch.cuda]", "passes torch.cuda itself on"),
        ("triton.jit = lambda body: body", "changes triton"),
        ("math.sqrt = torch.Tensor.sqrt", "changes math"),
    ],
)
def test_library_calls_beside_a_triton_kernel(line: str, part: str) -> None:
    assert part in (violation(host(line), "triton", "solve") or "")


def test_a_decorator_of_another_make_is_no_kernel() -> None:
    for fake in (
        "def jit(f): return f\n@jit\ndef solve(x, out): torch.sum(x, out=out)\n",
        "class triton:\n    jit = lambda f: f\n@triton.jit\ndef solve(x, out): torch.sum(x, out=out)\n",
        "def make(jit):\n    @jit\n    def solve(x, out): torch.sum(x, out=out)\n    return solve\n",
        "from functools import cache as jit\n@jit\ndef solve(x, out): torch.sum(x, out=out)\n",
        "@triton.jit\n@keep\ndef solve(x, out): torch.sum(x, out=out)\n",
        "@torch.jit.script\ndef solve(x, out): torch.sum(x, out=out)\n",
    ):
        assert violation("import torch\nimport triton\nfrom triton import jit\n" + fake, "triton", "solve")


def test_the_names_of_the_module_are_not_looked_up() -> None:
    assert violation(host("parsed = dict(locals())"), "triton", "solve") is None
    assert "uses locals outside" in (
        violation(TRITON + "locals().get('__builtin' + 's__')\n", "triton", "solve") or ""
    )


def test_torch_by_another_name_is_still_torch() -> None:
    program = HEAD.replace("import torch, math", "import torch as t") + "def solve(x, out): t.sum(x, out=out)\n"
    assert "torch.sum outside" in (violation(program, "triton", "solve") or "")


def test_what_the_host_side_of_a_triton_program_may_do() -> None:
    lines = (
        "x = x.contiguous()",
        "rows, cols = x.shape[0], x.stride(0)",
        "block = min(max(triton.next_power_of_2(cols), 16), 1 << math.ceil(math.log2(cols)))",
        "work = torch.empty_like(x, dtype=torch.float32)",
        "sums = torch.zeros((rows,), dtype=torch.float, device=x.device)",
        "SEEN = {}",
        "SEEN[x.shape] = work.view(-1).reshape(2, -1)",
        "SEEN.setdefault('names', set()).add(str(x.dtype))",
        "wide = tl.float64 if x.dtype == torch.float64 else tl.float32",
        "out.zero_()",
        "out[...] = 0",
        "out.copy_(x)",
        "many = torch.cuda.get_device_properties(x.device).multi_processor_count",
        "with torch.no_grad(): k[lambda meta: (triton.cdiv(rows, meta['BLOCK']),)](x, work, BLOCK=block)",
        "assert x.is_cuda and isinstance(x, torch.Tensor) and x.data_ptr() % 16 == 0",
    )
    assert violation(host(*lines), "triton", "solve") is None


def test_the_names_that_triton_programs_are_usually_made_of() -> None:
    program = """
from __future__ import annotations

import collections.abc
import contextlib
import enum
import functools
import itertools
import math
import time
import typing
import warnings
from collections import defaultdict, namedtuple
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Any, Callable, Dict, List, Literal, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.cuda
import triton
import triton.language as tl
from math import *
from torch import Tensor
from triton import Config, autotune, cdiv, jit, next_power_of_2
from triton.language import float32, int32
from triton.language.extra import libdevice as libm
from triton.runtime import driver
from triton.runtime.autotuner import heuristics
from triton.tools.tensor_descriptor import TensorDescriptor

try:
    from triton.language.extra.cuda import libdevice
except ImportError:
    libdevice = tl.math
try:
    import triton.language.extra.libdevice as newer
except ImportError:
    newer = None
HAS_NEWER = newer is not None

DEVICE = triton.runtime.driver.active.get_active_torch_device()
PROPERTIES = driver.active.utils.get_device_properties(DEVICE.index)
IS_HOPPER = torch.cuda.get_device_capability()[0] >= 9 and driver.active.get_current_target().backend == "cuda"
DTYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.int64: tl.int64}
LOW = getattr(tl, "float8e4nv", None) if hasattr(torch, "float8_e4m3fn") else tl.core.float16
CONFIGS = [Config({"B": b}, num_warps=w, num_stages=s) for b, w, s in itertools.product([64, 128], [4, 8], [2, 3])]
language = triton.language
exp2 = language.exp2
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.benchmark = True
torch.set_float32_matmul_precision("highest")
triton.set_allocator(lambda size, align, stream: torch.empty(size, dtype=torch.int8, device="cuda"))


class Plan(NamedTuple):
    blocks: int
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Shape:
    rows: int
    more: Dict[str, Any] = field(default_factory=dict)


@autotune(configs=CONFIGS, key=["n"], prune_configs_by={"early_config_prune": lambda configs, *a, **k: configs})
@triton.heuristics({"EVEN": lambda args: args["n"] % args["B"] == 0})
@jit
def kernel(x, out, n, B: tl.constexpr, EVEN: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(out + at, libdevice.tanh(exp2(tl.load(x + at, mask=at < n))), mask=at < n)


@lru_cache(maxsize=None)
def plan(n: int, scale: float = 1.0 / math.sqrt(64)) -> Plan:
    return Plan(functools.reduce(lambda a, b: a * b, (cdiv(n, 64), int(np.ceil(np.log2(n))))))


def solve(x: Tensor, out: Union[Tensor, Tuple[Tensor, ...]], stream: Optional[torch.cuda.Stream] = None) -> None:
    n, bits = x.numel(), np.iinfo(np.int32).bits
    low, high = -torch.finfo(torch.float32).max, float(np.finfo(np.float32).min)
    most = torch.iinfo(torch.int32).max
    if n > np.prod(x.shape):
        warnings.warn("?")
    try:
        with torch.cuda.device(x.device), torch.cuda.stream(torch.cuda.current_stream()):
            kernel[lambda meta: (triton.cdiv(n, meta["B"]),)](x, out, n)
    except triton.runtime.errors.OutOfResources:
        pass
    torch.cuda.synchronize()
"""
    assert violation(program, "triton", "solve") is None


@pytest.mark.parametrize(
    "program",
    [
        '__device__ const char* a = "/*";\n#include <cub/cub.cuh>\n__device__ const char* b = "*/";\n',
        "__device__ int a = 1'0 + '/*';\n#include <cub/cub.cuh>\n__device__ int b = '*/';\n",
        "// a comment that goes on \\\n/*\n#include <cub/cub.cuh>\n//*/\n",
        "#define H <cub/cub.cuh>\n#include H\n",
        "%:include <cub/cub.cuh>\n",
        "#inc\\\nlude <cub/cub.cuh>\n",
        "# /* \n */ include <cub/cub.cuh>\n",
        "#include_next <cub/cub.cuh>\n",
        "#include <cuda_fp16.h/*>\n*/ <cub/cub.cuh>\n",
        "#include <cuda_fp16.h>\r#include <cub/cub.cuh>\n",
    ],
)
def test_includes_in_disguise(program: str) -> None:
    assert "includes" in (violation(program + KERNEL, "cuda", "solve") or "")


@pytest.mark.parametrize("prefix", ["R", "LR", "uR", "UR", "u8R", "u8\\\nR", "R\\\n"])
@pytest.mark.parametrize("end", ["\\\n", "\\\r\n", "\\\r", "\\ \t\n", "??/\n"])
def test_a_raw_string_and_a_continued_line_are_not_read_alike_by_all(prefix: str, end: str) -> None:
    hidden = f'__device__ auto s = {prefix}"x(){end}x" /* )x";\n#include <cub/cub.cuh>\n/* */\n'
    for start in ("", "// \\\n/*\n"):
        assert "both a raw string" in (violation(start + hidden + KERNEL, "cuda", "solve") or "")


def test_a_raw_string_or_a_continued_line_alone_is_read() -> None:
    lines = "#define MAX(a, b) \\\n    ((a) > (b) ? (a) : (b))\n"
    assert violation(lines + KERNEL, "cuda", "solve") is None
    assert violation(lines + '__device__ const char* a = "BAR" "\\n";\n' + KERNEL, "cuda", "solve") is None
    assert violation('__device__ const char* a = R"(a\\b)";\n' + KERNEL, "cuda", "solve") is None


def test_every_reference_program_keeps_the_rules() -> None:
    judged = 0
    for name in names():
        problem = get(name)
        for dialect in DIALECTS:
            for dtype in problem.dtypes:
                if problem.supports(dialect, dtype):
                    judged += 1
                    assert violation(problem.reference(dialect, dtype), dialect, "solve") is None, (name, dialect)
    assert judged > 200


def test_what_is_only_run_by_hand_is_nobodys_business() -> None:
    by_hand = "if __name__ == '__main__':\n    print(torch.allclose(torch.rand(3) @ torch.rand(3), x.sum()))\n"
    assert violation(TRITON + by_hand, "triton", "solve") is None
    assert violation(TRITON + by_hand + "else:\n    torch.rand(3)\n", "triton", "solve")
    assert violation(TRITON + "__name__ = '__main__'\n" + by_hand, "triton", "solve")
    assert violation(TRITON + by_hand.replace("== '__main__'", "!= '__main__'"), "triton", "solve")


@pytest.mark.parametrize(
    "test",
    ["not " * 80 + "0", "0+" * 900 + "0", "__name__ == '__main__' == 1", "__name__ is '__main__'", "'__main__'"],
)
def test_only_one_shape_of_test_guards_what_is_run_by_hand(test: str) -> None:
    assert violation(f"{TRITON}if {test}: pass\n", "triton", "solve") is None
    assert violation(f"{TRITON}if {test}: torch.rand(3)\n", "triton", "solve")


@pytest.mark.parametrize(
    ("dialect", "program", "part"),
    [
        ("cuda", "\n" * 130_000, "no __global__"),
        ("cuda", 'R"(" ' * 25_000 + KERNEL, "None"),
        ("cuda", "".join(f'R"{number}(' for number in range(15_000)) + KERNEL, "None"),
        ("torch", "import " + ".".join(["b"] * 60_000), "200 parts"),
        ("torch", "import " + ".\\\n".join(["b\u0301"] * 20_000), "200 parts"),
        ("torch", f"from {'a' * 60_000} import {','.join('b' * 30_000)}", "None"),
        ("triton", f"{HEAD}{'(' * 150}a,{')' * 150} = 0\n", "None"),
    ],
)
def test_no_text_takes_long_or_much(dialect: str, program: str, part: str) -> None:
    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    look = (
        "import sys; from orchestrator.execute.gpu.rules import violation; "
        "print(violation(sys.stdin.buffer.read().decode(), sys.argv[1], 'solve'))"
    )
    # Without care these take minutes or gigabytes.
    command = [sys.executable, "-c", look, dialect]
    done = subprocess.run(command, input=program.encode(), stdout=subprocess.PIPE, preexec_fn=bound, check=True)
    assert part in done.stdout.decode()


def test_a_raw_string_ends_by_its_own_mark() -> None:
    hidden = '__device__ const char* a = R"x(\n#include <cub/cub.cuh>\n)";\n)x";\n'
    assert violation(hidden + KERNEL, "cuda", "solve") is None
    shown = '__device__ const char* a = R"x()x";\n#include <cub/cub.cuh>\n// )x"\n'
    assert "includes" in (violation(shown + KERNEL, "cuda", "solve") or "")
    endless = '__device__ int R; // R"y(\n#define S R"y(\n#include <cub/cub.cuh>\n'
    assert "includes" in (violation(endless + KERNEL, "cuda", "solve") or "")


def test_a_program_that_is_too_long_is_not_read() -> None:
    assert "bytes long" in (violation("#" * (128 << 10) + "\n", "torch", "solve") or "")
    assert "bytes long" in (violation("#" + "\u00e9" * (64 << 10), "torch", "solve") or "")
    assert violation("#" * ((128 << 10) - 1) + "\n", "torch", "solve") is None


def test_a_reason_is_short_and_can_be_written_down() -> None:
    for dialect, program in (
        ("triton", HEAD + "x.__" + "a" * 50_000 + "\n"),
        ("cuda", '#include "\ud800"\n' + KERNEL),
    ):
        reason = violation(program, dialect, "solve")
        assert reason is not None
        assert len(reason.encode()) <= 300
