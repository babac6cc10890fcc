"""How many execution slots the cluster has room for, by hardware class, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.cluster.session import ClusterError

__all__ = ["Demand", "NodeView", "generating_nodes", "list_nodes", "refuse", "room_for", "share_out"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What one pool of slots needs of a node."""

    pool: str
    hardware: str
    gpu: bool
    labels: Mapping[str, str]
    movable: bool = True
    """Whether all of its programs could run on a CPU if they were allowed to."""

    def fits(self, node: NodeView) -> bool:
        """Whether the node carries the labels that are asked for."""
        return all(node.labels.get(key) == value for key, value in self.labels.items())


@dataclass(frozen=True, slots=True)
class NodeView:
    """One living node, as Ray tells of it."""

    id: str
    host: str
    address: str
    labels: Mapping[str, str]
    cpus: int
    gpus: int
    draining: bool = False
    """It is about to leave: nothing new is placed there."""

    @property
    def own_labels(self) -> dict[str, str]:
        """Labels that somebody gave it, without those that Ray sets by itself."""
        return {key: value for key, value in sorted(self.labels.items()) if not key.startswith("ray.io/")}


def list_nodes() -> list[NodeView]:
    """The living nodes, in the order of their ids. Ray must be initialised."""
    import ray
    from ray._private.state import state

    listed: list[Mapping[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    leaving = set(state.get_draining_nodes())
    nodes = [
        NodeView(
            id=node["NodeID"],
            host=node.get("NodeManagerHostname") or node["NodeManagerAddress"],
            address=node["NodeManagerAddress"],
            labels=dict(node.get("Labels") or {}),
            cpus=int(node.get("Resources", {}).get("CPU", 0)),
            gpus=int(node.get("Resources", {}).get("GPU", 0)),
            draining=node["NodeID"] in leaving,
        )
        for node in listed
        if node.get("Alive")
    ]
    return sorted(nodes, key=lambda node: node.id)


def generating_nodes(nodes: Sequence[NodeView]) -> list[NodeView]:
    """Where requests are sent from: nodes without a GPU, or all of them where there is no such node.

    A machine with a card is the dearest and, as spot, the first to be taken away; and what sends requests holds the
    key, which then need not lie where programs run on cards.
    """
    staying = [node for node in nodes if not node.draining]
    return [node for node in staying if not node.gpus] or staying


def share_out(demands: Sequence[Demand], nodes: Iterable[NodeView]) -> dict[str, int]:
    """Slots by pool: every GPU (or CPU) goes to one of the pools that may use it, the emptiest first.

    Two classes that match the same node would otherwise count its cards twice, and the pool that comes second would
    wait for slots that the first never gives back.
    """
    found = {demand.pool: 0 for demand in demands}
    units = [
        (gpu, node)
        for node in nodes
        if not node.draining
        for gpu in (True, False)
        for _ in range(_count(node, gpu))
    ]
    wanted = [(unit, [d for d in demands if d.gpu is unit[0] and d.fits(unit[1])]) for unit in units]
    # What fits one class only is given first, so that it is not missed by the class that has nothing else.
    for _, able in sorted(wanted, key=lambda each: len(each[1])):
        if able:
            found[min(able, key=lambda demand: found[demand.pool]).pool] += 1
    return found


def room_for(
    demands: Sequence[Demand], nodes: Sequence[NodeView], *, autoscales: bool = False, found: str = ""
) -> tuple[dict[str, int], dict[str, str]]:
    """Slots that the nodes have room for, by pool, and why not, by pool, where a demand fits no node.

    With ``autoscales`` the cluster adds nodes when slots are asked for, so that every pool has room for one.
    ``found`` is said instead of what the nodes have, where more is known of them.
    """
    slots = share_out(demands, nodes)
    if autoscales:
        return {pool: max(count, 1) for pool, count in slots.items()}, {}
    short = {demand.pool: _nothing(demand, nodes, found) for demand in demands if slots[demand.pool] == 0}
    return slots, short


def refuse(short: Mapping[str, str]) -> None:
    """Stop where a demand fits no node: an actor whose selector matches nothing would wait for ever.

    Raises:
        ClusterError: the sentence says what is there and what was asked.
    """
    if short:
        raise ClusterError("; ".join(dict.fromkeys(short.values())))


def _count(node: NodeView, gpu: bool) -> int:
    return node.gpus if gpu else node.cpus


def _nothing(demand: Demand, nodes: Sequence[NodeView], found: str) -> str:
    gpus = sum(node.gpus for node in nodes)
    own = [", ".join(f"{k}={v}" for k, v in node.own_labels.items()) or "no labels" for node in nodes]
    wanted = "a GPU" if demand.gpu else "a CPU"
    selector = ", ".join(f"{k}={v}" for k, v in sorted(demand.labels.items()))
    asked = f"hardware={demand.hardware} asks for {wanted}" + (
        f" on a node labelled {selector}" if selector else ""
    )
    there = found or (
        f"the cluster has {len(nodes)} node{'s' * (len(nodes) != 1)} with {gpus} GPU{'s' * (gpus != 1)} and the"
        f" labels: {'; '.join(dict.fromkeys(own))}"
    )
    if demand.gpu and gpus == 0:
        # Not execute.device=cpu: the class keeps its labels then, and no node without a card carries them.
        drop = "" if demand.movable else "leave out every suite.dialect but torch and "
        change = f"run on a machine with an NVIDIA GPU and its driver, or {drop}say execute.without_gpu=cpu"
    elif any(demand.fits(node) and _count(node, demand.gpu) for node in nodes):
        change = "other classes of this sweep take what there is; run them one after the other, or add nodes"
    elif not demand.gpu and demand.labels:
        change = "say hardware=local for CPUs of any node, or start the node with `ray start --labels`"
    else:
        change = "start the node with `ray start --labels`, or choose another hardware="
    return f"{asked}, but {there}; {change}"
