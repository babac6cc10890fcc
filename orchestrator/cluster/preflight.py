"""A look over all nodes before anything is spent: one table, and what does not fit, named."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cluster.capacity import NodeView, list_nodes
from orchestrator.cluster.probe import NodeFacts, Wanted, look_around

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Finding", "NodeReport", "compare", "table", "visit"]

ANSWER_S: Final = 90.0
"""For a node's answer: the first task on a node starts a worker, which imports for seconds where disks are slow."""
MOST_SKEW_S: Final = 2.0
"""Rows carry times of the driver only; what suffers from a wrong clock is TLS and, first, whoever reads logs."""
LEAST_SCRATCH_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit."""

    stops: bool
    """Whether a run would fail, or give results that cannot be compared, because of it."""
    text: str


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node as Ray and the node itself tell of it."""

    node: NodeView
    facts: NodeFacts | None
    failure: str = ""
    """Why there are no facts."""
    skew_s: float = 0.0
    """How far its clock is outside the interval in which it must have looked; 0: it may be right."""


def visit(nodes: Sequence[NodeView], wanted: Mapping[str, Wanted]) -> list[NodeReport]:
    """Ask every node. The driver's own is asked in this process, the others by a task that takes no slot.

    ``wanted`` says by node id what is asked. A node that has left by the time it should answer has no report.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    task: Any = ray.remote(look_around)
    asked: dict[str, Any] = {}
    began: dict[str, float] = {}
    for node in nodes:
        if node.id != here:
            strategy = NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
            began[node.id] = time.time()
            options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": strategy}
            asked[node.id] = task.options(**options).remote(wanted[node.id])
    reports = []
    for node in nodes:
        if node.id == here:
            reports.append(NodeReport(node, look_around(wanted[node.id])))
        else:
            reports.append(_answer(node, asked[node.id], began[node.id]))
    if all(report.facts is not None for report in reports):
        return reports
    # A node that left since it was listed stops nothing: the run goes on without it, as it would later on.
    there = {node.id for node in list_nodes()}
    return [report for report in reports if report.facts is not None or report.node.id in there]


def _answer(node: NodeView, reference: Any, began: float) -> NodeReport:
    import ray

    try:
        facts: NodeFacts = ray.get(reference, timeout=ANSWER_S)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(reference, force=True)
        return NodeReport(node, None, f"no answer within {ANSWER_S:.0f} s")
    except ray.exceptions.RayError as error:
        return NodeReport(node, None, _reason(error))
    ended = time.time()
    return NodeReport(node, facts, skew_s=min(0.0, facts.clock - began) + max(0.0, facts.clock - ended))


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    if "No module named" in text:
        return f"this program is not installed there ({text.splitlines()[-1]})"
    return text.splitlines()[-1] if text else type(error).__name__


def compare(driver: NodeFacts, reports: Sequence[NodeReport], *, isolation: str) -> list[Finding]:
    """What does not fit, the worst first.

    Args:
        driver: the facts of the driver's own process.
        reports: of all nodes.
        isolation: what is required: ``full``, ``partial`` or ``none``.
    """
    least = {"full": 2, "partial": 1, "none": 0}[isolation]
    found: list[Finding] = []
    for report in reports:
        name, facts = _name(report.node), report.facts
        if facts is None:
            found.append(Finding(True, f"{name}: {report.failure}"))
            continue
        if facts.python != driver.python:
            minor = facts.python.split(".")[:2] != driver.python.split(".")[:2]
            found.append(Finding(minor, f"{name}: Python {facts.python}, but the driver has {driver.python}"))
        for package in sorted({*driver.packages, *facts.packages}):
            here, there = driver.packages.get(package), facts.packages.get(package)
            if package == "orchestrator" and there is None and facts.code == driver.code:
                # It runs the driver's own sources, which came with the run.
                continue
            if here != there:
                stops = package in ("orchestrator", "ray")
                what = f"{package} {there or 'is not installed'}, but the driver has {here or 'none'}"
                found.append(Finding(stops, f"{name}: {what}"))
        if facts.code != driver.code:
            found.append(
                Finding(True, f"{name}: other sources of this program than the driver's; install the same")
            )
        if abs(report.skew_s) > MOST_SKEW_S:
            found.append(Finding(False, f"{name}: its clock is {report.skew_s:+.1f} s off the driver's"))
        if facts.scratch_bytes < LEAST_SCRATCH_BYTES:
            free = facts.scratch_bytes / 2**20
            found.append(Finding(True, f"{name}: {free:.0f} MiB of scratch space; programs need 256 MiB"))
        if facts.isolation is not None and facts.isolation_level < least:
            found.append(Finding(True, f"{name}: isolation.require={isolation}, but it gives: {facts.isolation}"))
        if facts.lacking_tools:
            found.append(Finding(True, f"{name}: {facts.lacking_tools}"))
    found += _generating(reports)
    return sorted(found, key=lambda finding: not finding.stops)


def _generating(reports: Sequence[NodeReport]) -> list[Finding]:
    """Nodes that send requests must reach the API and hold the key; the others were not asked."""
    found = []
    for report in reports:
        if report.facts is None:
            continue
        name = _name(report.node)
        for url, reason in report.facts.reached.items():
            if reason:
                found.append(Finding(True, f"{name}: {url} does not answer ({reason})"))
        if report.facts.key is False:
            found.append(Finding(True, f"{name}: no API key; set ANTHROPIC_API_KEY there or give model.key_file"))
    return found


def table(driver: NodeFacts, reports: Sequence[NodeReport]) -> Table:
    """The nodes, one line each."""
    from rich import box
    from rich.table import Table

    made = Table(title="preflight", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    for column in ("node", "slots", "labels", "cards", "runs", "clock", "scratch", "isolation", "reaches"):
        # What a node says may take several lines; a heading broken in two cannot be read.
        made.add_column(column, overflow="fold", min_width=len(column))
    for report in reports:
        node, facts = report.node, report.facts
        slots = f"{node.cpus} CPU" + (f", {node.gpus} GPU" if node.gpus else "")
        labels = ", ".join(f"{k}={v}" for k, v in node.own_labels.items()) or "-"
        state = f"{_name(node)}{' (leaving)' if node.draining else ''}"
        if facts is None:
            made.add_row(state, slots, labels, "?", report.failure, "?", "?", "?", "?")
            continue
        reached = ", ".join(f"{url}: {why or 'yes'}" for url, why in facts.reached.items())
        key = {None: "", True: "key: yes", False: "key: NO"}[facts.key]
        made.add_row(
            state,
            slots,
            labels,
            _cards(facts),
            _runs(driver, facts),
            "ok" if abs(report.skew_s) <= MOST_SKEW_S else f"{report.skew_s:+.1f} s",
            f"{facts.scratch_bytes / 2**30:.1f} GiB",
            facts.isolation or "not tried",
            ", ".join(part for part in (reached, key) if part) or "-",
        )
    return made


def _cards(facts: NodeFacts) -> str:
    counts: dict[str, int] = {}
    for card in facts.cards:
        text = f"{card.name} {card.memory_bytes / 2**30:.0f} GiB (driver {card.driver})"
        counts[text] = counts.get(text, 0) + 1
    return ", ".join(f"{count} x {text}" if count > 1 else text for text, count in counts.items()) or "-"


def _runs(driver: NodeFacts, facts: NodeFacts) -> str:
    packages: Mapping[str, str] = facts.packages
    same = (facts.python, facts.packages, facts.code) == (driver.python, driver.packages, driver.code)
    return f"Python {facts.python}, ray {packages.get('ray', '?')}" + ("" if same else " (differs)")


def _name(node: NodeView) -> str:
    return f"{node.host} {node.id[:6]}"
