"""The text that goes back to a model."""

from __future__ import annotations

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
