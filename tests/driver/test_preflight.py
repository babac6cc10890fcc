"""What a plan asks of its nodes, and what is said of its cost before it is spent."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator.cluster import probe, session
from orchestrator.cluster.capacity import NodeView
from orchestrator.cluster.cards import LocalCard, why_no_card
from orchestrator.cluster.preflight import NodeReport, compare
from orchestrator.cluster.session import ClusterError
from orchestrator.config.arguments import parse_arguments
from orchestrator.driver import preflight
from orchestrator.driver.notes import announce
from orchestrator.driver.preflight import cluster_settings, refuse_early, wanted_of
from orchestrator.execute.gpu import tools
from orchestrator.plan.build import build_plan
from orchestrator.plan.model import Plan


@pytest.fixture(autouse=True)
def _here(in_folder: object) -> None:
    """Plans name their folders by the current one."""


def plan_of(*words: str) -> Plan:
    return build_plan(parse_arguments([*words, "limit=2"]))


def with_cards(monkeypatch: pytest.MonkeyPatch, cards: Sequence[str]) -> None:
    """Stand-ins for the machine's cards, as their driver would name them."""
    found = tuple(LocalCard(name, 8 << 30, "580.65") for name in cards)
    monkeypatch.setattr(preflight, "local_cards", lambda: found)


def test_a_machine_alone_with_a_card_is_what_the_plan_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cards(monkeypatch, ["NVIDIA GeForce RTX 4060"])
    settings, notes = cluster_settings(plan_of("suite=gpu", "hardware=rtx4060", "model=rehearsal"))
    assert settings.labels == {"gpu-class": "rtx4060"}
    assert notes == []


def test_another_card_is_used_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cards(monkeypatch, ["NVIDIA GeForce RTX 3060"])
    settings, notes = cluster_settings(plan_of("suite=gpu", "hardware=rtx4060", "model=rehearsal"))
    assert settings.labels == {"gpu-class": "rtx4060"}
    assert ["RTX 3060" in note for note in notes] == [True]


def test_no_label_is_given_without_a_card_or_where_a_cluster_gives_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cards(monkeypatch, [])
    words = ("suite=gpu", "hardware=rtx4060", "model=rehearsal")
    assert cluster_settings(plan_of(*words))[0].labels == {}
    with_cards(monkeypatch, ["NVIDIA GeForce RTX 4060"])
    joined = cluster_settings(plan_of(*words, "cluster=address", "cluster.address=10.0.0.1:6379"))[0]
    assert joined.labels == {}
    assert cluster_settings(plan_of("model=rehearsal", "hardware=local"))[0].labels == {}


ON_GPU = ("suite=gpu", "model=rehearsal", "hardware=rtx4060")


def test_a_plan_for_a_gpu_is_refused_with_what_was_found_where_no_card_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "why_no_card", lambda: "its NVIDIA driver does not answer: Driver Not Loaded")
    with pytest.raises(ClusterError) as refused:
        refuse_early(plan_of(*ON_GPU))
    assert str(refused.value) == (
        "hardware=rtx4060 asks for a GPU on a node labelled gpu-class=rtx4060, but this machine has no NVIDIA card"
        " (its NVIDIA driver does not answer: Driver Not Loaded); run on a machine with an NVIDIA GPU and its"
        " driver, or say execute.without_gpu=cpu"
    )
    with pytest.raises(ClusterError, match=r"no NVIDIA card.*suite\.dialect=cuda needs a card"):
        refuse_early(plan_of(*ON_GPU, "suite.dialect=cuda", "execute.without_gpu=cpu"))
    refuse_early(plan_of(*ON_GPU, "execute.without_gpu=cpu"))
    refuse_early(plan_of("model=rehearsal"))
    monkeypatch.setattr(preflight, "why_no_card", lambda: "")
    refuse_early(plan_of(*ON_GPU))


def test_a_hidden_card_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" in why_no_card()


def test_a_cluster_without_a_token_or_without_a_listener_is_refused_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "why_no_card", lambda: "none")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    joined = (*ON_GPU, "cluster=address", "cluster.address=127.0.0.1:1")
    with pytest.raises(ClusterError, match="RAY_AUTH_MODE=token"):
        refuse_early(plan_of(*joined))
    with pytest.raises(ClusterError, match="has no Ray cluster"):
        refuse_early(plan_of(*joined, "cluster.insecure=true"))
    # Its cards are its own.
    monkeypatch.setattr(session.socket, "create_connection", lambda *place, timeout: io.BytesIO())
    refuse_early(plan_of(*joined, "cluster.insecure=true"))


def node(name: str, *, gpus: int = 0, draining: bool = False) -> NodeView:
    return NodeView(name, name, "10.0.0.1", {}, 4, gpus, draining)


def test_only_nodes_that_send_requests_need_the_key_and_a_way_to_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key")
    nodes = [node("head"), node("cpu"), node("card", gpus=1), node("leaving", draining=True)]
    wanted = wanted_of(plan_of("model=sonnet"), nodes, "head")
    assert {name for name, asked in wanted.items() if asked.key} == {"head", "cpu"}
    assert {name for name, asked in wanted.items() if asked.urls} == {"head", "cpu"}
    # Where every machine has a card, every machine sends.
    everywhere = wanted_of(plan_of("model=sonnet"), [node("a", gpus=1), node("b", gpus=2)], "a")
    assert all(asked.key and asked.urls == ("https://api.anthropic.com",) for asked in everywhere.values())


def test_a_loopback_server_is_looked_for_on_the_drivers_machine_alone() -> None:
    nodes = [node("head"), node("cpu")]
    words = ("model=local", "model.id=m", "model.base_url=http://127.0.0.1:8080")
    wanted = wanted_of(plan_of(*words), nodes, "head")
    assert {name: asked.urls for name, asked in wanted.items()} == {"head": ("http://127.0.0.1:8080",), "cpu": ()}
    assert not any(asked.key for asked in wanted.values())


def test_the_tools_that_programs_on_cards_are_looked_at_with_are_asked_of_every_node() -> None:
    nodes = [node("head"), node("card", gpus=1)]
    words = ("suite=gpu", "model=rehearsal", "execute.tools=[sanitizer,ncu]")
    wanted = wanted_of(plan_of(*words, "hardware=gpu"), nodes, "head")
    assert {name: asked.tools for name, asked in wanted.items()} == dict.fromkeys(
        ("head", "card"), ("sanitizer", "ncu")
    )
    # Nobody is asked for a tool that nothing will be looked at with.
    on_cpus = plan_of(*words, "hardware=local", "execute.device=cpu")
    python = plan_of("suite=humaneval", *words[1:], "hardware=gpu", "execute.device=gpu")
    for plan in (on_cpus, python):
        assert not any(asked.tools for asked in wanted_of(plan, nodes, "head").values())


def test_a_missing_tool_is_one_sentence_for_the_node_that_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = (LocalCard("NVIDIA H200", 8 << 30, "580.65"),)
    monkeypatch.setattr(probe, "local_cards", lambda: cards)
    monkeypatch.setattr(tools, "find", lambda tool: None)
    nodes = [node("card", gpus=1)]
    plan = plan_of("suite=gpu", "model=rehearsal", "hardware=gpu", "execute.tools=[ncu]")
    facts = probe.look_around(replace(wanted_of(plan, nodes, "card")["card"], isolation=False))
    found = compare(facts, [NodeReport(nodes[0], facts)], isolation="none")
    assert ["asks for ncu, found neither" in finding.text for finding in found if finding.stops] == [True]


def said(plan: Plan) -> str:
    console = Console(file=io.StringIO(), width=200, record=True)
    announce(plan, console)
    return console.export_text()


def test_what_real_money_buys_is_said_before_it_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-not-a-key-of-anybody")
    text = said(plan_of("model=sonnet", "system=generate_only"))
    assert "in dollars: from first answers" in text
    assert "Prices: " in text


def test_a_rehearsal_costs_nothing_and_says_no_price() -> None:
    assert "in dollars" not in said(plan_of("model=rehearsal"))
