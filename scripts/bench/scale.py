"""What the driver itself costs: steps a second, and memory against the number of trials and of slots.

Everything of the driver is real (scheduler, trials, requests bought through limiter, ledger and journal, verdicts
journaled, tables written); what answers is a stand-in: a reply and a verdict that are there at once, in this
process or in Ray actors that do nothing else. A trial of ``generate_only`` is two steps: one purchase, one verdict.
Actors are up before the clock starts, since a sweep starts them once whatever its size. Every case has a process of
its own, so that its memory is its own. From the first quarter of the trials to the last, ``rss_bytes_per_trial`` is
the growth of that memory and ``cost_ratio`` what a trial costs in the driver's CPU time at the end against what it
cost at the beginning: 1 is flat. Below some 2,000 trials both are buffers that fill.

    python -m scripts.bench.scale [--trials 1000,10000] [--slots 1,16,256] [--full --recorded RUN] [--out FOLDER]

``--full`` adds 100,000 trials on 256 slots whose replies and verdicts take as long as those that the run folder RUN
recorded, drawn with a fixed seed: some minutes. ``--out`` writes ``scale.json`` there.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.generation import Usage
from orchestrator.core.problems import ExampleTests, Limits, Problem, PublicProblem, PythonTests
from orchestrator.core.systems import SYSTEMS
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.books import Books
from orchestrator.driver.execution import ExecutionService
from orchestrator.driver.pool import ExecutionPool
from orchestrator.driver.ray_slots import Bundles, RaySlot
from orchestrator.driver.replies import ModelReplies, Prompt
from orchestrator.driver.results import Results
from orchestrator.driver.scheduler import Assignment, Scheduler
from orchestrator.driver.trial import CellRuntime
from orchestrator.execute.actor import SlotInfo
from orchestrator.generate.attempts import Attempt, AttemptReply, AttemptResult
from orchestrator.generate.pricing import look_up_price
from orchestrator.generate.service import GenerationService, Route, ServiceSettings
from orchestrator.journal.store import Journal
from orchestrator.ledger import Ledger
from scripts.bench._report import print_report

__all__ = ["main"]

_MODEL = "claude-sonnet-4-5"
_PROBLEMS = 164
_LIMITS = Limits(2.0, 15.0)
_MANY_IN_FLIGHT = 800
"""Enough that recorded replies come as fast as the driver can take them."""
_SEED = 0
_AIM_RAY = 300.0
_AIM_FAKED = 1000.0


@dataclass(frozen=True)
class _Case:
    where: str
    """``faked``: in this process; ``ray``: actors."""
    trials: int
    slots: int
    recorded: str | None = None
    """A run folder whose durations are drawn; None: everything answers at once."""
    in_flight: int = 100
    """Most requests at once."""


class _Durations:
    """Seconds that steps of a recorded run took."""

    def __init__(self, folder: str | None) -> None:
        self._random = random.Random(_SEED)
        self._by_kind: dict[str, list[float]] = {}
        if folder is not None:
            from orchestrator.track.tables import read_rows

            for step in read_rows(f"{folder}/steps.parquet", ["kind", "wall_s", "resumed"]):
                kind = "generation" if step["kind"] == "generation" else "execution"
                self._by_kind.setdefault(kind, []).append(float(step["wall_s"]))

    def draw(self, kind: str) -> float:
        found = self._by_kind.get(kind)
        return self._random.choice(found) if found else 0.0


def _answer(attempt: Attempt, number: int) -> AttemptResult:
    """A reply whose program is unlike any other, so that every verdict is a step of its own."""
    text = f"```python\ndef f(x):\n    return x + 1  # {number}\n```\n"
    reply = AttemptReply(text, "end_turn", Usage(150, 40), attempt.request.model, f"req_{number}")
    return AttemptResult(reply, None)


def _verdict() -> Execution:
    return Execution(Verdict.PASSED, "", cpu_s=0.001, wall_s=0.001, lease_s=0.001, isolation="full")


class _FakedSender:
    """Answers in this process."""

    def __init__(self, durations: _Durations) -> None:
        self._numbers = itertools.count()
        self._durations = durations

    async def send(self, attempt: Attempt) -> AttemptResult:
        if seconds := self._durations.draw("generation"):
            await asyncio.sleep(seconds)
        return _answer(attempt, next(self._numbers))

    async def probe(self, model: str) -> AttemptResult | None:
        return None

    async def count_tokens(self, request: object) -> int | None:
        return None

    async def close(self) -> None:
        return None

    async def ready(self) -> None:
        return None


class _RaySender(_FakedSender):
    """Answers from one async actor, as the real ones are."""

    def __init__(self, durations: _Durations) -> None:
        super().__init__(durations)
        import ray

        self._actor: Any = ray.remote(_AnsweringActor).options(num_cpus=0, max_concurrency=400).remote()

    async def send(self, attempt: Attempt) -> AttemptResult:
        result: AttemptResult = await self._actor.send.remote(attempt)
        return result

    async def ready(self) -> None:
        await self._actor.ready.remote()


class _AnsweringActor:
    def __init__(self) -> None:
        self._numbers = itertools.count()

    async def send(self, attempt: Attempt) -> AttemptResult:
        return _answer(attempt, next(self._numbers))

    async def ready(self) -> None:
        return None


class _JudgingActor:
    def run(self, key: str, bundle: list[Any], job: Job) -> Execution:
        return _verdict()

    def close(self) -> None:
        return None


class _FakedSlot:
    """A verdict at once, or after a recorded time."""

    node = place = "here"
    isolation = "full"
    card = failure = ""

    def __init__(self, durations: _Durations) -> None:
        self._durations = durations

    async def prepare(self, problem: Problem, seed: int) -> Preparation:
        return Preparation(problem.id, Verdict.PASSED, "", problem.limits)

    async def run(self, problem: Problem, preparation: Preparation, job: Job) -> Execution:
        if seconds := self._durations.draw("execution"):
            await asyncio.sleep(seconds)
        return _verdict()

    async def park(self) -> None:
        return None

    async def close(self) -> None:
        return None


class _BenchSlot(RaySlot):
    """A real slot, but for preparing, which no step of a trial does."""

    async def prepare(self, problem: Problem, seed: int) -> Preparation:
        return Preparation(problem.id, Verdict.PASSED, "", problem.limits)


def _problem(number: int) -> Problem:
    return Problem(
        public=PublicProblem(f"bench/{number}", "bench", f"def f(x):\n    '''Problem {number}.'''\n", "f"),
        scoring=PythonTests("", "def check(candidate): assert candidate(1) == 2"),
        feedback=ExampleTests("", ()),
        reference="def f(x):\n    return x + 1\n",
        limits=_LIMITS,
    )


async def _measure(case: _Case, folder: Path) -> dict[str, Any]:
    durations = _Durations(case.recorded)
    bundles = Bundles()

    async def start() -> Any:
        if case.where == "faked":
            return _FakedSlot(durations)
        import ray

        actor: Any = ray.remote(_JudgingActor).options(num_cpus=0).remote()
        return _BenchSlot(actor, SlotInfo("here", "here", "full", "", "", "", os.getpid()), bundles)

    journal = Journal(folder / "journal.sqlite", "bench")
    ledger = Ledger(journal, usd=Decimal(10_000_000), cell_usd=None, trial_usd=None)
    await ledger.recover()
    price = look_up_price(_MODEL, datetime.now(UTC))
    sender: Any = _FakedSender(durations) if case.where == "faked" else _RaySender(durations)
    books = Books(journal, ledger, None)
    service = GenerationService(
        [Route("bench", sender, {_MODEL: price}, synthetic=True)],
        books,
        ledger,
        ServiceSettings(in_flight=case.in_flight),
    )
    pool = ExecutionPool("local:cpu", start, case.slots)
    pool.open()
    execution = ExecutionService(pool, journal, seed=_SEED)
    problems = [_problem(number) for number in range(_PROBLEMS)]
    await execution.prepare(problems)
    # Starting an actor's process is no step's cost.
    while pool.starting:  # noqa: ASYNC110  (a pool tells nobody when its last slot is up)
        await asyncio.sleep(0.05)
    await sender.ready()
    prompt = Prompt("", "{prompt}", "{feedback}", False, "")
    replies = ModelReplies(
        service, prompt, provider="bench", model=_MODEL, max_tokens=512, effort=None, thinking=None
    )
    cell = CellRuntime("bench", "generate_only", 1, False, execution, replies, prompt, True, "local")
    results = Results(folder, None, planned={})
    process = psutil.Process()
    done = 0
    memory: list[tuple[int, int, float]] = []

    def finished(row: dict[str, Any], steps: list[dict[str, Any]]) -> None:
        nonlocal done
        results.write({"run_id": "bench", "system": "generate_only", **row}, steps)
        done += 1
        if done % max(1, case.trials // 20) == 0:
            memory.append((done, process.memory_info().rss, time.process_time()))

    scheduler = Scheduler(
        window=2 * case.in_flight + 4 * case.slots + 16,
        system=lambda assignment: SYSTEMS[assignment.cell.system],
        seen=journal.reply_keys().__contains__,
        finished=finished,
        on_stop=pool.stop,
    )
    todo = (Assignment(cell, problems[n % _PROBLEMS], n // _PROBLEMS) for n in range(case.trials))
    load = os.getloadavg()[0]
    cpu, began = process.cpu_times(), time.perf_counter()
    await scheduler.run(todo)
    seconds, after = time.perf_counter() - began, process.cpu_times()
    if scheduler.failure is not None:
        raise scheduler.failure
    if done != case.trials:
        raise RuntimeError(f"{done} of {case.trials} trials ended")
    await pool.close()
    await service.close()
    journal.close()
    steps = 2 * case.trials
    driver_cpu = after.user + after.system - cpu.user - cpu.system
    early, late = memory[len(memory) // 4], memory[-1]
    quarter = len(memory) // 4
    first, last = _cpu_per_trial(memory[: quarter + 1]), _cpu_per_trial(memory[-quarter - 1 :])
    return {
        **asdict(case),
        "steps_per_s": round(steps / seconds, 1),
        "driver_cpu_ms_per_step": round(1000 * driver_cpu / steps, 3),
        "cost_ratio": round(last / first, 2),
        "rss_mib": round(late[1] / 2**20, 1),
        "rss_bytes_per_trial": round((late[1] - early[1]) / max(1, late[0] - early[0])),
        "load_before": round(load, 1),
    }


def _cpu_per_trial(marks: Sequence[tuple[int, int, float]]) -> float:
    """CPU seconds of the driver for a trial between the first and the last of these marks."""
    (done, _, cpu), (more, _, later) = marks[0], marks[-1]
    return (later - cpu) / max(1, more - done)


def _run_case(case: _Case) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench.scale", "--case", json.dumps(asdict(case))],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if case.recorded is not None:
        # Where a run lies is nobody's business who reads the figures.
        found["recorded"] = Path(case.recorded).name
    return found


def _case_main(case: _Case) -> None:
    with tempfile.TemporaryDirectory(prefix="orchestrator-scale-") as folder:
        if case.where == "ray":
            from orchestrator.cluster.session import ClusterSettings, start_ray, stop_ray

            start_ray(ClusterSettings(None, os.cpu_count(), insecure=False))
            try:
                print(json.dumps(asyncio.run(_measure(case, Path(folder)))))
            finally:
                stop_ray()
        else:
            print(json.dumps(asyncio.run(_measure(case, Path(folder)))))


def main(argv: Sequence[str] | None = None) -> None:
    """Run all cases and print their report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", default="1000,10000")
    parser.add_argument("--slots", default="1,16,256")
    parser.add_argument("--ray-slots", default="2,8")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--recorded", metavar="RUN", help="a run folder")
    parser.add_argument("--out", type=Path, help="a folder for scale.json")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.case is not None:
        _case_main(_Case(**json.loads(given.case)))
        return
    if given.full and given.recorded is None:
        parser.error("--full needs --recorded RUN, whose durations it draws")
    trials = [int(each) for each in given.trials.split(",")]
    slots = [int(each) for each in given.slots.split(",")]
    cases = [_Case("faked", count, 16) for count in trials]
    cases += [_Case("faked", trials[0], count) for count in slots if count != 16]
    cases += [_Case("ray", trials[0], int(count)) for count in given.ray_slots.split(",")]
    cases += [_Case("ray", trials[-1], 8)]
    if given.full:
        cases += [_Case("faked", 100_000, 256, given.recorded, _MANY_IN_FLIGHT)]
    found = []
    for case in cases:
        found.append(_run_case(case))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    best = {where: max(c["steps_per_s"] for c in found if c["where"] == where) for where in ("faked", "ray")}
    aims = {"faked": _AIM_FAKED, "ray": _AIM_RAY}
    columns = [
        "where",
        "trials",
        "slots",
        "steps_per_s",
        "driver_cpu_ms_per_step",
        "cost_ratio",
        "rss_mib",
        "rss_bytes_per_trial",
        "load_before",
    ]
    result = {
        "cases": found,
        "cores": os.cpu_count(),
        "best_steps_per_s": best,
        "aims_steps_per_s": aims,
        "met": {where: best[where] >= aims[where] for where in best},
    }
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "scale.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print_report(
        f"the driver alone, {os.cpu_count()} cores; aims: {_AIM_FAKED:g} steps/s faked, {_AIM_RAY:g} through Ray",
        columns,
        [[case[name] for name in columns] for case in found],
        result,
    )


if __name__ == "__main__":
    main()
