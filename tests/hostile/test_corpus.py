"""The corpus in every surrounding: as root and as an ordinary user, with namespaces and with them refused.

Each program gets the verdict in its file's first line, the executor is as good after it as before, nothing outside
was touched, and nothing is left.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.corpus import MODES
from tests.hostile.programs import HostileProgram, read_corpus

_ROOT = Path(__file__).parents[2]
_NOBODY = 65534
_CORPUS = read_corpus()
_USERS = ("root", "user") if os.getuid() == 0 else ("user",)
_OUTPUT_BYTES = 3 << 20
"""Above both streams' caps together."""


def _outcomes(user: str, mode: str) -> dict[str, dict[str, Any]]:
    """What became of each program; all surroundings are started by the first who asks, two at a time."""
    return _all_runs()[user, mode].result()


@functools.cache
def _all_runs() -> dict[tuple[str, str], Future[dict[str, dict[str, Any]]]]:
    pool = ThreadPoolExecutor(2)
    runs = {(user, mode): pool.submit(_run, user, mode) for user in _USERS for mode in MODES}
    pool.shutdown(wait=False)
    return runs


def _run(user: str, mode: str, only: str = "") -> dict[str, dict[str, Any]]:
    """Run the corpus in a process of its own."""
    identity: dict[str, Any] = {}
    python = sys.executable
    if user == "user" and os.getuid() == 0:
        identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        python = _python_for_all(identity)
    # Where the interpreter is another than this one, it finds what is installed (numpy) all the same.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib"), "HOME": "/nonexistent"}
    done = subprocess.run(
        [python, "-B", "-m", "tests.hostile.corpus", mode, only],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        env=environment,
        **identity,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    numpy = subprocess.run([python, "-B", "-c", "import numpy"], capture_output=True, env=environment, **identity)
    lines[0]["numpy"] = numpy.returncode == 0
    return {line.get("name", "around"): line for line in [{**lines[0], **lines[-1]}, *lines[1:-1]]}


def _python_for_all(identity: dict[str, Any]) -> str:
    """An interpreter like this one that an ordinary user may start (root's own may lie in root's home)."""
    probe = f"import sys, orchestrator.execute.executor; assert sys.version_info[:2] == {sys.version_info[:2]}"
    for python in (sys.executable, *filter(None, [shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")])):
        with contextlib.suppress(PermissionError):
            tried = subprocess.run([python, "-B", "-c", probe], cwd=_ROOT, capture_output=True, **identity)
            if tried.returncode == 0:
                return python
    pytest.skip("no interpreter like this one, or not this checkout, is open to an ordinary user")


def test_the_corpus_is_large_enough() -> None:
    assert sum(not program.honest for program in _CORPUS) >= 80
    assert sum(program.honest for program in _CORPUS) >= 25


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("user", _USERS)
def test_isolation_is_what_the_surrounding_gives(user: str, mode: str) -> None:
    around = _outcomes(user, mode)["around"]
    if mode == "refused":
        assert around["isolation"].startswith("partial")
        assert "namespaces" in around["isolation"]
    assert around["after closing"] == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("user", _USERS)
@pytest.mark.parametrize("program", [p for p in _CORPUS if not p.slow], ids=lambda program: program.name)
def test_program(program: HostileProgram, user: str, mode: str) -> None:
    if "import numpy" in program.source and not _outcomes(user, mode)["around"]["numpy"]:
        pytest.skip("numpy lies where an ordinary user may not read it")
    _check(program, _outcomes(user, mode)[program.name])


@pytest.mark.slow
@pytest.mark.parametrize("program", [p for p in _CORPUS if p.slow], ids=lambda program: program.name)
def test_slow_program(program: HostileProgram) -> None:
    _check(program, _run(_USERS[0], MODES[0], "slow")[program.name])


def _check(program: HostileProgram, found: dict[str, Any]) -> None:
    assert found["verdict"] in {verdict.value for verdict in program.verdicts}, found["reason"]
    assert (found["verdict"] == "passed") == (found["reason"] == "")
    assert found["reason"].isprintable()
    assert not program.honest or found["feedback"] == "passed"
    assert found["output"] <= _OUTPUT_BYTES
    assert found["after"] == ["passed", "wrong_answer"]
    assert found["touched"] == []
    # And nothing is left.
    assert found["left"] == []
