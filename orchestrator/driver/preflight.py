"""The preflight of a plan: what it needs of the nodes, asked of all of them."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from orchestrator.cluster.capacity import NodeView, generating_nodes, list_nodes
from orchestrator.cluster.cards import local_cards, local_labels, why_no_card
from orchestrator.cluster.preflight import Finding, NodeReport, compare, table, visit
from orchestrator.cluster.probe import Wanted, look_around
from orchestrator.cluster.session import (
    ClusterError,
    ClusterSettings,
    check_there,
    check_token,
    start_ray,
    stop_ray,
)
from orchestrator.driver.placement import card_notes, chosen_slots, place
from orchestrator.driver.tracking import Tracking
from orchestrator.generate.attempts import ANTHROPIC_URL
from orchestrator.generate.requests import is_loopback
from orchestrator.plan.model import Plan
from orchestrator.track.mlflow_store import TrackingUnreachable

__all__ = ["check_cluster", "cluster_settings", "preflight_only", "refuse_early", "wanted_of"]


def cluster_settings(plan: Plan) -> tuple[ClusterSettings, list[str]]:
    """What to start or join, and what is odd about this machine's cards where Ray is started here."""
    cluster = plan.config.cluster
    on_gpu = [cell for cell in plan.cells if cell.needs_gpu]
    labels: dict[str, str] = {}
    notes: list[str] = []
    if cluster.address is None and on_gpu and (cards := local_cards()):
        labels = local_labels(cell.hardware.labels for cell in on_gpu)
        notes = card_notes(on_gpu, cards)
    return ClusterSettings(cluster.address, cluster.num_cpus, cluster.insecure, labels, cluster.ship), notes


def refuse_early(plan: Plan) -> None:
    """Refuse what can be known to have no place before Ray is loaded, which takes seconds.

    Raises:
        ClusterError: the cluster is not there or lets anyone in, or cells need a GPU where no card is.
    """
    cluster = plan.config.cluster
    if cluster.address is not None:
        check_token(ClusterSettings(cluster.address, None, cluster.insecure))
        check_there(cluster.address)
        return
    on_gpu = tuple(cell for cell in plan.cells if cell.needs_gpu)
    if on_gpu and (why := why_no_card()):
        # Whether there are enough CPUs is Ray's to say: here every cell has one.
        here = NodeView("", platform.node(), "", {}, cpus=len(on_gpu), gpus=0)
        place(replace(plan, cells=on_gpu), [here], found=f"this machine has no NVIDIA card ({why})")


def check_cluster(plan: Plan, nodes: Sequence[NodeView], console: Console) -> None:
    """What ``preflight=on`` does once Ray stands: nothing more on one machine, the table on a cluster.

    A machine alone is the driver's own: its versions are the same, its isolation is tried by its slots, and whether
    the API answers is asked before the first request.

    Raises:
        ClusterError: something would stop the run, all of it named.
    """
    if plan.config.cluster.address is None:
        return
    _, findings = _survey(plan, nodes, console)
    fatal = [finding.text for finding in findings if finding.stops]
    for finding in findings:
        if not finding.stops:
            console.print(f"note: {finding.text}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    if fatal:
        raise ClusterError("; ".join(fatal))


def preflight_only(plan: Plan, console: Console) -> int:
    """Look everything over, print the table and what does not fit, and stop. Returns the exit code."""
    findings: list[Finding] = []
    try:
        Tracking(plan).check()
    except TrackingUnreachable as error:
        findings.append(Finding(True, str(error)))
    with contextlib.ExitStack() as stack:
        stack.callback(stop_ray)
        try:
            settings, notes = cluster_settings(plan)
            findings += [Finding(False, note) for note in notes]
            if (shipment := start_ray(settings)) is not None:
                console.print(f"given to the nodes: {shipment}", highlight=False)
            nodes = list_nodes()
            _, found = _survey(plan, nodes, console)
            findings += found
            placement = place(plan, nodes, autoscales=plan.config.cluster.autoscales)
            _, crowded = chosen_slots(placement.plan, placement.slots)
            findings += [Finding(False, note) for note in (*placement.notes, *crowded)]
        except ClusterError as error:
            findings.append(Finding(True, str(error)))
    for finding in findings:
        word, style = ("stops the run", "bold red") if finding.stops else ("note", "yellow")
        console.print(f"{word}: {finding.text}", style=style, highlight=False, markup=False, soft_wrap=True)
    failed = any(finding.stops for finding in findings)
    console.print("preflight: this run would fail" if failed else "preflight: ready", highlight=False)
    return int(failed)


def _survey(plan: Plan, nodes: Sequence[NodeView], console: Console) -> tuple[list[NodeReport], list[Finding]]:
    import ray

    reports = visit(nodes, wanted_of(plan, nodes, ray.get_runtime_context().get_node_id()))
    driver = look_around(Wanted(isolation=False))
    console.print(table(driver, reports))
    return reports, compare(driver, reports, isolation=plan.config.isolation.require)


def wanted_of(plan: Plan, nodes: Sequence[NodeView], here: str) -> dict[str, Wanted]:
    """What each node is asked, by its id: only those that will send requests need a key and a way to the API.

    ``here`` is the driver's node. Tools are asked of every node, and looked for where there is a card.
    """
    near: list[str] = []
    far: list[str] = []
    key = False
    key_file: str | None = None
    for cell in plan.cells:
        model = cell.model
        if model is None or cell.synthetic or plan.regrade is not None or model.kind not in ("anthropic", "local"):
            continue
        # A loopback address means the driver's machine, and its senders run there.
        (near if is_loopback(model.base_url) else far).append(model.base_url or ANTHROPIC_URL)
        if model.kind == "anthropic":
            key, key_file = True, model.key_file
    # Programs of other suites are looked at by no tool, wherever they run.
    on_card = [cell for cell in plan.cells if cell.needs_gpu and cell.suite.name == "gpu"]
    tools = tuple(dict.fromkeys(tool for cell in on_card for tool in cell.config.execute.tools))
    sending = {node.id for node in generating_nodes(nodes)}
    wanted = {}
    for node in nodes:
        urls = (far if node.id in sending else []) + (near if node.id == here else [])
        wanted[node.id] = Wanted(
            urls=tuple(dict.fromkeys(urls)), key=key and node.id in sending, key_file=key_file, tools=tools
        )
    return wanted
