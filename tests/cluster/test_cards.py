"""Names of cards against hardware classes, and the labels of a machine alone."""

from __future__ import annotations

import pytest

from orchestrator.cluster.cards import card_fits, local_labels


@pytest.mark.parametrize(
    ("hardware", "card"),
    [
        ("rtx4060", "NVIDIA GeForce RTX 4060"),
        ("rtx4060", "NVIDIA GeForce RTX 4060 Laptop GPU"),
        ("rtx4060ti16", "NVIDIA GeForce RTX 4060 Ti"),
        ("rtx4090", "NVIDIA GeForce RTX 4090"),
        ("l4", "NVIDIA L4"),
        ("a10g", "NVIDIA A10G"),
        ("h100", "NVIDIA H100 80GB HBM3"),
        ("gpu", "NVIDIA GeForce RTX 3050"),
    ],
)
def test_a_class_knows_its_card(hardware: str, card: str) -> None:
    assert card_fits(hardware, card)


@pytest.mark.parametrize(
    ("hardware", "card"),
    [
        ("rtx4060", "NVIDIA GeForce RTX 4060 Ti"),
        ("rtx4060ti16", "NVIDIA GeForce RTX 4060"),
        ("rtx4090", "NVIDIA GeForce RTX 4090 SUPER"),
        ("l4", "NVIDIA L40S"),
        ("h100", "NVIDIA H200"),
        ("a10g", "NVIDIA A10"),
    ],
)
def test_a_class_refuses_its_neighbours(hardware: str, card: str) -> None:
    assert not card_fits(hardware, card)


def test_a_machine_alone_is_what_the_plan_asks_for() -> None:
    assert local_labels([{"gpu-class": "rtx4060"}, {}, {"gpu-class": "rtx4060", "site": "home"}]) == {
        "gpu-class": "rtx4060",
        "site": "home",
    }


def test_one_machine_cannot_be_two_classes() -> None:
    assert local_labels([{"gpu-class": "rtx4060"}, {"gpu-class": "l4"}]) == {}
