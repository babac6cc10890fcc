"""Systems: what they ask for, what they pass on, what they grade."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import pytest

from orchestrator.core.execution import ExampleOutcome, Feedback, Grade
from orchestrator.core.extraction import Extraction
from orchestrator.core.feedback import feedback_text
from orchestrator.core.generation import Message, Reply, Usage
from orchestrator.core.money import BudgetExhausted
from orchestrator.core.problems import PublicProblem
from orchestrator.core.systems import SYSTEMS, Outcome
from orchestrator.core.verdicts import Verdict


class Script:
    """Tools that follow a script: replies in order; what feedback and grading say of each program."""

    problem = PublicProblem("p/0", "p", "prompt", "f")

    def __init__(
        self,
        replies: Sequence[str],
        feedback: dict[str, Feedback],
        grades: dict[str, Verdict],
        turns: int = 3,
        paid: int = 99,
    ) -> None:
        """``paid``: how many replies the budget is for."""
        self._paid = paid
        self.turns = turns
        self._replies = iter(replies)
        self._feedback = feedback
        self._grades = grades
        self.asked: list[tuple[Message, ...]] = []
        self.graded: list[str] = []
        self.tried: list[str] = []

    def opening(self) -> Message:
        return Message("user", "prompt")

    def repair(self, feedback: Feedback) -> Message:
        return Message("user", feedback_text(feedback))

    async def generate(self, messages: tuple[Message, ...], turn: int) -> Reply:
        if turn > self._paid:
            raise BudgetExhausted("no room", "budget.trial_usd")
        self.asked.append(messages)
        assert turn == len(self.asked)
        text = next(self._replies)
        return Reply(text, "refusal" if text == "refused" else "end_turn", Usage(), "m", "r", 0.0, True)

    def extract(self, reply: Reply) -> Extraction:
        if reply.text == "half":
            return Extraction(None, Verdict.ERROR, "no such function")
        if not reply.text.startswith("code"):
            return Extraction(None, Verdict.NO_CODE, "prose only")
        return Extraction(reply.text, None, "")

    async def feedback(self, program: str, turn: int) -> Feedback:
        self.tried.append(program)
        return self._feedback.get(program, Feedback(Verdict.PASSED, ""))

    async def grade(self, program: str, turn: int) -> Grade:
        self.graded.append(program)
        await asyncio.sleep(0)
        return Grade(self._grades.get(program, Verdict.PASSED))

    async def reference(self) -> Grade:
        return Grade(Verdict.PASSED)


WRONG = Feedback(
    Verdict.WRONG_ANSWER, "example 1", outcomes=(ExampleOutcome("f(1)", "2", False, "3"),), output="hello"
)


def play(system: str, script: Script) -> Outcome:
    async def main() -> Outcome:
        return await SYSTEMS[system](script)

    return asyncio.run(main())


def test_generate_only_asks_once_and_feeds_nothing_back() -> None:
    script = Script(["code a"], {"code a": WRONG}, {"code a": Verdict.WRONG_ANSWER})
    outcome = play("generate_only", script)
    assert (outcome.verdict, outcome.turns, script.tried) == (Verdict.WRONG_ANSWER, 1, [])
    assert len(script.asked) == 1


def test_generate_only_without_code_grades_nothing() -> None:
    script = Script(["sorry"], {}, {})
    outcome = play("generate_only", script)
    assert (outcome.verdict, outcome.reason, script.graded) == (Verdict.NO_CODE, "prose only", [])


@pytest.mark.parametrize("system", ["generate_only", "hybrid"])
def test_a_reply_without_the_function_keeps_the_verdict_of_its_extraction(system: str) -> None:
    outcome = play(system, Script(["half"], {}, {}, turns=1))
    assert (outcome.verdict, outcome.program, outcome.reason) == (Verdict.ERROR, None, "no such function")


def test_execute_only_asks_no_model() -> None:
    script = Script([], {}, {})
    assert play("execute_only", script) == Outcome(Verdict.PASSED, None, "", 0, None)
    assert script.asked == []


def test_hybrid_stops_at_the_first_program_that_passes_the_feedback_tests() -> None:
    script = Script(["code a", "code b", "code c"], {"code a": WRONG}, {"code a": Verdict.WRONG_ANSWER})
    outcome = play("hybrid", script)
    assert (outcome.verdict, outcome.program, outcome.turns) == (Verdict.PASSED, "code b", 2)
    assert outcome.first_turn_verdict is Verdict.WRONG_ANSWER
    assert sorted(script.graded) == ["code a", "code b"]


def test_hybrid_sends_back_what_happened_on_the_examples_and_never_a_grade() -> None:
    script = Script(["code a", "code b"], {"code a": WRONG}, {"code a": Verdict.OUT_OF_MEMORY})
    play("hybrid", script)
    second = script.asked[1]
    assert [m.role for m in second] == ["user", "assistant", "user"]
    assert [m.text for m in second[:2]] == ["prompt", "code a"]
    assert "f(1)" in second[2].text
    assert "hello" in second[2].text
    assert "memory" not in second[2].text


def test_hybrid_says_that_there_was_no_program_and_asks_again() -> None:
    script = Script(["sorry", "code b"], {}, {})
    outcome = play("hybrid", script)
    assert (outcome.verdict, outcome.first_turn_verdict, outcome.turns) == (Verdict.PASSED, Verdict.NO_CODE, 2)
    assert "prose only" in script.asked[1][2].text


def test_what_was_refused_is_left_out_of_the_conversation_and_asked_in_other_words() -> None:
    script = Script(["refused", "code a", "refused", "refused", "code b"], {"code a": WRONG}, {}, turns=5)
    assert play("hybrid", script).turns == 5
    second, third, fourth, fifth = script.asked[1:]
    no_program = "No program could be taken from your reply: prose only."
    assert second == (Message("user", f"prompt\n\n{no_program}"),)
    assert third == (*second, Message("assistant", "code a"), Message("user", feedback_text(WRONG)))
    assert fourth == (*third[:2], Message("user", f"{third[2].text}\n\n{no_program}"))
    assert fifth == (*third[:2], Message("user", f"{third[2].text}\n\n{no_program}\n\n{no_program}"))


def test_hybrid_says_what_was_wrong_with_code_that_is_no_program() -> None:
    script = Script(["half", "code b"], {}, {})
    assert play("hybrid", script).first_turn_verdict is Verdict.ERROR
    assert script.asked[1][2].text == "Your program could not be used: no such function"


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_a_reply_without_a_word_is_sent_back_as_such(text: str) -> None:
    script = Script([text, "code b"], {}, {})
    play("hybrid", script)
    # The API takes no message without text.
    assert script.asked[1][1] == Message("assistant", "(empty reply)")


def test_hybrid_grades_the_last_program_when_none_passes_and_a_later_reply_has_none() -> None:
    wrong = {"code a": WRONG, "code b": WRONG}
    script = Script(["code a", "code b", "sorry"], wrong, {"code b": Verdict.WRONG_ANSWER})
    outcome = play("hybrid", script)
    assert (outcome.program, outcome.turns) == ("code b", 3)


def test_hybrid_without_any_program_is_no_code() -> None:
    script = Script(["a", "b", "c"], {}, {})
    outcome = play("hybrid", script)
    assert (outcome.verdict, outcome.program, script.graded) == (Verdict.NO_CODE, None, [])


def test_hybrid_goes_on_where_programs_have_a_speed_and_keeps_the_fastest_right_one() -> None:
    scores = {
        "code a": Feedback(Verdict.PASSED, "", score=1.0),
        "code b": Feedback(Verdict.PASSED, "", score=3.0),
        "code c": Feedback(Verdict.WRONG_ANSWER, "off", score=None),
        "code d": Feedback(Verdict.PASSED, "", score=2.0),
    }
    script = Script(["code a", "code b", "code c", "code d"], scores, {}, turns=4)
    outcome = play("hybrid", script)
    assert (outcome.program, outcome.turns) == ("code b", 4)
    assert sorted(script.graded) == ["code a", "code b"]


def test_a_budget_that_ends_after_a_right_program_leaves_the_fastest_to_be_graded() -> None:
    told = {
        "code a": Feedback(Verdict.PASSED, "", score=1.5),
        "code b": Feedback(Verdict.PASSED, "", score=1.2),
    }
    script = Script(["code a", "code b", "code c"], told, {}, turns=3, paid=2)
    outcome = play("hybrid", script)
    assert (outcome.verdict, outcome.program, outcome.turns) == (Verdict.PASSED, "code a", 2)
    assert outcome.unpaid is not None
    assert outcome.unpaid.key == "budget.trial_usd"


def test_a_budget_that_ends_before_any_program_is_right_is_no_result() -> None:
    script = Script(["code a", "code b"], {"code a": WRONG}, {"code a": Verdict.WRONG_ANSWER}, paid=1)
    with pytest.raises(BudgetExhausted):
        play("hybrid", script)


def test_a_trial_that_ends_while_its_first_grade_runs_ends_that_too() -> None:
    ended: list[str] = []
    left: list[object] = []

    class Endless(Script):
        async def grade(self, program: str, turn: int) -> Grade:
            try:
                return await asyncio.Future()
            finally:
                ended.append(program)

        async def feedback(self, program: str, turn: int) -> Feedback:
            await asyncio.sleep(0.01)
            raise ConnectionError("stopped")

    async def main() -> list[str]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
        with pytest.raises(ConnectionError, match="stopped"):
            await SYSTEMS["hybrid"](Endless(["code a"], {}, {}))
        for _ in range(3):
            await asyncio.sleep(0)
        return list(ended)

    assert (asyncio.run(main()), left) == (["code a"], [])


def test_a_trial_that_ends_while_its_first_grade_fails_leaves_nothing_behind() -> None:
    class Stopping(Script):
        async def grade(self, program: str, turn: int) -> Grade:
            raise ConnectionError("stopped")

        async def feedback(self, program: str, turn: int) -> Feedback:
            await asyncio.sleep(0.01)
            raise ConnectionError("stopped too")

    left: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
        with pytest.raises(ConnectionError, match="stopped too"):
            await SYSTEMS["hybrid"](Stopping(["code a"], {}, {}))
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert not left
