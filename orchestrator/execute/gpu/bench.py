"""The referee's means of measuring: waiting for the card, emptying its cache, and its ceilings."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

__all__ = ["Card", "copy_ceiling", "product_ceiling"]

_TORCH_TYPES: Final = {"fp64": "float64", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Card:
    """What work is done on: the current card, or the host where there is none."""

    def __init__(self, device: str) -> None:
        """Create the context (``device`` is ``gpu``), or nothing (``cpu``)."""
        import torch

        self.on_gpu = device == "gpu"
        self.device = "cuda" if self.on_gpu else "cpu"
        self._flush: torch.Tensor | None = None
        self._reset_persisting: Callable[[], object] = lambda: None
        if self.on_gpu:
            l2 = int(torch.cuda.get_device_properties(0).L2_cache_size)
            self._flush = torch.empty(max(4 * l2, 64 << 20), dtype=torch.uint8, device="cuda")
            self._flush.zero_()
            # Lines that a program marked as persisting would outlive the flush.
            self._reset_persisting = ctypes.CDLL("libcuda.so.1").cuCtxResetPersistingL2Cache

    def synchronize(self) -> None:
        """Wait until the card has finished everything that this process asked for."""
        if self.on_gpu:
            import torch

            torch.cuda.synchronize()

    def flush(self) -> None:
        """Push everything out of the card's cache. The host's caches are left as they are."""
        if self._flush is not None:
            self._reset_persisting()
            self._flush.zero_()
        self.synchronize()

    def reserved(self) -> int:
        """Card memory that this process's pool holds."""
        import torch

        return torch.cuda.memory_reserved() if self.on_gpu else 0

    def empty_pools(self) -> None:
        """Give memory that is not in use back to the card."""
        if self.on_gpu:
            import torch

            torch.cuda.empty_cache()

    def facts(self) -> dict[str, Any]:
        """What the device says of itself."""
        if not self.on_gpu:
            return {}
        import torch

        found = torch.cuda.get_device_properties(0)
        return {
            "name": found.name,
            "memory_bytes": found.total_memory,
            "multiprocessors": found.multi_processor_count,
            "compute_capability": f"{found.major}.{found.minor}",
            "l2_bytes": found.L2_cache_size,
            "shared_bytes": int(getattr(found, "shared_memory_per_block_optin", found.shared_memory_per_block)),
        }


def copy_ceiling(card: Card) -> float:
    """Bytes per second of a large copy, read and written bytes both counted. The card's memory ceiling."""
    import torch

    count = (1 << 30) if card.on_gpu else (1 << 25)
    source = torch.empty(count, dtype=torch.uint8, device=card.device)
    source.zero_()
    target = torch.empty_like(source)
    return 2 * count / _best(card, lambda: target.copy_(source))


def product_ceiling(card: Card, dtype: str) -> float:
    """Operations per second of a large matrix product on random data in ``dtype``: the arithmetic ceiling."""
    import torch

    kind = getattr(torch, _TORCH_TYPES[dtype])
    n = (8192 if dtype in ("bf16", "fp16") else 4096) if card.on_gpu else 256
    # Zeros would flatter: they need less power, so the clock stays higher.
    a = torch.randn(n, n, dtype=torch.float32, device=card.device).to(kind)
    b = torch.randn(n, n, dtype=torch.float32, device=card.device).to(kind)
    out = torch.empty_like(a)
    return 2 * n**3 / _best(card, lambda: torch.mm(a, b, out=out))


def _best(card: Card, work: Callable[[], object]) -> float:
    """Median seconds of ``work``, from runs of ten with one wait, after a warm-up."""
    inner = 10 if card.on_gpu else 1
    times = []
    for _ in range(4):
        card.synchronize()
        began = time.perf_counter()
        for _ in range(inner):
            work()
        card.synchronize()
        times.append((time.perf_counter() - began) / inner)
    return median(times[1:])
