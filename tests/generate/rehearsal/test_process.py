"""The server's process: it starts with a word, binds to the loopback only, and ends with its parent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.generate.rehearsal import RehearsalServer, RehearsalServerError, RehearsalSettings
from tests.generate.rehearsal.parts import write_human_eval


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_human_eval(tmp_path_factory.mktemp("rehearsal") / "problems.jsonl", count=3)


def _gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_it_serves_on_the_loopback_only_and_is_gone_after_stop(problems: str) -> None:
    server = RehearsalServer(RehearsalSettings(problems=problems))
    url = server.start()
    pid = server.pid
    assert pid is not None
    assert url == server.base_url
    listening = [c.laddr for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", int(url.rpartition(":")[2]))]
    assert server.counts().requests == 0
    with pytest.raises(RehearsalServerError, match="running already"):
        server.start()
    server.stop()
    server.stop()
    assert _gone(pid)
    assert server.counts().requests == 0
    with pytest.raises(RehearsalServerError, match="not running"):
        server.replies()


def test_no_secret_of_ours_reaches_it(problems: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-not-for-the-server")
    with RehearsalServer(RehearsalSettings(problems=problems)) as server:
        assert server.pid is not None
        environment = Path(f"/proc/{server.pid}/environ").read_bytes()
        command = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert b"sk-ant" not in environment + command


def test_it_ends_when_its_parent_is_killed(problems: str) -> None:
    code = (
        "import os, sys, time\n"
        "from orchestrator.generate.rehearsal import RehearsalServer, RehearsalSettings\n"
        "server = RehearsalServer(RehearsalSettings(problems=sys.argv[1]))\n"
        "server.start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, problems], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert _gone(pid)


def test_it_outlives_the_thread_that_started_it(problems: str) -> None:
    server = RehearsalServer(RehearsalSettings(problems=problems))
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    # The kernel counts the end of a thread as the end of a parent, so wait until it is really gone.
    deadline = time.monotonic() + 10
    while (
        starter.native_id in {int(name) for name in os.listdir("/proc/self/task")} and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    try:
        for _ in range(5):
            assert server.counts().requests == 0
            time.sleep(0.02)
    finally:
        server.stop()


def test_what_keeps_it_from_starting_is_said(tmp_path: Path) -> None:
    with pytest.raises(RehearsalServerError, match=r"missing\.jsonl"):
        RehearsalServer(RehearsalSettings(problems=str(tmp_path / "missing.jsonl"))).start()
    bad = tmp_path / "bad.jsonl"
    bad.write_text("no\n")
    with pytest.raises(RehearsalServerError, match="line 1"):
        RehearsalServer(RehearsalSettings(problems=str(bad))).start()


def test_by_hand_it_takes_its_settings_as_an_argument() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.generate.rehearsal", '{"sed": 1}'], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "The rehearsal server cannot start: Unknown rehearsal settings: sed.\n"
