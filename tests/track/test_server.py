"""Against a real ``mlflow server``: one that asks who is there, goes away for a while, and is looked at."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.track.mlflow_store import TrackingUnreachable, check_reachable
from orchestrator.track.mlflow_traces import TraceWriter
from orchestrator.track.mlflow_tracker import Tracker
from tests.answering import Answering
from tests.track.test_mlflow_traces import SWEEP, traces

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
WORD = "Basic " + base64.b64encode(b"ada:secret").decode()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    words = [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 180
        while not healthy(url):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.5)
        yield url
    finally:
        # The server starts workers: all of its own group end with it.
        os.killpg(process.pid, 15)
        process.wait(timeout=60)


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server"), free_port()) as url:
        yield url


@contextmanager
def door(server: str) -> Iterator[str]:
    """Lets only ada in, as a proxy in front of a tracking server does."""

    class Door(Answering):
        def _pass(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            if self.path != "/health" and self.headers.get("Authorization") != WORD:
                self.answer(401, b"who are you?", "text/plain")
                return
            kept = {
                n: v for n, v in self.headers.items() if n.lower() in ("content-type", "x-mlflow-experiment-id")
            }
            request = urllib.request.Request(server + self.path, body, kept, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.answer(answer.status, answer.read(), answer.headers.get("Content-Type", ""))
            except urllib.error.HTTPError as error:
                self.answer(error.code, error.read(), error.headers.get("Content-Type", ""))

        do_GET = do_POST = do_PUT = do_PATCH = _pass

    opened = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    opened.daemon_threads = True
    thread = threading.Thread(target=opened.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{opened.server_port}"
    finally:
        opened.shutdown()
        thread.join()
        opened.server_close()


def track(uri: str, experiment: str, count: int = 6) -> tuple[dict[str, Any], str | None]:
    runs: dict[str, Any] = {}
    tracker = Tracker(uri, experiment, artifact_root=None)
    tracker.start(SWEEP)
    tracker.metrics("hybrid-sonnet", {"pass_at_1": 0.5}, step=1)
    tracker.tags(None, {"mlflow.note.content": "what came of it"})
    tracker.text("hybrid-sonnet", "trials.csv", "problem,verdict\nHumanEval/1,passed\n")
    tracker.call(TraceWriter(iter(traces(count)), uri, chosen=count, seconds=60.0))
    tracker.call(lambda client, parent, children: runs.update(parent=parent, children=children))
    tracker.finish(status="FINISHED")
    failure = tracker.close(wait_s=240.0)
    return runs, failure


def test_who_is_not_let_in_learns_it_before_anything_is_spent(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with door(server) as url:
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(TrackingUnreachable, match="MLFLOW_TRACKING_USERNAME"):
            check_reachable(url)
        started = time.monotonic()
        _, failure = track(url, "refused")
        assert failure is not None
        assert "401" in failure
        # What is refused is not asked for again and again until the time is over.
        assert time.monotonic() - started < 120
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        check_reachable(url)
        runs, failure = track(url, "let-in")
        assert failure is None
        assert set(runs["children"]) == {"hybrid-sonnet"}


def test_a_server_that_goes_away_for_a_while_loses_nothing(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    ended: list[tuple[dict[str, Any], str | None]] = []
    writing = threading.Thread(target=lambda: ended.append(track(uri, "away", 12)))
    writing.start()
    # Nobody listens yet: everything waits.
    time.sleep(3)
    assert not ended
    with mlflow_server(tmp_path, port):
        writing.join(timeout=300)
        ((runs, failure),) = ended
        assert failure is None
        client = MlflowClient(uri)
        child = client.get_run(runs["children"]["hybrid-sonnet"])
        assert child.data.metrics["pass_at_1"] == 0.5
        assert client.get_run(runs["parent"]).data.metrics["traces"] == 12.0
        assert client.get_run(runs["parent"]).info.status == "FINISHED"


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here")
def test_the_pages_show_runs_a_trace_with_its_cost_and_the_artifacts(server: str) -> None:
    from mlflow import MlflowClient
    from playwright.sync_api import sync_playwright

    runs, failure = track(server, "looked-at")
    assert failure is None
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("looked-at")
    assert experiment is not None
    number, child = experiment.experiment_id, runs["children"]["hybrid-sonnet"]
    trace = client.search_traces(locations=[number], run_id=child)[0].info.trace_id
    pages = {
        f"experiments/{number}/evaluation-runs": ("pass_at_1", "run-1"),
        f"experiments/{number}/runs/{runs['parent']}": ("what came of it", "hybrid-sonnet"),
        f"experiments/{number}/runs/{child}/artifacts/trials.csv": ("HumanEval/1",),
        f"experiments/{number}/traces?selectedEvaluationId={trace}": ("repair, turn 2", "$0.0007"),
        f'compare-runs?runs=["{child}","{runs["parent"]}"]&experiments=["{number}"]': ("Comparing 2 Runs",),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            for path, texts in pages.items():
                page.goto(f"{server}/#/{path}")
                for text in texts:
                    page.get_by_text(text).first.wait_for(timeout=60_000)
        finally:
            browser.close()
