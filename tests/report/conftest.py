"""Run folders that several test files read; none writes into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.fabricate import fabricate_run


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three systems on 164 problems, a real model."""
    return fabricate_run(tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rehearsal whose every text tries to get out of where it is put; some trials were never graded."""
    folder = tmp_path_factory.mktemp("runs") / "hostile"
    return fabricate_run(folder, problems=30, hostile=True, synthetic=True, ours=0.1)


@pytest.fixture(scope="session")
def gpu_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPU suite with several samples."""
    return fabricate_run(tmp_path_factory.mktemp("runs") / "gpu", problems=12, gpu=True, samples=3)
