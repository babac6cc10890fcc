"""What a plan's cells are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.cluster.capacity import NodeView
from orchestrator.config.arguments import parse_arguments
from orchestrator.core.execution import Feedback
from orchestrator.core.verdicts import Verdict
from orchestrator.driver.placement import place
from orchestrator.driver.replies import Prompt
from orchestrator.driver.setup import build_cells, chosen_limits, pool_name
from orchestrator.plan.build import build_plan

NO_CARD = [NodeView("a", "a", "10.0.0.1", {}, 2, 0)]
ONE_CARD = [NodeView("a", "a", "10.0.0.1", {"gpu-class": "l4"}, 2, 1)]
FAILED = Feedback(Verdict.ERROR, "ValueError: no")
ON_A_CARD = (
    "You are an expert in GPU programming. You write programs that must give the right result and be fast "
    "on the card described. Answer with one fenced code block that holds the whole program. The entry "
    "point receives its inputs and an output buffer that is already allocated on the card; the result "
    "must be in that buffer, complete, when the entry point returns and its stream is synchronised. Do no "
    "work when the module is loaded beyond compiling, keep nothing from one call to the next, read no "
    "files, and print nothing."
)


@pytest.fixture(autouse=True)
def _here(in_folder: object) -> None:
    """Plans name their folders by the current one."""


def texts(words: Sequence[str], nodes: Sequence[NodeView], card: str = "") -> tuple[str, str, str]:
    """System prompt, opening and repair message of the only cell."""
    asked = ["system=hybrid", "model=rehearsal", "limit=1", *words]
    plan = place(build_plan(parse_arguments(asked)), nodes).plan
    (cell,) = plan.cells
    made: Any = object()
    (work,) = build_cells(plan, {pool_name(cell): made}, made, {cell.id: "p"}, {pool_name(cell): card})
    prompt = work.runtime.prompt
    assert isinstance(prompt, Prompt)
    assert cell.prompt.system == prompt.system
    return prompt.system, prompt.opening(work.problems[0].public).text, prompt.repair_message(FAILED).text


def test_prompts_for_a_card_name_it_and_stay_as_they_are() -> None:
    # These bytes are the keys of answers that were paid for.
    system, first, repair = texts(["suite=gpu", "hardware=l4"], ONE_CARD, "NVIDIA L4, 22 GiB of memory usable")
    assert system == ON_A_CARD
    assert first.startswith("Write the program in torch. The entry point is `solve`.\n\nWrite a GPU program")
    assert first.endswith("\n\nThe card: NVIDIA L4, 22 GiB of memory usable")
    assert repair.startswith("I ran your program on the card. Here is what happened:\n\n")


@pytest.mark.parametrize("words", [["execute.device=cpu"], ["execute.without_gpu=cpu"]])
def test_without_a_card_the_prompt_says_so(words: Sequence[str]) -> None:
    system, first, repair = texts(["suite=gpu", *words], NO_CARD)
    assert "fast on the CPU described" in system
    assert "allocated on the CPU" in system
    assert "card" not in system
    assert "\n\nThe card: there is none. Your program runs on this machine's CPU with torch" in first
    assert "NVIDIA" not in first
    assert repair.startswith("I ran your program on the CPU.")


def test_only_the_processor_is_filled_into_a_system_prompt() -> None:
    system, _, _ = texts(["prompt.system='{a} {processor} {{processor}}'"], NO_CARD)
    assert system == "{a} CPU {{processor}}"


def test_limits_that_were_set_are_named_as_they_were_given() -> None:
    words = ["+sweep=humaneval", "model=rehearsal", "limit=1", "axes.execute.limits.cpu_s=[0.5,2]"]
    plan = build_plan(parse_arguments([*words, "execute.limits.memory_bytes=1000000"]))
    assert chosen_limits(plan, "local:cpu") == (
        "execute.limits.cpu_s=0.5, execute.limits.memory_bytes=1000000, execute.limits.cpu_s=2"
    )
    assert chosen_limits(plan, "another:cpu") == ""
