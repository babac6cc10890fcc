"""Cells that find no GPU: refused, or moved to the CPU where that was allowed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.cluster.capacity import NodeView
from orchestrator.cluster.cards import LocalCard
from orchestrator.cluster.session import ClusterError
from orchestrator.config.arguments import parse_arguments
from orchestrator.driver.placement import card_notes, chosen_slots, place
from orchestrator.driver.setup import pool_name
from orchestrator.plan.build import build_plan
from orchestrator.plan.model import Plan

PLAIN = [NodeView("a", "a", "10.0.0.1", {}, 2, 0)]
RTX = [NodeView("a", "a", "10.0.0.1", {"gpu-class": "rtx4060"}, 2, 1)]
MIXED = [*RTX, NodeView("b", "b", "10.0.0.2", {"gpu-class": "l4"}, 4, 4)]


@pytest.fixture(autouse=True)
def _here(in_folder: object) -> None:
    """Plans name their folders by the current one."""


def plan_of(words: Sequence[str]) -> Plan:
    return build_plan(parse_arguments([*words, "model=rehearsal", "limit=1"]))


def test_without_a_gpu_a_cell_that_asks_for_one_is_refused() -> None:
    with pytest.raises(ClusterError, match="hardware=gpu asks for a GPU"):
        place(plan_of(["suite=gpu"]), PLAIN)


@pytest.mark.parametrize(
    ("words", "refusal", "instead"),
    [
        ([], "or say execute.without_gpu=cpu", ["execute.without_gpu=cpu"]),
        (
            ["suite.dialect=cuda"],
            "or leave out every suite.dialect but torch and say execute.without_gpu=cpu",
            ["suite.dialect=torch", "execute.without_gpu=cpu"],
        ),
        (["execute.device=cpu"], "say hardware=local", ["execute.device=cpu", "hardware=local"]),
    ],
)
def test_what_a_refusal_advises_is_placed(words: list[str], refusal: str, instead: list[str]) -> None:
    asked = ["suite=gpu", "hardware=rtx4060"]
    with pytest.raises(ClusterError, match=refusal):
        place(plan_of([*asked, *words]), PLAIN)
    asked = asked[:1] if "hardware=local" in instead else asked
    assert place(plan_of([*asked, *instead]), PLAIN).slots == {"local:cpu": 2}


def test_without_a_gpu_it_moves_to_the_cpu_where_that_was_allowed() -> None:
    plan = plan_of(["axes.suite=[humaneval,gpu]", "execute.without_gpu=cpu", "hardware=rtx4060"])
    placed = place(plan, PLAIN)
    assert {pool_name(cell) for cell in placed.plan.cells} == {"local:cpu"}
    assert placed.slots == {"local:cpu": 2}
    (note,) = placed.notes
    assert "execute.without_gpu=cpu" in note
    for cell in placed.plan.cells:
        # A price or a label of a card that did not run it must not come near its figures.
        assert cell.hardware.purchase_usd is None
        assert cell.hardware.labels == {}
    assert [cell.id for cell in placed.plan.cells] == [cell.id for cell in plan.cells]


def test_what_has_its_gpu_stays_there() -> None:
    plan = plan_of(["suite=gpu", "axes.hardware=[rtx4060,l4]", "execute.without_gpu=cpu"])
    placed = place(plan, MIXED)
    assert placed.plan is plan
    assert placed.slots == {"rtx4060:gpu": 1, "l4:gpu": 4}
    assert placed.notes == ()


def test_only_the_class_that_is_missing_moves() -> None:
    plan = plan_of(["suite=gpu", "axes.hardware=[rtx4060,l4]", "execute.without_gpu=cpu"])
    placed = place(plan, RTX)
    assert [pool_name(cell) for cell in placed.plan.cells] == ["rtx4060:gpu", "local:cpu"]
    assert placed.slots == {"rtx4060:gpu": 1, "local:cpu": 2}


def test_a_dialect_that_needs_a_card_is_refused_all_the_same() -> None:
    with pytest.raises(ClusterError, match=r"suite\.dialect=cuda needs a card"):
        place(plan_of(["suite=gpu", "suite.dialect=cuda", "execute.without_gpu=cpu"]), PLAIN)


def test_a_cluster_that_adds_nodes_is_waited_for_instead() -> None:
    placed = place(plan_of(["suite=gpu", "execute.without_gpu=cpu"]), PLAIN, autoscales=True)
    assert placed.slots == {"gpu:gpu": 1}
    assert placed.notes == ()


def test_another_card_than_the_class_names_is_said() -> None:
    cells = plan_of(["suite=gpu", "hardware=rtx4060"]).cells
    (note,) = card_notes(cells, [LocalCard("NVIDIA L4", 24 << 30, "570.1")])
    assert "hardware=rtx4060, but this machine has NVIDIA L4" in note
    assert card_notes(cells, [LocalCard("NVIDIA GeForce RTX 4060", 8 << 30, "570.1")]) == []


def test_a_machine_alone_starts_no_more_slots_than_it_has_room_for() -> None:
    plan = plan_of(["execute.slots=1000"])
    slots, (note,) = chosen_slots(plan, {"local:cpu": 2})
    assert slots == {"local:cpu": 2}
    assert note == "execute.slots=1000, but there is room for 2 of class local on this machine, so 2 are started"
    assert chosen_slots(plan_of(["execute.slots=1"]), {"local:cpu": 2}) == ({"local:cpu": 1}, [])
    assert chosen_slots(plan_of([]), {"local:cpu": 2}) == ({"local:cpu": 2}, [])


def test_a_cluster_may_grow_to_the_slots_that_were_asked_for() -> None:
    joined = ["cluster=address", "cluster.address=10.0.0.1:6379", "execute.slots=8"]
    slots, (note,) = chosen_slots(plan_of(joined), {"local:cpu": 2})
    assert slots == {"local:cpu": 8}
    assert "the others wait for nodes that join" in note
    elastic = [*joined, "cluster=elastic"][1:]
    assert chosen_slots(plan_of(elastic), {"local:cpu": 1}) == ({"local:cpu": 8}, [])
