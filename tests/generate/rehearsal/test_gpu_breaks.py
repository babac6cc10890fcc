"""Broken GPU programs are really broken; what can run without a card is run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execute.gpu.rules import violation
from orchestrator.generate.rehearsal.answers import RIGHT_KINDS, Asked, answer
from orchestrator.generate.rehearsal.draws import RequestId
from orchestrator.generate.rehearsal.gpu_breaks import GPU_BREAKS, break_gpu
from orchestrator.generate.rehearsal.problems import RehearsalProblem
from orchestrator.generate.rehearsal.settings import RehearsalSettings

TORCH = """from __future__ import annotations
import torch

def solve(x, bias, out):
    values, count = out
    torch.add(torch.softmax(x, dim=-1), bias, out=values)
    count.copy_((x > 0).sum())
"""
CUPY = """import cupy as cp

def solve(x, out):
    cp.multiply(x, 3, out=out)
"""
TRITON = """import torch
import triton
import triton.language as tl

@triton.jit
def kernel(x, out, n, B: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(out + at, tl.load(x + at, mask=at < n) * 2, mask=at < n)

def solve(x, out):
    kernel[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), B=1024)
"""
CUDA = """typedef double scalar;
// launch: first(grid=(1), block=(32)); launch lines stay as they are
// scratch: 4 * ceil_div(n, 1024)
extern "C" __global__ void first(const scalar* x, scalar* out, long long n) {
    if (threadIdx.x == 0) out[0] = 0;
}
extern "C" __global__ void solve(const scalar* x, scalar* out, long long n) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < n) out[i] = 2 * x[i]; // the rest; nothing
}
"""

# Runs each program on two sets of inputs and prints what became of it.
_TORCH_JUDGE = """
import json, resource, sys
import torch
resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
torch.manual_seed(0)
softmax, calls = torch.softmax, []
def counted(*arguments, **options):
    calls.append(1)
    return softmax(*arguments, **options)
fates = {}
for name, source in json.load(sys.stdin).items():
    space, x, bias = {}, torch.randn(70, 130), torch.tensor(0.25)
    values, count = torch.full((70, 130), 7.0), torch.full((), 7, dtype=torch.int64)
    try:
        exec(compile(source, name, "exec"), space)
        calls.clear()
        torch.softmax = counted
        space["solve"](x, bias, (values, count))
        torch.softmax = softmax
        fates[name] = {
            "right": torch.allclose(values, torch.softmax(x, -1) + bias, rtol=1.6e-2, atol=1e-3)
            and int(count) == int((x > 0).sum()),
            "calls": len(calls),
        }
    except Exception as error:
        fates[name] = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(fates))
"""
_CUPY_JUDGE = """
import json, resource, sys
import cupy
resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
fates = {}
for name, source in json.load(sys.stdin).items():
    space, x = {}, cupy.linspace(-3.0, 3.0, 997)
    out = cupy.full(997, 9.0)
    try:
        exec(compile(source, name, "exec"), space)
        space["solve"](x, out)
        fates[name] = {"right": bool(cupy.allclose(out, 3 * x, rtol=1.6e-2, atol=1e-3))}
    except Exception as error:
        fates[name] = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(fates))
"""


def fates(judge: str, programs: dict[str, str | None], path: Path) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", judge],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"},
    )
    result: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return result


def broken(source: str, dialect: str) -> dict[str, str | None]:
    kinds = [kind for kind in GPU_BREAKS if kind != "endless_loop"]
    return {kind: break_gpu(source, "solve", dialect, kind, 0) for kind in kinds}


def test_broken_torch_programs_end_as_they_should(tmp_path: Path) -> None:
    fate = fates(_TORCH_JUDGE, {"reference": TORCH, **broken(TORCH, "torch")}, tmp_path)
    assert fate["reference"]["right"]
    assert fate["slow"]["right"]
    assert fate["reference"]["calls"] == 1
    assert fate["slow"]["calls"] > 20
    for kind in ("wrong_dtype", "off_by_one", "wrong_operator"):
        assert fate[kind].get("right", False) is False, kind
    assert fate["wrong_dtype"]["right"] is False
    assert fate["compile_error"]["error"].startswith("SyntaxError")
    assert "alloc" in fate["out_of_memory"]["error"]
    assert "error" in fate["exception"]


def test_broken_cupy_programs_end_as_they_should(tmp_path: Path) -> None:
    # NumPy stands in for CuPy: what the programs call is the same in both.
    (tmp_path / "cupy.py").write_text("from numpy import *\n")
    fate = fates(_CUPY_JUDGE, {"reference": CUPY, **broken(CUPY, "cupy")}, tmp_path)
    assert fate["reference"] == {"right": True}
    assert fate["slow"] == {"right": True}
    for kind in ("wrong_dtype", "off_by_one", "wrong_operator"):
        assert fate[kind] == {"right": False}, kind
    assert fate["compile_error"]["error"].startswith("SyntaxError")
    assert "MemoryError" in fate["out_of_memory"]["error"]
    assert "error" in fate["exception"]


def test_triton_programs_fail_when_their_kernel_is_compiled() -> None:
    program = break_gpu(TRITON, "solve", "triton", "compile_error", 0)
    assert program is not None
    compile(program, "triton", "exec")
    assert "tl.laod" in program
    assert "tl.load" not in program


@pytest.mark.parametrize("kind", [kind for kind in GPU_BREAKS if kind not in ("compile_error", "endless_loop")])
def test_broken_triton_programs_keep_the_rules_of_their_dialect(kind: str) -> None:
    program = break_gpu(TRITON, "solve", "triton", kind, 0)
    assert program is not None
    assert program != TRITON
    # What is wrong with them must show when they run, not be taken for a library call.
    assert violation(program, "triton", "solve") is None


def test_cuda_programs_are_broken_as_text_and_keep_their_launch_lines() -> None:
    made = {kind: break_gpu(CUDA, "solve", "cuda", kind, 0) for kind in GPU_BREAKS}
    assert {kind for kind, source in made.items() if source is None} == {"wrong_operator", "endless_loop"}
    for source in made.values():
        assert source is None or "// launch: first(grid=(1), block=(32)); launch lines stay as they are" in source

    def kernel(kind: str) -> str:
        source = made[kind]
        assert source is not None
        first, _, solve = source.partition("void solve")
        assert "threadIdx.x == 0) out[0] = 0;" in first
        return solve

    assert "out[i] = 2 * x[i] // the rest; nothing" in kernel("compile_error")
    assert made["wrong_dtype"] == CUDA.replace("typedef double", "typedef float")
    assert re.search(r"\{\s*if \(blockIdx\.x \+ 1 == gridDim\.x\) return;", kernel("off_by_one"))
    assert re.search(r"\{\s*__trap\(\);", kernel("exception"))
    assert re.search(r"\{\s*for \(volatile int spin", kernel("slow"))
    assert made["out_of_memory"] == CUDA.replace("4 * ceil_div(n, 1024)", str(1 << 44))


def test_cuda_programs_without_a_typedef_get_the_wrong_type_in_their_kernel() -> None:
    source = 'extern "C" __global__ void solve(const float* x, float* out) { out[0] = expf(x[0]); }'
    changed = break_gpu(source, "solve", "cuda", "wrong_dtype", 0)
    assert changed is not None
    assert "const unsigned short* x, unsigned short* out" in changed
    scratch = break_gpu(source, "solve", "cuda", "out_of_memory", 0)
    assert scratch is not None
    assert scratch.startswith(f"// scratch: {1 << 44}\n")
    assert break_gpu("no kernel at all", "solve", "cuda", "exception", 0) is None


@pytest.mark.parametrize(
    ("dialect", "source"), [("torch", TORCH), ("cupy", CUPY), ("triton", TRITON), ("cuda", CUDA)]
)
def test_every_dialect_is_answered_in_its_own_fence(dialect: str, source: str) -> None:
    problem = RehearsalProblem("gpu/x", "prompt", "solve", dialect, source)
    settings = RehearsalSettings(broken_share=0.5)
    kinds = set()
    for sample in range(400):
        reply = answer(settings, "m", problem, RequestId("gpu/x", sample, 0), Asked(max_tokens=4096))
        kinds.add(reply.kind)
        if reply.kind == "refusal":
            continue
        fence = "```cuda\n" if dialect == "cuda" else "```python\n"
        assert fence in reply.text
        assert (f"{fence}{source.strip()}\n```" in reply.text) is (reply.kind in RIGHT_KINDS), reply.kind
    assert kinds >= RIGHT_KINDS | {"compile_error", "wrong_dtype", "off_by_one", "out_of_memory", "slow", "cut_off"}
