"""Times a problem's CPU reference in a process of its own, with all cores: the article's CPU side.

``python -m orchestrator.execute.gpu.cpu_timing JSON`` prints one JSON object. It is trusted code on inputs that it
makes itself; the candidate's processes are held to one thread, which would make the CPU look slow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

__all__ = ["main", "time_cpu_reference"]

_ENOUGH_S: Final = 1.0
_MOST_RUNS: Final = 5
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def time_cpu_reference(name: str, dtype: str, seed: int, dims: Mapping[str, int], limit_s: float) -> float | None:
    """Median seconds of one run of the CPU reference on the shape ``dims``; None when it takes over ``limit_s``.

    Making the inputs counts toward the limit, but not toward the time.

    Raises:
        RuntimeError: the process failed.
    """
    order = json.dumps({"name": name, "dtype": dtype, "seed": seed, "dims": dict(dims)})
    variables = {k: v for k, v in os.environ.items() if k not in _THREADS}
    variables |= {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", __name__, order]
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        raise RuntimeError(f"the CPU reference of {name} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return float(found["seconds"])


def main(order: str) -> None:
    """Do one order and print the answer."""
    from tasks.gpu.catalog import get
    from tasks.gpu.problem import Shape

    asked = json.loads(order)
    problem = get(asked["name"])
    shape = Shape("timed", asked["dims"], timed=True)
    inputs = problem.make_inputs(asked["seed"], shape, asked["dtype"])
    times: list[float] = []
    while not times or (sum(times) < _ENOUGH_S and len(times) < _MOST_RUNS):
        began = time.perf_counter()
        problem.cpu_reference(*inputs)
        times.append(time.perf_counter() - began)
    print(json.dumps({"seconds": median(times), "runs": len(times)}))


if __name__ == "__main__":
    main(sys.argv[1])
