"""A run's side of MLflow: what is logged, and when."""

from __future__ import annotations

import asyncio
import getpass
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.cost import hourly_rates
from orchestrator.core.summary import Summary
from orchestrator.core.uris import without_password
from orchestrator.plan.model import Plan
from orchestrator.report import Run, load_run, main_plots_png, warm_up
from orchestrator.track.cards import Cards
from orchestrator.track.description import cell_description, sweep_description, trials_table
from orchestrator.track.metrics import LIVE, card_metrics, cell_metrics, progress_metrics, sweep_progress_metrics
from orchestrator.track.mlflow_runs import Dataset, TrackedCell, TrackedSweep
from orchestrator.track.mlflow_store import artifact_root, check_reachable, default_uri, usable_uri
from orchestrator.track.mlflow_traces import TraceWriter
from orchestrator.track.mlflow_tracker import AT_END_S, Tracker
from orchestrator.track.progress import Progress
from orchestrator.track.traces import STEP_COLUMNS, TokenRates, Trace, TrialKey, build_trace, choose_trials

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Tracking"]

PROGRESS_S: Final = 5.0
"""Between two points of a progress metric: a point costs MLflow a few milliseconds."""

TRACES_S: Final = 0.5
TRACES_SHARE: Final = 0.0075
"""How long the traces of a run may take at its end: so many seconds, or this share of the run if that is more.
A trace costs MLflow's store 10 ms on a quiet machine and 30 to 45 ms on a busy one, most of it in its own object
mapping, and no call takes several."""
TRACES_READ: Final = 200
"""Traces whose texts are in memory at once: a few MB."""

MOST_WAITING: Final = 1000
"""Writes that wait for a store that is slow or away, before points of progress are left out: at the end they would
all be waited for, and the final figures need none of them."""


class Tracking:
    """Does nothing at all when ``tracking.enabled`` is false."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._config = plan.config.tracking
        self.uri = usable_uri(self._config.uri) if self._config.uri else default_uri(Path.cwd())
        self._tracker: Tracker | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._progress: Progress | None = None
        self._record: Mapping[str, Any] = {}
        self._on_gpu: frozenset[str] = frozenset()
        self.failure: str | None = None
        """One sentence when something could not be written."""
        self._ending = False

    @property
    def enabled(self) -> bool:
        """Whether MLflow is written at all."""
        return self._config.enabled

    @property
    def _step(self) -> int:
        """Seconds since the sweep was first started: goes on where a resumed sweep stopped."""
        return max(0, int(time.time() - float(self._record.get("created") or time.time())))

    @property
    def how_to_look(self) -> str:
        """The command or the address that shows what was written."""
        shown = without_password(self.uri)
        return f"mlflow: {shown}" if shown.startswith("http") else f"mlflow ui --backend-store-uri {shown}"

    def check(self) -> None:
        """Raises :class:`TrackingUnreachable` before anything is spent."""
        if self.enabled:
            check_reachable(self.uri)

    def notice(self) -> str:
        """What to show while the tracking server is away, or while the end of a run waits for it; else empty."""
        tracker = self._tracker
        if tracker is None or not (tracker.away or self._ending):
            return ""
        left = f"{tracker.pending} writes left"
        if tracker.away and self._ending:
            return f"waiting for the tracking server, at most {AT_END_S / 60:.0f} minutes or until Ctrl-C ({left})"
        return f"waiting for the tracking server ({left})" if tracker.away else f"writing to MLflow ({left})"

    def open(self, record: Mapping[str, Any], placed: Plan) -> None:
        """Create the runs, or take up those of the sweep that is resumed.

        ``placed`` is the plan with its cells where they run: where no GPU is, some may have moved to the CPU.
        """
        if not self.enabled:
            return
        self._record = record
        self._on_gpu = frozenset(cell.id for cell in placed.cells if cell.needs_gpu)
        name = self._config.experiment or str(record["sweep"])
        self._tracker = Tracker(self.uri, name, artifact_root=artifact_root(self.uri))

        self._tracker.start(self._sweep(record))

    def watch(self, progress: Progress) -> None:
        """Log progress over time from now on."""
        if self._tracker is not None:
            self._progress = progress
            self._watcher = asyncio.create_task(self._watch(self._tracker, progress))

    async def finish(self, summary: Summary, files: Sequence[Path], *, status: str, isolation: str) -> None:
        """Log the final metrics, files and traces and wait until they are written.

        The results are on disk by now: what goes wrong here ends up in :attr:`failure` and nowhere else.
        """
        if self._tracker is None:
            return
        tracker = self._tracker
        self._ending = True
        begun, before = time.monotonic(), tracker.busy_s
        if self._watcher is not None:
            self._watcher.cancel()
        # After the last point of progress also where that was made within the same second.
        step = self._step + 1
        if self._progress is not None:
            tracker.metrics(None, sweep_progress_metrics(self._progress), step=step)
        rates = self._record["rates"]
        hourly = {card["name"]: hourly_rates(card, rates) for card in self._record["hardware"]}
        for cell in summary.cells:
            final = cell_metrics(cell, hourly.get(cell.hardware), on_gpu=cell.id in self._on_gpu)
            tracker.metrics(cell.id, {name: final[name] for name in final if name in LIVE}, step=step)
            tracker.metrics(cell.id, {name: final[name] for name in final if name not in LIVE})
            tracker.tags(cell.id, {"mlflow.note.content": cell_description(cell)})
        ended = {"isolation": isolation, "status": str(self._record.get("status", status.lower()))}
        ended |= {
            "synthetic": str(summary.synthetic).lower(),
            "mlflow.note.content": sweep_description(summary, ended["status"]),
        }
        tracker.tags(None, ended)
        tracker.artifacts([file for file in files if file.exists()])
        with TemporaryDirectory() as folder:
            trouble = await asyncio.to_thread(self._log_trials, tracker, Path(folder))

            def own_cost(client: MlflowClient, parent: str, children: Mapping[str, str]) -> None:
                client.log_metric(parent, "tracking_open_s", tracker.opening_s)
                client.log_metric(parent, "tracking_s", before)
                client.log_metric(parent, "tracking_end_s", time.monotonic() - begun)

            tracker.call(own_cost)
            tracker.finish(status=status)
            self.failure = await asyncio.to_thread(tracker.close) or trouble
        self._tracker = None

    def leave(self) -> None:
        """Wait no longer for a store that is away; what it takes at once is still written."""
        if self._tracker is not None:
            self._tracker.give_up()

    async def close(self, *, status: str = "FAILED") -> None:
        """Leave without final figures (the run failed or was interrupted); what is written already stays."""
        if self._watcher is not None:
            self._watcher.cancel()
        if self._tracker is not None:
            self._tracker.finish(status=status)
            await asyncio.to_thread(self._tracker.close, wait_s=5.0)
            self._tracker = None

    async def _watch(self, tracker: Tracker, progress: Progress) -> None:
        # Only cards that this machine's programs run on: those of other nodes are not seen from here.
        on_card = any(cell.needs_gpu for cell in self._plan.cells)
        cards = await asyncio.to_thread(Cards) if on_card else None
        # While models are at work; at the end of the run somebody waits for the plots.
        await asyncio.to_thread(warm_up)
        while True:
            if tracker.pending < MOST_WAITING:
                self._log_progress(tracker, progress)
            if cards and tracker.pending < MOST_WAITING:
                tracker.metrics(None, await asyncio.to_thread(cards.metrics), step=self._step)
            await asyncio.sleep(PROGRESS_S)

    def _log_progress(self, tracker: Tracker, progress: Progress) -> None:
        for cell in progress.cells:
            if cell.graded:
                tracker.metrics(cell.id, progress_metrics(cell), step=self._step)
        on_cards = card_metrics(progress, time.time() - progress.elapsed_s)
        tracker.metrics(None, sweep_progress_metrics(progress) | on_cards, step=self._step)

    def _log_trials(self, tracker: Tracker, folder: Path) -> str | None:
        """Hand over plots, tables of trials and traces. Returns what could not be made, in one sentence."""
        try:
            run = load_run(self._plan.run_dir)
            tracker.artifacts(main_plots_png(self._plan.run_dir, folder), "plots")
        except Exception as error:  # noqa: BLE001 - a chart that cannot be drawn fails no run
            return f"MLflow got no plots and no traces: {error}"
        rows: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in run.rows:
            rows[row["cell"]].append(row)
        for cell, trials in rows.items():
            tracker.text(cell, "trials.csv", trials_table(trials))
        if chosen := choose_trials(run.rows, self._config.traces):
            elapsed = self._progress.elapsed_s if self._progress is not None else 0.0
            seconds = max(TRACES_S, TRACES_SHARE * elapsed)
            traces = self._traces(run, chosen)
            tracker.call(TraceWriter(traces, self.uri, chosen=len(chosen), seconds=seconds))
        return None

    def _traces(self, run: Run, chosen: Sequence[TrialKey]) -> Iterator[Trace]:
        wanted = set(chosen)
        rows = {key: row for row in run.rows if (key := _key(row["cell"], row)) in wanted}
        prompts = {cell.id: cell.prompt.system for cell in self._plan.cells if cell.generates}
        models = {str(cell["id"]): cell.get("model_id") for cell in self._record["cells"]}
        prices = {price["model"]: _rates(price) for price in self._record["prices"]}
        for start in range(0, len(chosen), TRACES_READ):
            keys = chosen[start : start + TRACES_READ]
            for key, steps in zip(keys, _read_steps(run, keys), strict=True):
                rates = prices.get(models.get(key[0]))
                yield build_trace(rows[key], steps, system_prompt=prompts.get(key[0], ""), rates=rates)

    def _sweep(self, record: Mapping[str, Any]) -> TrackedSweep:
        common = {
            "sweep": str(record["sweep"]),
            "git_commit": str(record["git_commit"] or "unknown"),
            # What MLflow's own columns Source, Version and User show.
            "mlflow.source.type": "LOCAL",
            # The page shows what stands behind the last slash, so no more than this; the whole is a parameter.
            "mlflow.source.name": f"python -m orchestrator +sweep={record['sweep']}",
            **_user(),
        }
        if record["git_commit"]:
            common["mlflow.source.git.commit"] = str(record["git_commit"]).removesuffix("-dirty")
        tags = {
            **common,
            "level": "sweep",
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
            id=str(record["run_id"]),
            name=_name(str(record["run_id"]), self._plan.synthetic),
            tags=tags,
            params=params,
            cells=[self._cell(cell, common) for cell in record["cells"]],
        )

    def _cell(self, cell: Mapping[str, Any], common: Mapping[str, str]) -> TrackedCell:
        names = ("system", "model", "model_id", "effort", "suite", "hardware", "samples", "turns", "feedback")
        # What does not apply says so: MLflow's page of comparisons would call it unknown.
        params = {name: "none" if cell.get(name) is None else str(cell[name]) for name in names}
        planned = next(each for each in self._plan.cells if each.id == cell["id"])
        suite = self._plan.suite(planned)
        params |= {f"axis.{key}": json.dumps(value) for key, value in cell["axes"].items() if key not in params}
        return TrackedCell(
            id=str(cell["id"]),
            name=_name(str(cell["id"]), bool(cell["synthetic"])),
            params={**params, "max_tokens": str(cell["max_tokens"]), "planned": str(cell["planned"])},
            tags={
                **common,
                "level": "cell",
                "system": str(cell["system"]),
                "synthetic": str(bool(cell["synthetic"])).lower(),
                "stand_in": str(bool(cell["stand_in"])).lower(),
            },
            dataset=Dataset(suite.name, suite.digest, len(planned.problems), f"tasks:{suite.name}"),
        )


def _read_steps(run: Run, keys: Sequence[TrialKey]) -> list[list[dict[str, Any]]]:
    """The steps of each of these trials."""
    found: dict[TrialKey, list[dict[str, Any]]] = {key: [] for key in keys}
    light = enumerate(run.steps(("cell", "problem", "sample")))
    positions = [i for i, step in light if any(_key(cell, step) in found for cell in step["cell"])]
    for step in run.steps(STEP_COLUMNS, positions):
        for cell in step["cell"]:
            if (key := _key(cell, step)) in found:
                found[key].append(step)
    return [found[key] for key in keys]


def _key(cell: str, row: Mapping[str, Any]) -> TrialKey:
    return (cell, str(row["problem"]), int(row["sample"]))


def _name(name: str, synthetic: bool) -> str:
    """What lists of runs show: nobody may take a rehearsal for a result there."""
    return f"{name} (synthetic)" if synthetic else name


def _rates(price: Mapping[str, Any]) -> TokenRates | None:
    names = ("input_per_mtok", "output_per_mtok", "cache_read_per_mtok", "cache_write_per_mtok")
    if price.get(names[0]) is None:
        return None
    return TokenRates(*(float(price.get(name) or 0.0) for name in names))


def _user() -> dict[str, str]:
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):
        # A container's user may have no name.
        return {}
