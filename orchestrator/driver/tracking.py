"""A run's side of MLflow: what is logged, and when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from orchestrator.core.summary import Summary
from orchestrator.journal.store import Journal
from orchestrator.plan.model import Plan
from orchestrator.track.metrics import cell_metrics, progress_metrics
from orchestrator.track.mlflow_tracker import (
    Dataset,
    TrackedCell,
    TrackedSweep,
    Tracker,
    check_reachable,
    default_uri,
)
from orchestrator.track.progress import Progress

__all__ = ["Tracking"]

PROGRESS_S: Final = 5.0
"""Between two points of a progress metric: a point costs MLflow a few milliseconds."""

RUNS_KEY: Final = "mlflow"


class Tracking:
    """Does nothing at all when ``tracking.enabled`` is false."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._config = plan.config.tracking
        self.uri = self._config.uri or default_uri(Path.cwd())
        self._tracker: Tracker | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.failure: str | None = None
        """One sentence when something could not be written."""

    @property
    def enabled(self) -> bool:
        """Whether MLflow is written at all."""
        return self._config.enabled

    def check(self) -> None:
        """Raises :class:`TrackingUnreachable` before anything is spent."""
        if self.enabled:
            check_reachable(self.uri)

    async def open(self, journal: Journal, record: Mapping[str, Any]) -> None:
        """Create the runs, or take up those of the sweep that is resumed."""
        if not self.enabled:
            return
        loop = asyncio.get_running_loop()
        known = await journal.meta(RUNS_KEY)
        local = self.uri.startswith("sqlite:")
        root = Path(self.uri.removeprefix("sqlite:///")).parent / "mlartifacts" if local else None
        name = self._config.experiment or str(record["sweep"])
        self._tracker = Tracker(self.uri, name, artifact_root=root)

        def remember(runs: dict[str, Any]) -> None:
            asyncio.run_coroutine_threadsafe(journal.put_meta(RUNS_KEY, runs), loop)

        self._tracker.start(
            self._sweep(record), known=known if isinstance(known, dict) else None, remember=remember
        )

    def watch(self, progress: Progress) -> None:
        """Log progress over time from now on."""
        if self._tracker is not None:
            self._watcher = asyncio.create_task(self._watch(self._tracker, progress))

    async def finish(self, summary: Summary, files: Sequence[Path], *, status: str, isolation: str) -> None:
        """Log the final metrics and files and wait until they are written."""
        if self._tracker is None:
            return
        tracker = self._tracker
        if self._watcher is not None:
            self._watcher.cancel()
        for cell in summary.cells:
            tracker.metrics(cell.id, cell_metrics(cell))
        tracker.parent_tags({"isolation": isolation, "synthetic": str(summary.synthetic).lower()})
        tracker.artifacts([file for file in files if file.exists()])
        tracker.finish(status=status)
        self.failure = await asyncio.to_thread(tracker.close)
        self._tracker = None

    async def close(self) -> None:
        """Leave without final figures (the run failed); what is written already stays."""
        if self._watcher is not None:
            self._watcher.cancel()
        if self._tracker is not None:
            self._tracker.finish(status="FAILED")
            await asyncio.to_thread(self._tracker.close, wait_s=5.0)
            self._tracker = None

    async def _watch(self, tracker: Tracker, progress: Progress) -> None:
        step = 0
        while True:
            await asyncio.sleep(PROGRESS_S)
            step += 1
            for cell in progress.cells:
                tracker.metrics(cell.id, progress_metrics(cell), step=step)
            tracker.metrics(None, {"progress_done": progress.done, "progress_planned": progress.planned}, step=step)

    def _sweep(self, record: Mapping[str, Any]) -> TrackedSweep:
        tags = {
            "run_id": str(record["run_id"]),
            "sweep": str(record["sweep"]),
            "git_commit": str(record["git_commit"] or "unknown"),
            "synthetic": str(self._plan.synthetic).lower(),
            "plan_digest": self._plan.digest,
            "run_dir": str(self._plan.run_dir),
            **{f"version.{name}": value for name, value in record["versions"].items()},
        }
        params = {
            "suite": str(record["suite"]["name"]),
            "suite_digest": str(record["suite"]["digest"]),
            "seed": str(record["seed"]),
            "trials": str(self._plan.trial_count),
            "command": str(record["command"]),
            "budget_usd": str(self._plan.config.budget.usd),
        }
        return TrackedSweep(
            name=str(record["run_id"]),
            tags=tags,
            params=params,
            cells=[self._cell(cell) for cell in record["cells"]],
            dataset=Dataset(
                name=str(record["suite"]["name"]),
                digest=str(record["suite"]["digest"]),
                problems=len(record["suite"]["problems"]),
                source=f"tasks:{record['suite']['name']}",
            ),
        )

    @staticmethod
    def _cell(cell: Mapping[str, Any]) -> TrackedCell:
        names = ("system", "model", "model_id", "effort", "suite", "hardware", "samples", "turns", "feedback")
        params = {name: str(cell[name]) for name in names if cell.get(name) is not None}
        params |= {f"axis.{key}": json.dumps(value) for key, value in cell["axes"].items() if key not in params}
        return TrackedCell(
            id=str(cell["id"]),
            params={**params, "max_tokens": str(cell["max_tokens"]), "planned": str(cell["planned"])},
            tags={
                "cell": str(cell["id"]),
                "system": str(cell["system"]),
                "synthetic": str(bool(cell["synthetic"])).lower(),
                "stand_in": str(bool(cell["stand_in"])).lower(),
            },
        )
