"""The three systems under comparison, each a few lines over awaitables.

A system sees a :class:`Tools`: it can ask for a reply, try a program on feedback tests, have it graded. What comes
back from grading is a :class:`~orchestrator.core.execution.Grade`, which holds nothing but a verdict, so a system
cannot pass on what it was never told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from orchestrator.core.execution import Feedback, Grade
from orchestrator.core.extraction import Extraction
from orchestrator.core.generation import REFUSAL, Message, Reply
from orchestrator.core.money import BudgetExhausted
from orchestrator.core.problems import PublicProblem
from orchestrator.core.verdicts import Verdict

__all__ = ["GENERATING", "SYSTEMS", "Outcome", "System", "Tools"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a system made of a problem."""

    verdict: Verdict
    program: str | None
    """The program that was graded; None where no reply held one."""
    reason: str
    """Why there is no program. The reason of a graded program stays with its execution."""
    turns: int
    first_turn_verdict: Verdict | None
    """The first reply's own grade, never shown to the model; None where nothing is repaired."""
    unpaid: BudgetExhausted | None = None
    """The budget that ended the turns after a right program was there; None where they ended by themselves."""


class Tools(Protocol):
    """What a system may do with one problem."""

    @property
    def problem(self) -> PublicProblem:
        """The problem as the generator may know it."""

    @property
    def turns(self) -> int:
        """Most generate and execute rounds."""

    def opening(self) -> Message:
        """The first user message."""

    def repair(self, feedback: Feedback) -> Message:
        """The user message that carries feedback back."""

    async def generate(self, messages: tuple[Message, ...], turn: int) -> Reply:
        """Ask the model. ``turn`` counts from 1."""

    def extract(self, reply: Reply) -> Extraction:
        """Take the program from a reply."""

    async def feedback(self, program: str, turn: int) -> Feedback:
        """Run a program on feedback tests."""

    async def grade(self, program: str, turn: int) -> Grade:
        """Run a program on scoring tests."""

    async def reference(self) -> Grade:
        """Run the suite's reference program on scoring tests."""


System = Callable[[Tools], Awaitable[Outcome]]


async def generate_only(tools: Tools) -> Outcome:
    """One reply, graded once, nothing fed back."""
    candidate = tools.extract(await tools.generate((tools.opening(),), 1))
    verdict = await _grade(tools, candidate, 1)
    return Outcome(verdict, candidate.program, candidate.reason, 1, None)


async def execute_only(tools: Tools) -> Outcome:
    """The suite's reference program, executed and timed: says that the machine and the tests are sound."""
    grade = await tools.reference()
    return Outcome(grade.verdict, None, "", 0, None)


async def hybrid(tools: Tools) -> Outcome:
    """Generate, run on feedback tests, send the outcome back, up to ``turns`` times; then grade once.

    The first turn's program is graded too, beside the rest, so that what repair adds can be told; its grade goes
    to nobody. Where programs have a speed, turns go on after the first right one and the fastest is graded.

    Raises:
        BudgetExhausted: the budget ended before a program passed the feedback tests.
    """
    messages: tuple[Message, ...] = (tools.opening(),)
    chosen = Extraction(None, Verdict.NO_CODE, "no reply held a program")
    rank: tuple[int, float] = (-1, 0.0)
    first: asyncio.Task[Verdict] | None = None
    unpaid: BudgetExhausted | None = None
    turn, chosen_turn = 0, 1
    try:
        while turn < tools.turns:
            try:
                reply = await tools.generate(messages, turn + 1)
            except BudgetExhausted as error:
                # What is right already would only have got faster. What is not might have been repaired: no result.
                if rank[0] < 1:
                    raise
                unpaid = error
                break
            turn += 1
            candidate = tools.extract(reply)
            if first is None:
                chosen = candidate
                first = asyncio.create_task(_grade(tools, candidate, 1))
                # Where the trial ends otherwise, nobody asks any more what became of it.
                first.add_done_callback(_seen)
            if candidate.program is None:
                feedback = Feedback(candidate.verdict or Verdict.NO_CODE, candidate.reason)
            else:
                feedback = await tools.feedback(candidate.program, turn)
                passed = feedback.verdict is Verdict.PASSED
                standing = (int(passed), (feedback.score or 0.0) if passed else 0.0)
                # Of equals the later one: it has seen more.
                if standing >= rank:
                    rank, chosen, chosen_turn = standing, candidate, turn
                if passed and feedback.score is None:
                    break
            if turn < tools.turns:
                messages = _continued(messages, reply, tools.repair(feedback))
        verdict = await _grade(tools, chosen, chosen_turn)
        first_verdict = await first if first is not None else None
    finally:
        if first is not None and not first.done():
            first.cancel()
    return Outcome(verdict, chosen.program, chosen.reason, turn, first_verdict, unpaid)


def _continued(messages: tuple[Message, ...], reply: Reply, repair: Message) -> tuple[Message, ...]:
    """The conversation of the next turn.

    Whatever follows a refusal is refused too, and charged. As the API asks, a refused turn is left out: what was
    asked is asked again in other words, which are those of the repair.
    https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals
    """
    *earlier, asked = messages
    if reply.stop_reason == REFUSAL:
        return (*earlier, Message("user", f"{asked.text}\n\n{repair.text}"))
    said = Message("assistant", reply.text if reply.text.strip() else "(empty reply)")
    return (*messages, said, repair)


def _seen(task: asyncio.Task[Verdict]) -> None:
    if not task.cancelled():
        task.exception()


async def _grade(tools: Tools, candidate: Extraction, turn: int) -> Verdict:
    if candidate.program is None:
        return candidate.verdict or Verdict.NO_CODE
    return (await tools.grade(candidate.program, turn)).verdict


SYSTEMS: Final[Mapping[str, System]] = MappingProxyType(
    {"generate_only": generate_only, "execute_only": execute_only, "hybrid": hybrid}
)

GENERATING: Final[frozenset[str]] = frozenset({"generate_only", "hybrid"})
"""Systems that ask a model."""
