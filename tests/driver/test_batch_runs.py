"""Message Batches through the whole command: what Ctrl-C leaves at the provider, and what a resume makes of it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from .commands import QUICK, Ended, end, rows, run, start

SWEEP = (
    "system=generate_only",
    "model=rehearsal",
    "limit=12",
    "generate.mode=batch",
    "tracking.enabled=false",
    "run.dir=r",
    *QUICK,
)


def open_batches(run_dir: Path) -> int:
    """Batches that the provider has given an id."""
    path = run_dir / "journal.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM batches WHERE open = 1 AND id NOT LIKE 'pending:%'"
        try:
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def interrupted(folder: Path, *words: str) -> Ended:
    """The command, interrupted while it waits for a batch: the first look at it is the last for half a minute."""
    process: subprocess.Popen[str] = start(folder, *SWEEP, *words)
    deadline = time.monotonic() + 120
    while not open_batches(folder / "r") and process.poll() is None:
        assert time.monotonic() < deadline, "no batch was made"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    return end(process)


@pytest.mark.parametrize("cancel", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_batch_that_ctrl_c_leaves_is_taken_up_by_the_resume(tmp_path: Path, cancel: bool) -> None:
    ended = interrupted(tmp_path, *(["generate.cancel_batches=true"] if cancel else []))
    assert ended.code == 130, ended.out + ended.err
    said = "were cancelled at the provider" if cancel else "go on at the provider"
    assert f"1 batch(es) {said}" in ended.out
    assert open_batches(tmp_path / "r") == 1
    record = (tmp_path / "r" / "plan.json").read_bytes()
    refused = run(tmp_path, "resume=r", "generate.mode=messages", "display=plain")
    assert refused.code == 1
    assert "run failed: 1 batch(es) of this run are still open at the provider" in refused.err
    assert "Traceback" not in refused.err
    assert (tmp_path / "r" / "plan.json").read_bytes() == record, "a resume goes on as before"
    resumed = run(tmp_path, "resume=r", "generate.batch_poll_s=0.5", "display=plain")
    assert resumed.code == 0, resumed.out + resumed.err
    assert open_batches(tmp_path / "r") == 0
    assert len(rows(tmp_path / "r", "verdict")) == 12
    batches = [
        json.loads(line)
        for line in (tmp_path / "r" / "rehearsal-batches.jsonl").read_text().splitlines()
        if '"requests"' in line
    ]
    asked = [len(batch["requests"]) for batch in batches]
    if cancel:
        assert asked[0] == 12
        assert 1 <= sum(asked[1:]) <= 12, "what was cancelled is bought anew, and no more"
    else:
        assert asked == [12], "nothing is bought twice"
