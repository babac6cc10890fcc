"""The runs of one sweep in MLflow: a parent, and a child a cell; found again by tags or made."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

__all__ = ["Dataset", "SweepRuns", "TrackedCell", "TrackedSweep", "now_ms"]

MOST_PARAMETERS: Final = 100
"""MLflow's limit for one batch."""
FOUND_AT_ONCE: Final = 1000
RUN_ID: Final = "run_id"
CELL: Final = "cell"


def now_ms() -> int:
    """MLflow's clock."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Dataset:
    """The suite, as a logged dataset."""

    name: str
    digest: str
    problems: int
    source: str


@dataclass(frozen=True, slots=True)
class TrackedCell:
    """A cell as MLflow sees it."""

    id: str
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class TrackedSweep:
    """A sweep as MLflow sees it."""

    id: str
    """By which its runs are found again, as the tag ``run_id``; no other sweep has it."""
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    cells: Sequence[TrackedCell]


class SweepRuns:
    """The ids of a sweep's runs."""

    def __init__(self, experiment: str, artifact_root: Path | None) -> None:
        """``artifact_root`` is where a local store keeps artifacts; None leaves it to the server."""
        self.parent = ""
        self.children: dict[str, str] = {}
        """By cell."""
        self._experiment = experiment
        self._artifact_root = artifact_root

    def stand(self, client: MlflowClient, sweep: TrackedSweep) -> None:
        """Make the sweep's runs, or take up those that are there.

        May be called again after it failed at any point. The store is asked what is there: after a run was made its
        answer may be lost, or the driver killed.
        """
        experiment = self._experiment_id(client)
        found = self._found(client, experiment, sweep.id)
        parent = found.get("")
        if parent is None:
            tags = {**sweep.tags, RUN_ID: sweep.id}
            parent = client.create_run(experiment, start_time=now_ms(), tags=tags, run_name=sweep.name)
        self.parent = parent.info.run_id
        datasets = {cell.dataset.digest: cell.dataset for cell in sweep.cells}
        self._describe(client, parent, sweep.params, list(datasets.values()))
        for cell in sweep.cells:
            child = found.get(cell.id)
            if child is None:
                tags = {**cell.tags, RUN_ID: sweep.id, CELL: cell.id, "mlflow.parentRunId": self.parent}
                child = client.create_run(experiment, start_time=now_ms(), tags=tags, run_name=cell.name)
            self.children[cell.id] = child.info.run_id
            self._describe(client, child, cell.params, [cell.dataset])

    def _found(self, client: MlflowClient, experiment: str, sweep_id: str) -> dict[str, Run]:
        """The sweep's runs by cell, the parent under ``""``."""
        # A name may hold what the filter's language has no way to write; `_` stands for any character there.
        pattern = re.sub(r"[^\w.-]", "_", sweep_id, flags=re.ASCII)
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = client.search_runs(
                [experiment], f"tags.{RUN_ID} LIKE '{pattern}'", max_results=FOUND_AT_ONCE, page_token=token
            )
            runs += [run for run in page if run.data.tags[RUN_ID] == sweep_id]
            token = page.token
            if not token:
                break
        return {run.data.tags.get(CELL, ""): run for run in runs}

    def _describe(
        self, client: MlflowClient, run: Run, params: Mapping[str, str], datasets: Sequence[Dataset]
    ) -> None:
        """Write what is not there yet: a store may go away between a run and its description."""
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        # What a sweep was begun with stays: MLflow lets no parameter change.
        left = {name: value for name, value in params.items() if name not in run.data.params}
        self._log_params(client, run.info.run_id, left)
        written = run.inputs.dataset_inputs if run.inputs is not None else []
        if len(written) < len(datasets):
            for dataset in datasets:
                self._log_dataset(client, run.info.run_id, dataset)

    def _experiment_id(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self._experiment)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if self._artifact_root is not None:
            location = (self._artifact_root / self._experiment).absolute().as_uri()
        tags = {"made_by": "orchestrator", "mlflow.experimentKind": "genai_development"}
        return str(client.create_experiment(self._experiment, artifact_location=location, tags=tags))

    @staticmethod
    def _log_params(client: MlflowClient, run: str, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in values.items()]
        for start in range(0, len(params), MOST_PARAMETERS):
            client.log_batch(run, params=params[start : start + MOST_PARAMETERS])

    @staticmethod
    def _log_dataset(client: MlflowClient, run: str, dataset: Dataset) -> None:
        from mlflow.entities import Dataset as MlflowDataset
        from mlflow.entities import DatasetInput, InputTag

        entity = MlflowDataset(
            name=dataset.name,
            # MLflow's digests have at most 36 characters.
            digest=dataset.digest[:36],
            source_type="code",
            source=json.dumps({"source": dataset.source, "sha256": dataset.digest}),
            profile=json.dumps({"num_rows": dataset.problems}),
        )
        client.log_inputs(run, datasets=[DatasetInput(entity, [InputTag("mlflow.data.context", "evaluation")])])
