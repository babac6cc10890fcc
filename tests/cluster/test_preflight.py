"""What the preflight makes of the nodes' answers."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator.cluster.capacity import NodeView
from orchestrator.cluster.cards import LocalCard
from orchestrator.cluster.preflight import Finding, NodeReport, compare, table
from orchestrator.cluster.probe import NodeFacts, Wanted, look_around

NODE = NodeView("abcdef1234", "ws1", "10.0.0.1", {"gpu-class": "rtx4060", "ray.io/node-id": "a"}, 8, 1)
GOOD = NodeFacts(
    host="ws1",
    python="3.12.3",
    packages={"ray": "2.60.0", "orchestrator": "0.1.0", "torch": "2.13.0"},
    code="c0de",
    clock=0.0,
    cards=(LocalCard("NVIDIA GeForce RTX 4060", 8 << 30, "580.65"),),
    scratch_bytes=10 << 30,
    isolation="full",
    isolation_level=2,
    reached={"https://api.anthropic.com": ""},
    key=True,
)


def judged(facts: NodeFacts | None, **changes: object) -> list[Finding]:
    report = replace(NodeReport(NODE, facts), **changes)  # type: ignore[arg-type]
    return compare(GOOD, [report], isolation="full")


def test_a_node_like_the_driver_gives_nothing_to_say() -> None:
    assert judged(GOOD) == []


@pytest.mark.parametrize(
    ("facts", "stops", "said"),
    [
        (replace(GOOD, python="3.11.9"), True, "Python 3.11.9, but the driver has 3.12.3"),
        (replace(GOOD, python="3.12.9"), False, "Python 3.12.9, but the driver has 3.12.3"),
        (replace(GOOD, packages={**GOOD.packages, "ray": "2.59.0"}), True, "ray 2.59.0, but the driver has 2.60.0"),
        (replace(GOOD, packages={**GOOD.packages, "torch": "2.9.0"}), False, "torch 2.9.0, but the driver has"),
        (replace(GOOD, packages={"orchestrator": "0.1.0", "torch": "2.13.0"}), True, "ray is not installed"),
        (replace(GOOD, code="other"), True, "other sources of this program"),
        (replace(GOOD, scratch_bytes=10 << 20), True, "10 MiB of scratch space"),
        (
            replace(GOOD, isolation="partial (no namespaces)", isolation_level=1),
            True,
            "isolation.require=full, but it gives: partial (no namespaces)",
        ),
        (replace(GOOD, reached={"https://api.anthropic.com": "timed out"}), True, "does not answer (timed out)"),
        (replace(GOOD, key=False), True, "no API key"),
        (replace(GOOD, lacking_tools="execute.tools asks for ncu, found neither"), True, "asks for ncu"),
    ],
)
def test_what_differs_is_named_with_the_node(facts: NodeFacts, stops: bool, said: str) -> None:
    (finding,) = judged(facts)
    assert finding.stops is stops
    assert said in finding.text
    assert finding.text.startswith("ws1 abcdef: ")


def test_a_node_that_runs_the_drivers_own_sources_needs_none_of_its_own() -> None:
    packages = {"ray": "2.60.0", "torch": "2.13.0"}
    assert judged(replace(GOOD, packages=packages)) == []
    (missing, other) = judged(replace(GOOD, packages=packages, code="other"))
    assert "orchestrator is not installed" in missing.text
    assert "other sources" in other.text


def test_a_clock_that_is_off_is_a_note_with_its_direction() -> None:
    (finding,) = judged(GOOD, skew_s=-7.5)
    assert not finding.stops
    assert "-7.5 s" in finding.text
    assert judged(GOOD, skew_s=1.0) == []


def test_a_node_that_gave_no_answer_stops_the_run() -> None:
    (finding,) = judged(None, failure="no answer within 90 s")
    assert finding == Finding(True, "ws1 abcdef: no answer within 90 s")


def test_what_stops_comes_first() -> None:
    facts = replace(GOOD, packages={**GOOD.packages, "torch": "2.9.0"}, code="other")
    assert [finding.stops for finding in judged(facts)] == [True, False]


def test_the_table_shows_a_node_that_answers_and_one_that_does_not() -> None:
    console = Console(width=300, record=True, file=io.StringIO())
    silent = NodeReport(replace(NODE, id="fff999", host="ws2", draining=True), None, "no answer within 90 s")
    console.print(table(GOOD, [NodeReport(NODE, replace(GOOD, key=False)), silent]))
    text = console.export_text()
    for word in ("ws1 abcdef", "gpu-class=rtx4060", "RTX 4060 8 GiB", "driver 580.65", "10.0 GiB", "key: NO"):
        assert word in text
    assert "ws2 fff999 (leaving)" in text
    assert "no answer within 90 s" in text
    assert "ray.io" not in text


def test_no_heading_is_broken_in_a_terminal_of_80_columns() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table(GOOD, [NodeReport(NODE, GOOD)]))
    title, _, head, *_ = console.export_text().splitlines()
    assert title.split() == ["preflight"]
    assert head.split() == ["node", "slots", "labels", "cards", "runs", "clock", "scratch", "isolation", "reaches"]


def test_a_machine_tells_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key")
    refused = "http://127.0.0.1:9"
    facts = look_around(Wanted(isolation=False, urls=(refused,), key=True))
    assert facts.packages["ray"].count(".") == 2
    assert len(facts.code) == 64
    assert facts.scratch_bytes > 0
    assert facts.reached[refused]
    assert facts.key is True
    assert "a key" not in repr(facts)
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert look_around(Wanted(isolation=False, key=True)).key is False
