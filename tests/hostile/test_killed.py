"""Nothing survives the grading process when that is killed: no process, no file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.corpus import MODES


@pytest.mark.parametrize("mode", MODES)
def test_nothing_survives_the_grader(mode: str) -> None:
    command = [sys.executable, "-B", "-m", "tests.hostile.killed", mode]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["reached"], "the program did not start what it starts"
    assert found["left"] == []
