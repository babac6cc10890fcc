"""MLflow: a parent run a sweep, a child run a cell. The driver writes, in one thread of its own.

A tracking server that is away does not stop a sweep: what is to be written waits in memory, in order, and is
tried again until it goes through or the time allowed at the end is over.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.uris import without_password
from orchestrator.track.mlflow_runs import SweepRuns, TrackedSweep, now_ms
from orchestrator.track.mlflow_store import make_local_store, one_line, quieten, status_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["AT_END_S", "Tracker"]

MOST_METRICS: Final = 1000
MOST_TAGS: Final = 100
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 20.0
AT_END_S: Final = 660.0
"""How long the end of a run waits for a tracking server that is away: ten minutes and a bit."""
REFUSED: Final = frozenset({400, 401, 403, 404, 501})
"""Status codes of answers that stay the same however often one asks."""

logger = logging.getLogger(__name__)


class Tracker:
    """Writes one sweep to MLflow. Every method returns at once; the work is done in order by a thread."""

    def __init__(self, uri: str, experiment: str, *, artifact_root: Path | None) -> None:
        """``artifact_root`` is where a local store keeps artifacts; None leaves it to the server."""
        quieten()
        self.uri = uri
        self._shown = without_password(uri)
        self._runs = SweepRuns(experiment, artifact_root)
        self._queue: queue.SimpleQueue[Callable[[MlflowClient], None] | None] = queue.SimpleQueue()
        self._give_up_at: float | None = None
        self._patience_over = threading.Event()
        self._failure: str | None = None
        self._over = False
        self._away = False
        self._busy_s = 0.0
        self._opening_s = 0.0
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    @property
    def away(self) -> bool:
        """Whether the store did not answer the last time, and what is to be written waits for it."""
        return self._away

    @property
    def busy_s(self) -> float:
        """Seconds that the thread has spent on writing so far; waiting for a store that is away is not in them."""
        return self._busy_s

    @property
    def opening_s(self) -> float:
        """Seconds that loading MLflow's libraries and opening the store took, in the same thread; 0 until then."""
        return self._opening_s

    @property
    def pending(self) -> int:
        """About how many writes wait."""
        return self._queue.qsize()

    # -- what the driver says ------------------------------------------------------------------------------

    def start(self, sweep: TrackedSweep) -> None:
        """Create the runs, or take up those that the sweep has in the store."""
        self._put(lambda client: self._runs.stand(client, sweep))

    def metrics(self, cell: str | None, values: Mapping[str, float], *, step: int = 0) -> None:
        """Log metrics of a cell (None: of the parent). Only defined values belong in ``values``."""
        stamp = now_ms()
        self._put(lambda client: self._log(client, cell, values, stamp, step))

    def tags(self, cell: str | None, tags: Mapping[str, str]) -> None:
        """Set tags on a cell's run (None: on the parent)."""
        self._put(lambda client: self._log_tags(client, self._run(cell), tags))

    def artifacts(self, files: Sequence[Path], folder: str | None = None) -> None:
        """Attach files to the parent run."""

        def attach(file: Path) -> Callable[[MlflowClient], None]:
            return lambda client: client.log_artifact(self._runs.parent, str(file), folder)

        for file in files:
            self._put(attach(file))

    def text(self, cell: str, name: str, text: str) -> None:
        """Attach a text to a cell's run as a file called ``name``."""
        self._put(lambda client: client.log_text(self._run(cell), text, name))

    def call(self, work: Callable[[MlflowClient, str, Mapping[str, str]], None]) -> None:
        """Do something else in order: ``work(client, parent run id, child run ids by cell)``."""
        self._put(lambda client: work(client, self._runs.parent, self._runs.children))

    def finish(self, *, status: str) -> None:
        """End all runs; ``status`` is MLflow's (FINISHED, FAILED, KILLED)."""
        stamp = now_ms()

        def end(client: MlflowClient) -> None:
            for run in (*self._runs.children.values(), self._runs.parent):
                client.set_terminated(run, status=status, end_time=stamp)

        self._put(end)

    def close(self, *, wait_s: float = AT_END_S) -> str | None:
        """Write what is left. Returns None, or one sentence that says what could not be written."""
        self._give_up_at = time.monotonic() + wait_s
        self._queue.put(None)
        self._thread.join()
        return self._failure

    def give_up(self) -> None:
        """Try nothing again from here on; what goes through is written."""
        self._patience_over.set()

    # -- the thread ----------------------------------------------------------------------------------------

    def _put(self, work: Callable[[MlflowClient], Any]) -> None:
        self._queue.put(work)

    def _work(self) -> None:
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        client: MlflowClient | None = None
        while (work := self._queue.get()) is not None:
            if self._over:
                continue
            pause = FIRST_RETRY_S
            while True:
                begun = time.monotonic()
                try:
                    if client is None:
                        make_local_store(self.uri)
                        client = MlflowClient(tracking_uri=self.uri)
                        self._opening_s = time.monotonic() - begun
                        begun = time.monotonic()
                    work(client)
                    self._busy_s += time.monotonic() - begun
                    self._away = False
                    break
                except Exception as error:  # noqa: BLE001 - any failure of a remote store is tried again
                    refused = _refused(error)
                    late = self._give_up_at is not None and time.monotonic() > self._give_up_at
                    late = late or self._patience_over.is_set()
                    self._away = not refused
                    if refused or late:
                        # What is refused is left out and the rest goes on; without runs there is no rest.
                        self._over = late or not self._runs.parent
                        self._failure = self._failure or (
                            f"MLflow at {self._shown} could not be written: {one_line(error)}"
                        )
                        break
                    if pause == FIRST_RETRY_S:
                        logger.warning(
                            "MLflow at %s: %s; the sweep goes on and what is to be written waits,"
                            " at the end for at most %d minutes",
                            self._shown,
                            one_line(error),
                            AT_END_S // 60,
                        )
                    self._patience_over.wait(pause)
                    pause = min(2 * pause, LONGEST_RETRY_S)

    def _log(
        self, client: MlflowClient, cell: str | None, values: Mapping[str, float], stamp: int, step: int
    ) -> None:
        from mlflow.entities import Metric

        run = self._run(cell)
        metrics = [Metric(key, float(value), stamp, step) for key, value in values.items()]
        for start in range(0, len(metrics), MOST_METRICS):
            client.log_batch(run, metrics=metrics[start : start + MOST_METRICS])

    def _run(self, cell: str | None) -> str:
        return self._runs.parent if cell is None else self._runs.children[cell]

    @staticmethod
    def _log_tags(client: MlflowClient, run: str, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in values.items()]
        for start in range(0, len(tags), MOST_TAGS):
            client.log_batch(run, tags=tags[start : start + MOST_TAGS])


def _refused(error: Exception) -> bool:
    """Whether trying again cannot help."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return status_of(error) in REFUSED
    # A page that is no JSON comes from a proxy whose server is away.
    if isinstance(error, json.JSONDecodeError):
        return False
    # What the client or a store of this kind cannot do, and files of ours that are not there.
    return isinstance(error, NotImplementedError | TypeError | ValueError | KeyError | FileNotFoundError)
