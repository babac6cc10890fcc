"""A stand-in for a model on one's own card: the rehearsal server behind a door that needs no header of its own."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from orchestrator.core.problems import Problem
from orchestrator.generate.rehearsal.problems import write_problems
from orchestrator.generate.rehearsal.process import RehearsalServer
from orchestrator.generate.rehearsal.settings import RehearsalSettings
from tests.answering import Answering

__all__ = ["local_server"]


@contextmanager
def local_server(folder: Path, problems: Sequence[Problem], *, seed: int) -> Iterator[str]:
    """Serve the Messages API for these problems; gives the address.

    The rehearsal server is told by a header which problem, sample and turn a request is about. No other server
    is, so the door works that out: the problem by the prompt, the sample by counting.
    """
    path = folder / "stand-in.jsonl"
    write_problems(path, problems)
    asked: Counter[tuple[str, int]] = Counter()
    counting = threading.Lock()

    def rehearsal_id(body: dict[str, Any]) -> str:
        messages = body["messages"]
        text = json.dumps(messages[0]["content"])
        problem = next(p.id for p in problems if json.dumps(p.public.prompt.strip())[1:-1] in text)
        turn = (len(messages) + 1) // 2
        with counting:
            sample = asked[problem, turn]
            asked[problem, turn] += 1
        return f"{problem};{sample};{turn};1"

    class Door(Answering):
        def do_GET(self) -> None:
            self.answer(404, b"{}", "application/json")

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
                self.answer(404, b"{}", "application/json")
                return
            headers = {name: value for name, value in self.headers.items() if name.lower().startswith("anthropic")}
            headers |= {"Content-Type": "application/json", "x-rehearsal-id": rehearsal_id(json.loads(raw))}
            headers["x-api-key"] = "none"
            request = urllib.request.Request(server.base_url + self.path, raw, headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.answer(answer.status, answer.read(), answer.headers["Content-Type"])
            except urllib.error.HTTPError as error:
                self.answer(error.code, error.read(), "application/json")

    settings = RehearsalSettings(problems=str(path), seed=seed, latency_low_s=0.0, latency_high_s=0.05)
    with RehearsalServer(settings) as server:
        door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        door.daemon_threads = True
        thread = threading.Thread(target=door.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.server_port}"
        finally:
            door.shutdown()
            thread.join()
            door.server_close()
