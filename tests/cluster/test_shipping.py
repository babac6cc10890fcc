"""The driver's sources go to the nodes: nodes that have none of their own run the same code."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
from orchestrator.cluster.shipping import pack, shipped_by_the_job
from tests.driver.commands import end, rows

from .nodes import Nodes, nodes


def test_only_modules_of_this_program_are_packed_and_equal_sources_are_equal_archives(tmp_path: Path) -> None:
    shipment = pack(tmp_path)
    with zipfile.ZipFile(shipment.path) as archive:
        names = archive.namelist()
        assert archive.read("orchestrator/__init__.py") == Path(str(orchestrator.__file__)).read_bytes()
    assert len(names) == shipment.files > 100
    assert {name.partition("/")[0] for name in names} == {"orchestrator", "tasks"}
    assert {Path(name).suffix for name in names} == {".py"}
    assert shipment.size < 2 << 20
    assert shipment.digest[:16] in shipment.path.name
    first = shipment.path.read_bytes()
    assert pack(tmp_path).path.read_bytes() == first


def test_a_job_that_was_submitted_with_its_own_folder_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert not shipped_by_the_job()
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"env_vars": {}}}')
    assert not shipped_by_the_job()
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}')
    assert shipped_by_the_job()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A node where importing this program fails, as on a machine that has only its dependencies."""
    overlay = tmp_path_factory.mktemp("bare")
    for name in ("orchestrator", "tasks"):
        (overlay / name).mkdir()
        (overlay / name / "__init__.py").write_text("raise ModuleNotFoundError(f'No module named {__name__!r}')\n")
    path = os.pathsep.join(filter(None, [str(overlay), os.environ.get("PYTHONPATH", "")]))
    with nodes() as cluster:
        cluster.add(2, PYTHONPATH=path)
        yield cluster


def test_a_node_without_this_program_runs_what_the_driver_brings(bare: Nodes, tmp_path: Path) -> None:
    ended = end(bare.command(tmp_path, "+sweep=humaneval", "limit=4", "run.dir=run"))
    assert ended.code == 0, ended.out + ended.err
    assert "given to the nodes:" in ended.out
    found = rows(tmp_path / "run", "verdict", "isolation")
    assert len(found) == 12
    assert {row[3] for row in found if row[0].startswith("execute_only")} == {"passed"}


@pytest.mark.slow
def test_without_shipping_such_a_node_is_refused_by_name(bare: Nodes, tmp_path: Path) -> None:
    ended = end(bare.command(tmp_path, "model=rehearsal", "limit=1", "cluster.ship=false", "preflight=only"))
    assert ended.code == 1, ended.out + ended.err
    assert "this program is not installed there" in ended.out
    assert "given to the nodes" not in ended.out
