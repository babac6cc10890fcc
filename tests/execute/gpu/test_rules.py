"""What can be read off a program's text."""

from __future__ import annotations

import pytest

from orchestrator.execute.gpu.rules import violation

KERNEL = 'extern "C" __global__ void solve(float* out) { out[0] = 1; }\n'
TRITON = "import triton\n@triton.jit\ndef k(x): pass\ndef solve(x, out): k[(1,)](x)\n"


@pytest.mark.parametrize(
    ("dialect", "program", "part"),
    [
        ("torch", "import cupy as cp\n", "imports cupy"),
        ("torch", "from triton import jit\n", "imports triton"),
        ("torch", "def solve(x, out):\n    import ctypes\n", "imports ctypes"),
        ("torch", "from torch.utils import cpp_extension\n", "C++ extension"),
        ("torch", "import torch.utils.cpp_extension as e\ne.load_inline('x', '')\n", "C++ extension"),
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
    ],
)
def test_kept(dialect: str, program: str) -> None:
    assert violation(program, dialect, "solve") is None
