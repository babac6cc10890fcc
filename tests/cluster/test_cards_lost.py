"""A card that is lost takes its slot with it and no trial: what ran there runs on another, and the reason is named.

The cards are declared and their driver's library is a stand-in; nodes, actors and the command are real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.track.tables import read_rows
from tests.driver.commands import end, outcome, rows, wait_for_replies

from .fake_cards import FakeCards
from .nodes import Nodes, admitted, nodes
from .small_sweep import SWEEP

ON_CARDS = ("hardware=gpu", "preflight=off")


@pytest.fixture(scope="module")
def two_cards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nodes, FakeCards]]:
    """Two nodes with a card each; what a test loses it must find again."""
    cards = FakeCards(tmp_path_factory.mktemp("cards"))
    with nodes() as cluster:
        for card in ("a", "b"):
            cluster.add(1, gpus=1, **cards.environment(card))
        yield cluster, cards


def slots(run_dir: Path) -> list[str]:
    """The actor of every scored program, in the order of their ends."""
    steps = read_rows(str(run_dir / "steps.parquet"), ["kind", "ended_at", "slot"])
    return [str(s["slot"]) for s in sorted(steps, key=lambda s: float(s["ended_at"])) if s["kind"] == "scoring"]


def notes(run_dir: Path) -> str:
    found = json.loads((run_dir / "summary.json").read_text())
    return "\n".join(found["notes"])


def same(folder: Path, undisturbed: Path) -> None:
    found = rows(folder / "run")
    assert len(found) == len(set(found)) == 30
    assert outcome(folder / "run") == outcome(undisturbed / "run")
    assert admitted(folder / "asked.jsonl") == admitted(undisturbed / "asked.jsonl")


def test_a_card_lost_in_the_middle_is_named_and_the_other_does_its_work(
    two_cards: tuple[Nodes, FakeCards], tmp_path: Path, undisturbed: Path
) -> None:
    cluster, cards = two_cards
    process = cluster.command(tmp_path, *SWEEP, *ON_CARDS)
    wait_for_replies(process, tmp_path / "run", 5)
    assert process.poll() is None
    cards.lose("a")
    try:
        ended = end(process)
    finally:
        cards.find("a")
    assert ended.code == 0, ended.out + ended.err
    same(tmp_path, undisturbed)
    assert "card GPU-a of" in ended.out
    assert "was taken out of the run: the driver says of it: GPU is lost" in ended.out
    assert "GPU is lost" in notes(tmp_path / "run")
    # Nothing was started anew on the card that is gone.
    assert len(set(slots(tmp_path / "run"))) <= 2


@pytest.mark.slow
def test_a_card_with_a_fatal_error_is_named_by_its_number_and_a_programs_own_error_is_not(
    two_cards: tuple[Nodes, FakeCards], tmp_path: Path, undisturbed: Path
) -> None:
    cluster, cards = two_cards
    process = cluster.command(tmp_path, *SWEEP, *ON_CARDS)
    wait_for_replies(process, tmp_path / "run", 4)
    cards.report("b", 43)
    cards.report("a", 79)
    ended = end(process)
    assert ended.code == 0, ended.out + ended.err
    same(tmp_path, undisturbed)
    assert "card GPU-a of" in notes(tmp_path / "run")
    assert "Xid 79: fallen off the bus" in notes(tmp_path / "run")
    assert "GPU-b" not in notes(tmp_path / "run")


@pytest.mark.slow
def test_a_card_that_is_gone_from_the_start_holds_up_nothing(
    two_cards: tuple[Nodes, FakeCards], tmp_path: Path, undisturbed: Path
) -> None:
    cluster, cards = two_cards
    cards.lose("b")
    try:
        ended = end(cluster.command(tmp_path, *SWEEP, *ON_CARDS))
    finally:
        cards.find("b")
    assert ended.code == 0, ended.out + ended.err
    same(tmp_path, undisturbed)
    assert "GPU is lost" in notes(tmp_path / "run")
    assert len(set(slots(tmp_path / "run"))) == 1


@pytest.mark.slow
def test_without_any_card_left_the_run_says_so_and_goes_on_later(
    two_cards: tuple[Nodes, FakeCards], tmp_path: Path, undisturbed: Path
) -> None:
    cluster, cards = two_cards
    process = cluster.command(tmp_path, *SWEEP, *ON_CARDS)
    wait_for_replies(process, tmp_path / "run", 5)
    for card in ("a", "b"):
        cards.lose(card)
    try:
        ended = end(process)
    finally:
        for card in ("a", "b"):
            cards.find(card)
    assert ended.code == 1, ended.out + ended.err
    assert "no execution slot of class gpu:gpu is left: the driver says of it: GPU is lost" in ended.out
    assert "python -m orchestrator resume=run" in ended.out
    resumed = end(cluster.command(tmp_path, "resume=run"))
    assert resumed.code == 0, resumed.out + resumed.err
    same(tmp_path, undisturbed)
