"""Two nodes on a network of their own, its link cut and restored: the table stays the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driver.commands import end, outcome, rows, run, wait_for_replies

from .nodes import admitted, wait_for

HEAD, WORKER = "10.217.44.1", "10.217.44.2"
PORT = 6389
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


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def can_make_networks() -> bool:
    """Whether this machine lets us make network namespaces."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    name = f"orc-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if made:
        ip("netns", "del", name)
    return made


class Link:
    """Two namespaces and the cable between them."""

    def __init__(self) -> None:
        self.head, self.worker = f"orc-h-{os.getpid()}", f"orc-w-{os.getpid()}"

    def up(self) -> None:
        """Lay the cable."""
        for name in (self.head, self.worker):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "link",
            "add",
            "cable",
            "netns",
            self.head,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            self.worker,
        )
        for name, address in ((self.head, HEAD), (self.worker, WORKER)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
        self.restore()

    def cut(self) -> None:
        """Pull the plug on the worker's side; what is sent is lost without a word."""
        ip("-n", self.worker, "link", "set", "cable", "down")

    def restore(self) -> None:
        """Put it back."""
        for name in (self.head, self.worker):
            ip("-n", name, "link", "set", "cable", "up")

    def down(self) -> None:
        """Remove what stands of it."""
        for name in (self.head, self.worker):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def start(self, name: str, *command: str, folder: Path) -> subprocess.Popen[str]:
        """Run a command in one of the namespaces, with a process group of its own."""
        return subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
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


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a command says."""
    assert process.poll() is None, process.stderr.read() if process.stderr else ""
    return process.stdout.readline() if process.stdout else ""


def end_with_children(process: subprocess.Popen[str]) -> None:
    """End a node: the command that holds it ends its processes when it is told to."""
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


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
