"""The text that goes back to a model."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.execution import ExampleOutcome, Feedback
from orchestrator.core.feedback import MOST_CHARACTERS, MOST_EXAMPLES, feedback_text
from orchestrator.core.gpu import GpuFeedback
from orchestrator.core.verdicts import Verdict


def test_failing_examples_are_shown_and_passing_ones_are_not() -> None:
    outcomes = (ExampleOutcome("f(1)", "2", True, "2"), ExampleOutcome("f(2)", "3", False, "TypeError: no"))
    text = feedback_text(Feedback(Verdict.WRONG_ANSWER, "example 2", outcomes))
    assert "1 of 2" in text
    assert "f(2)" in text
    assert "TypeError: no" in text
    assert "f(1)" not in text


def test_everything_is_bounded() -> None:
    outcomes = tuple(ExampleOutcome(f"f({n})", "0", False, "9" * 100_000) for n in range(100))
    text = feedback_text(Feedback(Verdict.WRONG_ANSWER, "r" * 100_000, outcomes, output="x" * 1_000_000))
    assert len(text) < (3 * MOST_EXAMPLES + 3) * (MOST_CHARACTERS + 100)
    assert f"{100 - MOST_EXAMPLES} further" in text


def test_a_load_error_says_what_it_was() -> None:
    text = feedback_text(Feedback(Verdict.ERROR, "SyntaxError: invalid syntax (line 3)"))
    assert "SyntaxError: invalid syntax (line 3)" in text


def test_a_crash_among_the_examples_is_named() -> None:
    outcomes = (ExampleOutcome("f(1)", "2", False, ""),)
    text = feedback_text(Feedback(Verdict.TIMEOUT, "stopped after 4 s of CPU time", outcomes))
    assert "stopped after 4 s of CPU time" in text


def test_gpu_findings_are_given_line_by_line() -> None:
    gpu = GpuFeedback("check", ("worst mismatch at (3, 4): got 1.0, wanted 2.0",))
    text = feedback_text(Feedback(Verdict.WRONG_ANSWER, "worst mismatch at (3, 4): ...", gpu=gpu))
    assert text == "Your program failed.\nworst mismatch at (3, 4): got 1.0, wanted 2.0"


def test_what_does_not_fit_is_cut_in_the_middle() -> None:
    def said(reason: str) -> str:
        return feedback_text(Feedback(Verdict.ERROR, reason)).removeprefix("Your program could not be used: ")

    whole = "a" * MOST_CHARACTERS
    assert said(whole) == whole
    assert said("a" * 300 + "b" * 7 + "c" * 300) == "a" * 300 + " ... (7 characters left out) ... " + "c" * 300


def test_as_many_failing_examples_as_are_shown_leave_none_out() -> None:
    outcomes = tuple(ExampleOutcome(f"f({n})", "0", False, "9") for n in range(MOST_EXAMPLES))
    text = feedback_text(Feedback(Verdict.WRONG_ANSWER, "example 1", outcomes))
    assert text.count("expected: 0") == MOST_EXAMPLES
    assert "left out" not in text


def test_a_wrong_answer_is_told_by_its_examples_alone() -> None:
    outcomes = (ExampleOutcome("f(1)", "2", False, "3"),)
    assert feedback_text(Feedback(Verdict.WRONG_ANSWER, "example 1", outcomes)) == (
        "Your program failed 1 of 1 examples from the task.\n- f(1)\n  expected: 2\n  got: 3"
    )


def test_a_reply_without_a_program_is_told_why() -> None:
    text = feedback_text(Feedback(Verdict.NO_CODE, "the model refused", output="never run"))
    assert text == "No program could be taken from your reply: the model refused."


def test_a_right_program_is_told_so_with_what_it_printed() -> None:
    right = Feedback(Verdict.PASSED, "", (ExampleOutcome("f(1)", "2", True, "2"),))
    assert feedback_text(right) == "Your program passed the tests that were tried."
    assert feedback_text(replace(right, output=" \n")) == feedback_text(right)
    assert feedback_text(replace(right, output="\nhello\n")) == f"{feedback_text(right)}\nIt printed:\nhello"
