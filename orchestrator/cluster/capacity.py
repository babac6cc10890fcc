"""How many execution slots the cluster has room for, by hardware class, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.cluster.session import ClusterError

__all__ = ["Demand", "room_for"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What one pool of slots needs of a node."""

    pool: str
    hardware: str
    gpu: bool
    labels: Mapping[str, str]


def room_for(demands: Iterable[Demand], *, autoscaling: bool = False) -> dict[str, int]:
    """Slots that the running nodes have room for, by pool.

    Raises:
        ClusterError: some demand fits no node. The sentence says what is there and what was asked: an actor whose
            selector matches nothing would wait for ever.
    """
    import ray

    listed: list[Mapping[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node for node in listed if node.get("Alive")]
    found: dict[str, int] = {}
    for demand in demands:
        count = sum(_slots(node, demand) for node in nodes)
        if count == 0 and not autoscaling:
            raise ClusterError(_nothing(demand, nodes))
        found[demand.pool] = max(count, 1)
    return found


def _slots(node: Mapping[str, Any], demand: Demand) -> int:
    labels = node.get("Labels") or {}
    if any(labels.get(key) != value for key, value in demand.labels.items()):
        return 0
    return int(node.get("Resources", {}).get("GPU" if demand.gpu else "CPU", 0))


def _nothing(demand: Demand, nodes: list[Mapping[str, Any]]) -> str:
    gpus = sum(int(node.get("Resources", {}).get("GPU", 0)) for node in nodes)
    own = [{k: v for k, v in (node.get("Labels") or {}).items() if not k.startswith("ray.io/")} for node in nodes]
    labels = "; ".join(", ".join(f"{k}={v}" for k, v in sorted(each.items())) or "no labels" for each in own)
    wanted = "a GPU" if demand.gpu else "a CPU"
    selector = ", ".join(f"{k}={v}" for k, v in sorted(demand.labels.items()))
    asked = f"hardware={demand.hardware} asks for {wanted}" + (
        f" on a node labelled {selector}" if selector else ""
    )
    there = f"the cluster has {len(nodes)} node(s) with {gpus} GPU(s) and the labels: {labels}"
    if demand.gpu and gpus == 0:
        change = "run on a machine with an NVIDIA GPU and its driver, or say execute.device=cpu"
    else:
        change = "start the node with `ray start --labels`, or choose another hardware="
    return f"{asked}, but {there}; {change}"
