"""Joules a call: what a judging says against a plain loop of ten seconds with the card's counter read inside it.

``python -m scripts.bench.gpu_parts.energy JSON`` is that loop, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from orchestrator.core.execution import Job
from orchestrator.core.verdicts import Verdict
from scripts.bench.gpu_parts import common

_PROGRAMS = (("softmax", "fp32"), ("gram", "fp16"), ("nbody_step", "fp32"), ("particle_collisions", "fp32"))
_JUDGINGS = 3
_REST_S, _IDLE_S, _LEAD_S, _LOOP_S = 5.0, 4.0, 1.0, 10.0


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Judge each reference three times with its energy, then call it in a plain loop.

    Raises:
        RuntimeError: a reference was not passed, or there is no card to ask.
    """
    if options.device != "gpu":
        raise RuntimeError("energy is the card's: device=gpu")
    executor = common.make_executor(options, energy_window_s=2.0)
    rows: list[dict[str, Any]] = []
    try:
        line = common.card_line(executor)
        memory = int(executor.facts["memory_bytes"])
        for name, dtype in _PROGRAMS:
            problem = common.problems("torch", dtype, [name], wall_s=120.0)[0]
            prepared = executor.prepare(problem, 0)
            found = []
            for number in range(_JUDGINGS):
                program = f"{problem.reference}\n# judging {number}\n"
                done = executor.run(problem, prepared, Job(problem.id, program, "scoring", 0, problem.limits))
                if done.verdict is not Verdict.PASSED or done.gpu is None:
                    raise RuntimeError(f"a reference was judged {done.verdict}: {done.reason}")
                found.append(done.gpu.joules_per_call)
            recording = json.loads(prepared.recording or b"{}")
            order = {"name": name, "dtype": dtype, "source": problem.reference, "scale": recording["scale"]}
            rows.append({**order, "memory_bytes": memory, "ours_j": found})
    finally:
        executor.close()
    # With the executor's contexts gone: the card is the loop's alone.
    for row in rows:
        row.update(_plain(row, common.only_card(options)))
    numbers = {"line": line, "rows": [{k: v for k, v in row.items() if k != "source"} for row in rows]}
    numbers |= errors(rows)
    return render([numbers]), numbers


def errors(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The largest share by which a median of judgings, and a single one, is off the plain loop; empty if untold."""
    told = [([j for j in row["ours_j"] if j is not None], row["plain_j"]) for row in rows]
    medians = [abs(median(ours) / plain - 1) for ours, plain in told if ours]
    singles = [abs(j / plain - 1) for ours, plain in told for j in ours]
    return {"energy_error": max(medians), "energy_error_of_one_judging": max(singles)} if medians else {}


def render(parts: list[dict[str, Any]]) -> str:
    """The table of one run."""
    rows = []
    for row in (r for p in parts for r in p["rows"]):
        told = [j for j in row["ours_j"] if j is not None]
        ours = f"{median(told):.3f}" if told else "not told"
        span = f"{min(told):.3f} to {max(told):.3f}" if told else ""
        off = f"{median(told) / row['plain_j'] - 1:+.1%}" if told else ""
        furthest = max((j / row["plain_j"] - 1 for j in told), key=abs, default=None)
        worst = "" if furthest is None else f"{furthest:+.1%}"
        idle, drawn = f"{row['idle_w']:.0f}", f"{row['drawn_w']:.0f}"
        rows.append([row["name"], row["dtype"], ours, span, f"{row['plain_j']:.3f}", off, worst, idle, drawn])
    columns = ["program", "dtype", "ours J a call (median)", f"of {_JUDGINGS} judgings", "plain loop J a call"]
    columns += ["median off", "one judging off"]
    return "\n\n".join(
        [
            "# Energy",
            f"{parts[0]['line']} Idle power taken off in both. Ours: two seconds of calls, each handed over by the "
            f"referee. The plain loop: a process of its own waits for every call and goes on for {_LOOP_S:g} s "
            f"after {_LEAD_S:g} s of lead; its idle power is that of {_IDLE_S:g} s after {_REST_S:g} s of rest.",
            common.table([*columns, "idle W", "drawn W in the loop"], rows),
        ]
    )


def _plain(row: dict[str, Any], environment: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "scripts.bench.gpu_parts.energy", json.dumps(row)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment, timeout=120)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _loop(order: str) -> None:
    import os

    import pynvml
    import torch

    from tasks.gpu.catalog import get

    asked = json.loads(order)
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(os.environ["CUDA_VISIBLE_DEVICES"])
    problem, dtype = get(asked["name"]), asked["dtype"]
    shape = problem.shapes(asked["memory_bytes"], asked["scale"])[-1]
    space: dict[str, Any] = {}
    exec(asked["source"], space)
    inputs = problem.make_inputs_device(7, shape, dtype, "cuda")
    outs = [
        torch.empty(spec.shape, dtype=getattr(torch, spec.element), device="cuda")
        for spec in problem.outputs(shape, dtype)
    ]
    call = partial(space["solve"], *inputs, outs[0] if len(outs) == 1 else tuple(outs))
    call()
    torch.cuda.synchronize()

    def joules() -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3

    def calls_for(seconds: float, work: Callable[[], object]) -> tuple[int, float]:
        began, calls = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            work()
            torch.cuda.synchronize()
            calls += 1
        return calls, time.monotonic() - began

    time.sleep(_REST_S)
    before = joules()
    _, rested = calls_for(_IDLE_S, partial(time.sleep, _IDLE_S))
    idle = (joules() - before) / rested
    calls_for(_LEAD_S, call)
    before = joules()
    calls, seconds = calls_for(_LOOP_S, call)
    drawn = (joules() - before) / seconds
    print(json.dumps({"idle_w": idle, "drawn_w": drawn, "plain_j": (drawn - idle) * seconds / calls}))


if __name__ == "__main__":
    _loop(sys.argv[1])
