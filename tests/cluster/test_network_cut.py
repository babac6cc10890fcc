"""Two nodes on a network of their own, its link cut and restored: the table stays the same."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driver.commands import end, outcome, rows, run, wait_for_replies

from .networks import HEAD, PORT, WORKER, Link, can_make_networks, end_with_children, line_of
from .nodes import admitted, wait_for

SWEEP = (
    "+sweep=humaneval",
    "limit=20",
    "rehearsal.latency_low_s=0.2",
    "rehearsal.latency_high_s=0.6",
    "rehearsal.log=asked.jsonl",
    "generate.in_flight=3",
    "display=plain",
    "tracking.enabled=false",
    "run.dir=run",
)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    """A head with one slot on one side, a worker with one on the other."""
    if not can_make_networks():
        pytest.skip("needs root and iproute2 to make network namespaces")
    made = Link()
    with contextlib.ExitStack() as stack:
        stack.callback(made.down)
        made.up()
        common = ("--num-cpus=1", "--block", "--object-store-memory=80000000")
        ray = ("ray.scripts.scripts", "start")
        head = (f"--node-ip-address={HEAD}", "--head", f"--port={PORT}", "--include-dashboard=false")
        worker = (f"--node-ip-address={WORKER}", f"--address={HEAD}:{PORT}")
        for name, words in ((made.head, head), (made.worker, worker)):
            process = made.start(name, *ray, *words, *common, folder=tmp_path)
            stack.callback(end_with_children, process)
            wait_for(lambda p=process: "Ray runtime started" in line_of(p), "Ray started", 120)
        yield made


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [3, 60], ids=["a-moment", "until-the-node-is-given-up"])
def test_a_cut_network_changes_nothing_in_the_table(link: Link, tmp_path: Path, seconds: float) -> None:
    undisturbed, cut = tmp_path / "undisturbed", tmp_path / "cut"
    undisturbed.mkdir()
    cut.mkdir()
    ended = run(undisturbed, *SWEEP, "cluster.num_cpus=2")
    assert ended.code == 0, ended.out + ended.err
    joining = ("cluster=address", f"cluster.address={HEAD}:{PORT}", "cluster.insecure=true")
    process = link.start(link.head, "orchestrator", *joining, *SWEEP, folder=cut)
    wait_for_replies(process, cut / "run", 4)
    assert process.poll() is None
    link.cut()
    time.sleep(seconds)
    link.restore()
    ended = end(process, seconds=300)
    assert ended.code == 0, ended.out + ended.err
    found = rows(cut / "run")
    assert len(found) == len(set(found)) == 60
    assert outcome(cut / "run") == outcome(undisturbed / "run")
    assert admitted(cut / "asked.jsonl") == admitted(undisturbed / "asked.jsonl")
