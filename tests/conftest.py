"""What all tests share: a home of their own, no token, no figures sent to anyone, no key."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Ray 2.60 writes a token into the home folder when authentication is on, and MLflow and Ray report usage unless
# told otherwise. All of it is settled before either is imported, here and in every process that tests start.
_HOME = tempfile.TemporaryDirectory(prefix="orchestrator-tests-home-")
os.environ.update(
    {
        "HOME": _HOME.name,
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
)
for _name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "RAY_ADDRESS"):
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def orphans_are_let_go() -> Iterator[None]:
    """What a test adopted to look for leftovers is let go at its end."""
    yield
    commands = sys.modules.get("tests.driver.commands")
    if commands is not None:
        commands.release_orphans()


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


_STATUS = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember what the run came to."""
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End this process here, with that status, and not by the interpreter's own end.

    Native threads (Ray's, Arrow's) go on while the interpreter takes its memory down; a run in which every test had
    passed ended in a segmentation fault there.
    """
    status = config.stash.get(_STATUS, None)
    if status is None:
        return
    ray = sys.modules.get("ray")
    if ray is not None:
        ray.shutdown()
    _HOME.cleanup()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
