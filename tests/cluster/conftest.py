"""What tests of a cluster share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.driver.commands import run

from .small_sweep import SWEEP


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep on one machine without a card, with nothing lost: no verdict depends on where it is given."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ended = run(folder, *SWEEP, "cluster.num_cpus=2", "display=plain", "tracking.enabled=false")
    assert ended.code == 0, ended.out + ended.err
    return folder
