"""Times a problem's CPU reference in a process of its own, with all cores: the article's CPU side.

``python -m orchestrator.execute.gpu.cpu_timing JSON`` makes the inputs, says so, waits for a line, and prints the
time. It is trusted code on inputs that it makes itself; the candidate's processes are held to one thread, which
would make the CPU look slow. Making inputs often takes longer than computing on them, so it is done beside other
work; the timed part is not, and of several executors on a machine one times at a time.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from orchestrator.execute.gpu.turns import cpu_turn

__all__ = ["CpuTiming", "main"]

_ENOUGH_S: Final = 1.0
_MOST_RUNS: Final = 5
_END_S: Final = 10.0
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class CpuTiming:
    """One timing on its way: the process is started when this is made, and timed by :meth:`finish`."""

    def __init__(self, name: str, dtype: str, seed: int, dims: Mapping[str, int], limit_s: float) -> None:
        """Start to make the inputs.

        Args:
            name: of the problem.
            dtype: of the sweep.
            seed: of the inputs.
            dims: the timed shape.
            limit_s: for making the inputs and for the runs together; what lies between is not counted.
        """
        order = json.dumps({"name": name, "dtype": dtype, "seed": seed, "dims": dict(dims)})
        variables = {k: v for k, v in os.environ.items() if k not in _THREADS}
        variables |= {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "CUDA_VISIBLE_DEVICES": ""}
        self._name, self._left, self._closed = name, limit_s, False
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, order],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> float | None:
        """Have it timed; median seconds of one run, None if the limit or the memory does not do.

        Nothing else should be at work on this machine meanwhile.

        Raises:
            RuntimeError: the process failed.
        """
        try:
            made = self._line()
            if made is None:
                return None
            self._left -= float(made["made_s"])
            with cpu_turn():
                assert self._process.stdin is not None
                self._process.stdin.write("go\n")
                self._process.stdin.flush()
                found = self._line()
        finally:
            self.close()
        return None if found is None else float(found["seconds"])

    def close(self) -> None:
        """End the process, whatever it is at."""
        if not self._closed:
            self._closed = True
            self._process.kill()
            self._process.communicate()

    def _line(self) -> dict[str, Any] | None:
        """The process's next message; None if it takes too long or ran out of memory."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(self._left, 0.0))
        if not ready:
            return None
        said = self._process.stdout.readline()
        if said:
            message: dict[str, Any] = json.loads(said)
            return None if "out_of_memory" in message else message
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            status = 0
        if status == -9:  # The kernel ends processes so when memory is short.
            return None
        assert self._process.stderr is not None
        why = self._process.stderr.read().strip()[-500:]
        raise RuntimeError(f"the CPU reference of {self._name} failed: {why}")


def main(order: str) -> None:
    """Do one order: say when the inputs are made, wait for a line, and print the answer."""
    from tasks.gpu.catalog import get
    from tasks.gpu.problem import Shape

    asked = json.loads(order)
    problem = get(asked["name"])
    shape = Shape("timed", asked["dims"], timed=True)
    began = time.perf_counter()
    try:
        inputs = problem.make_inputs(asked["seed"], shape, asked["dtype"])
        print(json.dumps({"made_s": time.perf_counter() - began}), flush=True)
        if not sys.stdin.readline():
            return
        times: list[float] = []
        while not times or (sum(times) < _ENOUGH_S and len(times) < _MOST_RUNS):
            began = time.perf_counter()
            problem.cpu_reference(*inputs)
            times.append(time.perf_counter() - began)
    except MemoryError:
        print(json.dumps({"out_of_memory": True}), flush=True)
        return
    print(json.dumps({"seconds": median(times), "runs": len(times)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
