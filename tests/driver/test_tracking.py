"""Which seconds and dollars of a cell MLflow is given: those of the place that its programs ran in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.capacity import NodeView
from orchestrator.core.summary import summarise
from orchestrator.driver import tracking
from orchestrator.driver.placement import place
from orchestrator.driver.record import make_record
from orchestrator.plan import load_plan
from orchestrator.track.progress import Progress

NO_CARD = NodeView("a", "a", "10.0.0.1", {}, 2, 0)
CARD = NodeView("b", "b", "10.0.0.2", {"gpu-class": "l4"}, 2, 1)
RENT = 0.8048


class Recorder:
    """Stands for MLflow's thread."""

    busy_s = 0.0

    def __init__(self, *_: object, **__: object) -> None:
        self.logged: dict[str | None, dict[str, float]] = {}

    def metrics(self, cell: str | None, values: dict[str, float], *, step: int = 0) -> None:
        self.logged.setdefault(cell, {}).update(values)

    def close(self, *, wait_s: float = 0.0) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.mark.parametrize("node", [NO_CARD, CARD])
def test_gpu_seconds_and_their_price_are_logged_where_a_slot_held_a_gpu(
    node: NodeView, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "Tracker", Recorder)
    words = ["suite=humaneval", "limit=1", "model=rehearsal", "system=generate_only", "run.dir=run"]
    plan = load_plan([*words, "hardware=l4", "execute.device=gpu", "execute.without_gpu=cpu"])
    placed = place(plan, [node]).plan
    record = make_record(placed)
    row = {"cell": plan.cells[0].id, "problem": "HumanEval/0", "sample": 0, "verdict": "passed", "lease_s": 36.0}

    async def log() -> Any:
        told = tracking.Tracking(plan)
        told.open(record, placed)
        recorder = told._tracker
        await told.finish(summarise([row], record["cells"]), [], status="FINISHED", isolation="full")
        return recorder

    metrics = asyncio.run(log()).logged[plan.cells[0].id]
    assert metrics["lease_s"] == 36.0
    found = {name: metrics[name] for name in ("gpu_seconds", "execution_usd") if name in metrics}
    priced = {"gpu_seconds": 36.0, "execution_usd": pytest.approx(RENT / 100, rel=1e-5)}
    assert found == (priced if node is CARD else {})


def test_points_of_progress_are_left_out_while_too_much_waits_for_the_store(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Recorder):
        pending = tracking.MOST_WAITING
        looks = 0

        def __getattribute__(self, name: str) -> Any:
            if name == "pending":
                self.looks += 1
            return super().__getattribute__(name)

    monkeypatch.setattr(tracking, "Tracker", Slow)
    monkeypatch.setattr(tracking, "PROGRESS_S", 0.001)
    plan = load_plan(["suite=humaneval", "limit=1", "model=rehearsal", "run.dir=run"])

    async def log() -> None:
        told = tracking.Tracking(plan)
        told.open(make_record(plan), plan)
        recorder: Any = told._tracker
        told.watch(Progress([], money=lambda: (0.5, 0.0)))
        async with asyncio.timeout(60):
            while recorder.looks < 3:  # noqa: ASYNC110  (what is waited for has no event)
                await asyncio.sleep(0.001)
            assert recorder.logged == {}
            recorder.pending = 0
            while not recorder.logged:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await told.close()

    asyncio.run(log())
