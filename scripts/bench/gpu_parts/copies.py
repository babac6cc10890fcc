"""What copies cost with fewer queues for them: CUDA_DEVICE_MAX_COPY_CONNECTIONS at 8 (CUDA's own), 4, 3, 2 and 1.

Programs get two (``execute/gpu/family.py``), which makes a context cheaper. This shows what a program loses by it:
copies in one direction and in both, four at a time, beside a kernel, and in a pipeline of four streams.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from scripts.bench.gpu_parts import common

_CONNECTIONS = (8, 4, 3, 2, 1)
_ROUNDS = 2
_BYTES = 64 << 20
_BUFFERS = 8
_REPEATS = 9
_SIDE, _PRODUCTS = 2048, 12


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Run the patterns in a process of its own for each number of queues, round by round."""
    environment = common.only_card(options)
    found: dict[int, list[dict[str, float]]] = {count: [] for count in _CONNECTIONS}
    for _ in range(_ROUNDS):
        for count in _CONNECTIONS:
            done = subprocess.run(
                [sys.executable, "-m", "scripts.bench.gpu_parts.copies"],
                env={**environment, "CUDA_DEVICE_MAX_COPY_CONNECTIONS": str(count)},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                timeout=120,
            )
            found[count].append(json.loads(done.stdout.splitlines()[-1]))
    return render(found), {"bytes": _BYTES, "ms": found}


def render(found: dict[int, list[dict[str, float]]]) -> str:
    """The table: a row a pattern, a column a number of queues."""
    patterns = list(next(iter(found.values()))[0])
    rows = [
        [pattern, *(" / ".join(f"{one[pattern]:.2f}" for one in rounds) for rounds in found.values())]
        for pattern in patterns
    ]
    return "\n\n".join(
        [
            "# Copies, by the number of queues for them",
            f"Milliseconds (median of {_REPEATS}) of patterns of copies of {_BYTES >> 20} MiB between pinned host "
            "memory and the card, by `CUDA_DEVICE_MAX_COPY_CONNECTIONS`, in processes of their own, "
            f"{_ROUNDS} rounds.",
            common.table(["pattern", *(f"{count} queues" for count in found)], rows),
        ]
    )


def _patterns() -> dict[str, float]:
    """Time every pattern in this process; milliseconds."""
    import torch

    device = [torch.empty(_BYTES, dtype=torch.uint8, device="cuda") for _ in range(_BUFFERS)]
    host = [torch.empty(_BYTES, dtype=torch.uint8, pin_memory=True) for _ in range(_BUFFERS)]
    streams = [torch.cuda.Stream() for _ in range(_BUFFERS)]
    matrix = torch.randn(_SIDE, _SIDE, device="cuda")

    def to_card(i: int) -> Callable[[], object]:
        return lambda: device[i].copy_(host[i], non_blocking=True)

    def to_host(i: int) -> Callable[[], object]:
        return lambda: host[i].copy_(device[i], non_blocking=True)

    def on_card(i: int) -> Callable[[], object]:
        return lambda: device[i].copy_(device[(i + 4) % _BUFFERS], non_blocking=True)

    def products() -> object:
        return [torch.mm(matrix, matrix) for _ in range(_PRODUCTS)]

    def pipeline() -> None:
        for i in range(_BUFFERS):
            with torch.cuda.stream(streams[i % 4]):
                device[i].copy_(host[i], non_blocking=True)
                torch.mm(matrix, matrix)
                host[i].copy_(device[i], non_blocking=True)

    def at_once(jobs: Sequence[Callable[[], object]]) -> Callable[[], None]:
        def go() -> None:
            for stream, job in zip(streams, jobs, strict=False):
                with torch.cuda.stream(stream):
                    job()

        return go

    works: dict[str, Callable[[], None]] = {
        "to the card": at_once([to_card(0)]),
        "to the host": at_once([to_host(1)]),
        "both directions": at_once([to_card(0), to_host(1)]),
        "4 to the card": at_once([to_card(i) for i in range(4)]),
        "4 to the host": at_once([to_host(i) for i in range(4)]),
        "2 each way": at_once([to_card(0), to_host(1), to_card(2), to_host(3)]),
        "on the card": at_once([on_card(0)]),
        "4 on the card": at_once([on_card(i) for i in range(4)]),
        f"{_PRODUCTS} products": at_once([products]),
        "products, to the card": at_once([products, to_card(0)]),
        "products, both directions": at_once([products, to_card(0), to_host(1)]),
        "products, both, on the card": at_once([products, to_card(0), to_host(1), on_card(2)]),
        "pipeline of 8 over 4 streams": pipeline,
    }
    return {name: _time(work) for name, work in works.items()}


def _time(work: Callable[[], None]) -> float:
    import torch

    found = []
    for _ in range(_REPEATS + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        found.append((time.perf_counter() - began) * 1e3)
    # The first one makes what later ones find.
    return median(found[1:])


if __name__ == "__main__":
    print(json.dumps(_patterns()))
