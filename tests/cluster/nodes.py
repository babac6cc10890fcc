"""A Ray cluster of several nodes on this one machine, and the command that joins it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray.cluster_utils import Cluster

from tests.driver.commands import start

STORE_BYTES = 80 << 20
"""Object store of each node: problems only."""


class Nodes:
    """Nodes that are real raylets; their cards are only declared."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster

    @property
    def address(self) -> str:
        """Where a driver joins."""
        return str(self.cluster.address)

    def add(self, cpus: int, *, gpus: int = 0, labels: Mapping[str, str] | None = None, **environment: str) -> Any:
        """A node joins."""
        return self.cluster.add_node(
            num_cpus=cpus,
            num_gpus=gpus,
            labels=dict(labels or {}),
            env_vars=environment,
            object_store_memory=STORE_BYTES,
        )

    def kill(self, node: Any) -> None:
        """SIGKILL to a node's raylet, and to what is left of the node after it."""
        raylet = node.all_processes[PROCESS_TYPE_RAYLET][0].process
        raylet.send_signal(signal.SIGKILL)
        raylet.wait()
        self.cluster.remove_node(node, allow_graceful=False)

    def drain(self, node: Any, seconds: float) -> None:
        """A notice that the node will be taken away."""
        words = ["--address", self.address, "--node-id", node._node_id, "--reason"]
        words += ["DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot notice"]
        words += ["--deadline-remaining-seconds", str(seconds)]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "drain-node"]
        subprocess.run([*ray, *words], check=True, capture_output=True)

    def command(self, folder: Path, *words: str) -> subprocess.Popen[str]:
        """Start a sweep that joins this cluster."""
        joining = ("cluster=address", f"cluster.address={self.address}", "cluster.insecure=true")
        return start(folder, *joining, "display=plain", "tracking.enabled=false", *words)


@contextlib.contextmanager
def nodes() -> Iterator[Nodes]:
    """A head that runs no program; workers are added by the test."""
    cluster = Cluster(
        initialize_head=True,
        shutdown_at_exit=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        yield Nodes(cluster)
    finally:
        cluster.shutdown()


def wait_for(true: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def admitted(log: Path) -> Counter[str]:
    """How often the rehearsal server was asked each thing, by what was asked."""
    found: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "admitted":
            found[event["step"]] += 1
    return found
