"""The same programs on one card and on several, each card with an executor of its own."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any

from orchestrator.core.execution import Job, Preparation
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from scripts.bench.gpu_parts import common

_PROBLEM, _DTYPE, _SCALE = "softmax", "fp32", 1.0


def measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Judge the programs on each number of cards in turn; programs are taken from one queue."""
    total = options.programs or 400
    uuids = _cards(options)
    counts = [c for c in options.cards or [1, 2, 4] if c <= len(uuids)]
    window_s = GpuExecutorSettings().energy_window_s if options.energy else 0.0
    found = {count: _run(options.device, uuids[:count], total, window_s) for count in counts}
    numbers = {"line": next(iter(found.values()))["card"], "energy_window_s": window_s, "by_cards": found}
    return render([numbers]), {**numbers, "scaling_efficiency": _efficiency(found)}


def render(parts: list[dict[str, Any]]) -> str:
    """The table of one run, or of runs with different numbers of cards."""
    found = {int(count): numbers for part in parts for count, numbers in part["by_cards"].items()}
    window_s = parts[0]["energy_window_s"]
    _efficiency(found)
    rows = [
        [
            count,
            f"{numbers['seconds']:.1f}",
            f"{numbers['programs_per_s']:.2f}",
            f"{numbers['efficiency']:.1%}",
            ", ".join(f"{share:.0%}" for share in numbers["busy"]),
            ", ".join(str(n) for n in numbers["programs"]),
            f"{numbers['arming_s']:.2f}",
        ]
        for count, numbers in sorted(found.items())
    ]
    columns = ["cards", "s", "programs/s", "efficiency", "busy or arming, by card", "programs by card", "arming s"]
    return "\n\n".join(
        [
            "# Scaling over cards",
            f"{parts[0]['line']} Programs for {_PROBLEM} in {_DTYPE}, each judged on three seeds of every small "
            "shape and timed as a sweep does by default, taken from one queue by an executor a card; energy "
            f"{f'measured over {window_s:g} s, as by default' if window_s else 'not measured'}. The driver makes "
            "contexts one step at a time for all cards of a host: executors take turns at them.",
            common.table(columns, rows),
        ]
    )


def _efficiency(found: dict[int, dict[str, Any]]) -> float:
    """Note each number of cards' efficiency against the smallest number, and return the least."""
    least = min(found)
    base = found[least]["programs_per_s"] / least
    for count, numbers in found.items():
        numbers["efficiency"] = numbers["programs_per_s"] / (count * base)
    return min(float(numbers["efficiency"]) for numbers in found.values())


def _cards(options: argparse.Namespace) -> list[str]:
    if options.device == "cpu":
        return ["", ""]
    import pynvml

    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    return [str(pynvml.nvmlDeviceGetUUID(h)) for h in handles][options.first_card :]


def _run(device: str, uuids: list[str], total: int, window_s: float) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    taken, barrier = context.Value("i", 0), context.Barrier(len(uuids) + 1)
    answers: Any = context.Queue()
    shared = (taken, barrier, answers)
    workers = [context.Process(target=_work, args=(device, u, total, window_s, shared)) for u in uuids]
    for worker in workers:
        worker.start()
    barrier.wait(300)
    began = time.monotonic()
    try:
        results = _answers_of(workers, answers)
    except RuntimeError:
        # The others would judge all that is left before this process could end.
        taken.value = total
        raise
    seconds = max(r["end"] for r in results) - began
    for worker in workers:
        worker.join(60)
    return {
        "card": results[0]["card"],
        "seconds": seconds,
        "programs_per_s": total / seconds,
        "busy": [_covered(r["spans"], began, began + seconds) / seconds for r in results],
        "programs": [r["programs"] for r in results],
        "arming_s": median(r["arming_s"] for r in results),
        "phases_ms": {
            name: median(r["phases"][name] for r in results) * 1e3 for name in sorted(results[0]["phases"])
        },
    }


def _answers_of(workers: Sequence[BaseProcess], answers: Any) -> list[dict[str, Any]]:
    """What each worker answers.

    Raises:
        RuntimeError: one failed, or ended without a word: nobody waits an hour of a card's time for it.
    """
    found: list[dict[str, Any]] = []
    while len(found) < len(workers):
        failed = [worker.exitcode for worker in workers if worker.exitcode]
        if failed:
            raise RuntimeError(f"a worker ended with status {failed[0]}")
        with suppress(queue.Empty):
            found.append(answers.get(timeout=1.0))
    return found


def _work(device: str, uuid: str, total: int, window_s: float, shared: tuple[Any, Any, Any]) -> None:
    try:
        _take_programs(device, uuid, total, window_s, shared)
    except BaseException:
        # The others may be waiting for it to begin.
        shared[1].abort()
        raise


def _take_programs(device: str, uuid: str, total: int, window_s: float, shared: tuple[Any, Any, Any]) -> None:
    taken, barrier, answers = shared
    executor = GpuExecutor(
        GpuExecutorSettings(
            device=device,
            gpu_uuid=uuid,
            cpu_reference_limit_s=0.0,
            energy_window_s=window_s,
        )
    )
    try:
        problem = common.problems("torch", _DTYPE, [_PROBLEM], wall_s=60.0)[0]
        recording = json.dumps({"scale": _SCALE if device == "gpu" else 1 / 256}).encode()
        prepared = Preparation(problem.id, Verdict.PASSED, "", problem.limits, recording=recording)
        executor.run(problem, prepared, Job(problem.id, problem.reference, "scoring", 0, problem.limits))
        barrier.wait(300)
        done = 0
        while True:
            with taken.get_lock():
                number = taken.value
                taken.value += 1
            if number >= total:
                break
            program = f"{problem.reference}\n# program {number}\n"
            found = executor.run(problem, prepared, Job(problem.id, program, "scoring", 0, problem.limits))
            if found.verdict is not Verdict.PASSED:
                raise RuntimeError(f"a reference was judged {found.verdict}: {found.reason}")
            done += 1
        session = executor.session
        answers.put(
            {
                "end": time.monotonic(),
                "programs": done,
                "spans": [span for kind in session.spans.values() for span in kind],
                "arming_s": median(session.arming_s),
                "phases": {name: median(p.get(name, 0.0) for p in session.phases) for name in session.phases[-1]},
                "card": common.card_line(executor),
            }
        )
    finally:
        executor.close()


def _covered(spans: list[tuple[float, float]], start: float, end: float) -> float:
    """Seconds of [start, end] that the spans cover together."""
    covered, at = 0.0, start
    for begun, over in sorted(spans):
        left, right = max(begun, at), min(over, end)
        if right > left:
            covered += right - left
            at = right
    return covered
