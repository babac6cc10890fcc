"""Slots shared out over nodes, and the sentence where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.cluster.capacity import Demand, NodeView, refuse, room_for, share_out
from orchestrator.cluster.session import ClusterError


def node(name: str, *, cpus: int = 0, gpus: int = 0, draining: bool = False, **labels: str) -> NodeView:
    given = {key.replace("_", "-"): value for key, value in labels.items()}
    return NodeView(name, name, "10.0.0.1", {"ray.io/node-id": name, **given}, cpus, gpus, draining)


def gpu(hardware: str, labelled: bool = True) -> Demand:
    return Demand(f"{hardware}:gpu", hardware, True, {"gpu-class": hardware} if labelled else {})


CPU = Demand("local:cpu", "local", False, {})


def test_each_class_gets_the_cards_of_its_own_nodes() -> None:
    nodes = [node("a", cpus=8, gpus=1, gpu_class="rtx4060"), node("b", cpus=4, gpus=4, gpu_class="l4")]
    assert share_out([gpu("rtx4060"), gpu("l4"), CPU], nodes) == {"rtx4060:gpu": 1, "l4:gpu": 4, "local:cpu": 12}


def test_no_card_is_counted_twice_where_two_classes_match_it() -> None:
    nodes = [node("a", gpus=2, gpu_class="l4"), node("b", gpus=2)]
    # Only the labelled node serves l4, so the class that takes any card gets the other.
    assert share_out([gpu("gpu", labelled=False), gpu("l4")], nodes) == {"gpu:gpu": 2, "l4:gpu": 2}
    assert share_out([gpu("l4"), gpu("gpu", labelled=False)], nodes) == {"gpu:gpu": 2, "l4:gpu": 2}


def test_a_node_about_to_leave_has_no_room() -> None:
    nodes = [node("a", cpus=4, draining=True), node("b", cpus=2)]
    assert share_out([CPU], nodes) == {"local:cpu": 2}


def test_an_unmatched_label_is_one_sentence_with_what_is_there_and_what_was_asked() -> None:
    nodes = [node("a", cpus=2, gpus=1, gpu_class="rtx4060"), node("b", cpus=2, gpus=2)]
    room, short = room_for([gpu("h100")], nodes)
    assert room == {"h100:gpu": 0}
    with pytest.raises(ClusterError) as refused:
        refuse(short)
    sentence = str(refused.value)
    assert "hardware=h100 asks for a GPU on a node labelled gpu-class=h100" in sentence
    assert "2 nodes with 3 GPUs and the labels: gpu-class=rtx4060; no labels" in sentence
    assert "ray start --labels" in sentence


def test_without_any_card_the_sentence_says_so_and_offers_the_cpu() -> None:
    for demand in (gpu("gpu", labelled=False), gpu("rtx4060")):
        _, short = room_for([demand], [node("a", cpus=2)])
        assert "1 node with 0 GPUs" in short[demand.pool]
        assert short[demand.pool].endswith("or say execute.without_gpu=cpu")


def test_programs_that_only_a_card_can_run_are_not_sent_to_the_cpu() -> None:
    _, short = room_for([replace(gpu("rtx4060"), movable=False)], [node("a", cpus=2)])
    assert "leave out every suite.dialect but torch" in short["rtx4060:gpu"]


def test_a_cpu_with_the_label_of_a_card_is_told_of_one_without() -> None:
    _, short = room_for([Demand("rtx4060:cpu", "rtx4060", False, {"gpu-class": "rtx4060"})], [node("a", cpus=2)])
    assert "asks for a CPU on a node labelled gpu-class=rtx4060" in short["rtx4060:cpu"]
    assert "say hardware=local" in short["rtx4060:cpu"]


def test_a_class_whose_only_card_another_class_took_is_told_that() -> None:
    nodes = [node("a", gpus=1, gpu_class="l4")]
    room, short = room_for([gpu("l4"), gpu("gpu", labelled=False)], nodes)
    assert sorted(room.values()) == [0, 1]
    (sentence,) = short.values()
    assert "other classes of this sweep take what there is" in sentence


def test_a_cluster_that_adds_nodes_is_never_refused() -> None:
    room, short = room_for([gpu("h100"), CPU], [node("head", cpus=4)], autoscales=True)
    assert room == {"h100:gpu": 1, "local:cpu": 4}
    assert short == {}
