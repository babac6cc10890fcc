"""Every problem of the suite ``gpu``, broken in every dialect that runs without a card, gives wrong results."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.generate.rehearsal.gpu_breaks import break_gpu
from tasks.gpu.catalog import get, names
from tests.tasks.gpu.running import cupy_over_numpy, run_cupy, run_torch

pytestmark = pytest.mark.slow

MISTAKES = ("wrong_dtype", "off_by_one", "wrong_operator")

# Prints "right" or "wrong"; a program that reads wild may as well end its process.
_CUDA_JUDGE = """
import sys
from pathlib import Path
from tasks.gpu.catalog import get
from tasks.gpu.check import compare
from tests.tasks.gpu.running import EmulatedCuda
problem, dtype, folder = get(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
shape = problem.shapes(8 << 30)[0]
values = problem.make_inputs(7, shape, dtype)
want = problem.cpu_reference(*values)
got = EmulatedCuda(sys.stdin.read(), folder).run(problem, shape, dtype, values)
wrong = [compare(g, w, problem.tolerance(dtype)) for g, w in zip(got, want, strict=True)]
print("wrong" if any(wrong) else "right")
"""


def _cases(dialect: str) -> Iterator[tuple[str, str]]:
    for name in names():
        for dtype in get(name).dtypes:
            if get(name).supports(dialect, dtype):
                yield name, dtype


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dialect", ["torch", "cupy"])
def test_python_dialects(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.gpu.check import compare

    for module, stand_in in cupy_over_numpy().items():
        monkeypatch.setitem(sys.modules, module, stand_in)
    run = run_torch if dialect == "torch" else run_cupy
    survivors = []
    for name, dtype in _cases(dialect):
        problem = get(name)
        shape = problem.shapes(8 << 30)[0]
        values = problem.make_inputs(7, shape, dtype)
        want = problem.cpu_reference(*values)
        for kind in ("", *MISTAKES):
            source: str | None = problem.reference(dialect, dtype)
            if kind:
                source = break_gpu(problem.reference(dialect, dtype), "solve", dialect, kind, 0)
            assert source is not None
            got = run(source, problem, shape, dtype, values)
            right = not any(compare(g, w, problem.tolerance(dtype)) for g, w in zip(got, want, strict=True))
            if right is bool(kind):
                survivors.append((name, dtype, kind))
    assert survivors == []


@pytest.mark.parametrize("kind", ["", "wrong_dtype", "off_by_one", "compile_error"])
def test_cuda(kind: str, tmp_path: Path) -> None:
    survivors = []
    # The widest dtype of each: the 16-bit ones need CUDA's own headers.
    for name, dtype in dict(reversed(list(_cases("cuda")))).items():
        source: str | None = get(name).reference("cuda", dtype)
        if kind:
            source = break_gpu(get(name).reference("cuda", dtype), "solve", "cuda", kind, 0)
        done = subprocess.run(
            [sys.executable, "-c", _CUDA_JUDGE, name, dtype, str(tmp_path)],
            input=source,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if (done.stdout == "right\n") is bool(kind):
            survivors.append((name, dtype, done.stdout, done.stderr[-300:]))
    assert survivors == []
