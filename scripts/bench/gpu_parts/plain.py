"""One program in a process of its own, as known harnesses run it: what the executor is compared with.

``python -m scripts.bench.gpu_parts.plain JSON`` imports torch, makes a context, makes inputs, checks the program on
the small shapes against the CPU reference, times it with CUDA events (and ``do_bench`` if asked), and prints JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any


def main(order: str) -> None:
    """Do one order: ``name``, ``dtype``, ``programs``, ``scale``, ``memory_bytes``, ``check``, ``do_bench``."""
    import torch

    from tasks.gpu.catalog import get

    asked = json.loads(order)
    problem, dtype = get(asked["name"]), asked["dtype"]
    shapes = problem.shapes(asked["memory_bytes"], asked["scale"])
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    answers = []
    for source in asked["programs"]:
        space: dict[str, Any] = {}
        exec(source, space)
        solve = space["solve"]
        right = True
        for seed in (1, 2, 3) if asked["check"] else ():
            for shape in shapes[:-1]:
                right = right and _check(problem, shape, dtype, solve, seed)
        inputs = problem.make_inputs_device(7, shapes[-1], dtype, "cuda")
        outs = [
            torch.empty(spec.shape, dtype=getattr(torch, spec.element), device="cuda")
            for spec in problem.outputs(shapes[-1], dtype)
        ]
        call = partial(solve, *inputs, outs[0] if len(outs) == 1 else tuple(outs))
        answer = {"right": right, "events_s": _events(call, flush, asked["rounds"])}
        if asked["do_bench"]:
            from triton.testing import do_bench

            found = do_bench(call, warmup=50, rep=400, return_mode="median")
            answer["do_bench_s"] = float(found) / 1e3
        answers.append(answer)
    print(json.dumps(answers))


def _check(problem: Any, shape: Any, dtype: str, solve: Callable[..., object], seed: int) -> bool:
    import torch

    host = problem.make_inputs(seed, shape, dtype)
    wanted = problem.cpu_reference(*host)
    specs = problem.inputs(shape, dtype)
    inputs = [
        torch.from_numpy(x).to("cuda", getattr(torch, s.element)) if hasattr(x, "shape") else x
        for x, s in zip(host, specs, strict=True)
    ]
    outs = [
        torch.empty(s.shape, dtype=getattr(torch, s.element), device="cuda") for s in problem.outputs(shape, dtype)
    ]
    solve(*inputs, outs[0] if len(outs) == 1 else tuple(outs))
    tolerance = problem.tolerance(dtype)
    return all(
        bool(
            torch.allclose(
                got.cpu().double(), torch.from_numpy(want).double(), rtol=tolerance.rtol, atol=tolerance.atol
            )
        )
        for got, want in zip(outs, wanted, strict=True)
    )


def _events(call: Callable[[], object], flush: Any, rounds: int) -> float:
    import torch

    times = []
    for number in range(rounds + 3):
        flush.zero_()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        if number >= 3:
            times.append(start.elapsed_time(end) / 1e3)
    return median(times)


if __name__ == "__main__":
    main(sys.argv[1])
