"""Names of cards against hardware classes, and the labels of a machine alone."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from orchestrator.cluster.cards import card_fits, local_cards, local_labels, why_no_card
from orchestrator.track.cards import Cards


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


def test_a_card_that_is_lost_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(index: int) -> int:
        if index == 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index

    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "580.65",
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetName": lambda card: "NVIDIA L4",
        "nvmlDeviceGetUUID": lambda card: f"GPU-{card}",
        "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(total=4 << 30, used=1 << 30),
        "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(gpu=7),
        "nvmlDeviceGetPowerUsage": lambda card: 30_000,
        "nvmlDeviceGetTemperature": lambda card, sensor: 40,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [card.uuid for card in local_cards()] == ["GPU-1"]
    assert why_no_card() == ""
    cards = Cards()
    assert (len(cards), cards.names()) == (1, ["NVIDIA L4"])
    metrics = cards.metrics()
    assert metrics["system/gpu_1_memory_usage_percentage"] == 25.0
    assert all(name.startswith("system/gpu_1_") for name in metrics)
