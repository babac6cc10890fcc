"""Fixtures of the GPU suite's tests."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from tests.tasks.gpu.running import cupy_over_numpy


@pytest.fixture
def numpy_as_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """``import cupy`` gives NumPy for the length of one test."""
    for name, module in cupy_over_numpy().items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    """Small tensors: more threads only cost, and the test machine is shared."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def interpreted_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips where Triton is missing, or was imported without its interpreter."""
    os.environ.setdefault("TRITON_INTERPRET", "1")
    triton = pytest.importorskip("triton", reason="Triton is not installed")
    if not triton.knobs.runtime.interpret:
        pytest.skip("Triton was imported before its interpreter was switched on")
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patch_for_numpy(tensor: Any, *rest: Any) -> None:
        # A loop's bounds are arrays of one element there. Triton 3.6 makes numbers of them by `int()`, which NumPy
        # refuses from 2.4 on.
        patch(tensor, *rest)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patch_for_numpy)
