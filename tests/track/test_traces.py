"""Which trials get a trace and what it says, from rows as the driver writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.track.traces import TokenRates, build_trace, choose_trials

RATES = TokenRates(input=2.0, output=10.0, cache_read=0.2, cache_write=2.5)


def row(
    cell: str = "hybrid-sonnet", problem: str = "HumanEval/1", verdict: str = "passed", **more: Any
) -> dict[str, Any]:
    plain = {"system": "hybrid", "reason": "" if verdict == "passed" else "assert f(1) == 2", "synthetic": False}
    return {**plain, "cell": cell, "problem": problem, "sample": 0, "verdict": verdict, "turns": 2, **more}


def step(kind: str, turn: int, start: float, **more: Any) -> dict[str, Any]:
    common = {"cell": ["hybrid-sonnet"], "problem": "HumanEval/1", "sample": 0, "kind": kind, "turn": turn}
    return {**common, "started_at": start, "ended_at": start + 1.0, **more}


def reply(turn: int, start: float, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "text": "def f(): ..."}]
    if turn > 1:
        messages += [{"role": "assistant", "text": "first"}, {"role": "user", "text": "it failed"}]
    counts = {"input_tokens": 100, "output_tokens": 50, "cache_read_tokens": 0, "cache_write_tokens": 0}
    said: dict[str, Any] = {
        "reply": "```python\nx = 1\n```",
        "model_id": "claude-sonnet-5-5",
        "stop_reason": "end_turn",
    }
    return step(
        "generation", turn, start, messages=json.dumps(messages), **{"usd": 0.0007, **counts, **said, **more}
    )


STEPS = [
    reply(1, 10.0),
    step("feedback", 1, 11.0, verdict="wrong_answer", reason="1 of 2", feedback="f() gave 1", program="x = 1"),
    reply(2, 12.0),
    step("scoring", 2, 13.0, verdict="passed", reason="", program="x = 2"),
]


def test_failures_come_first_then_a_sample_that_is_even_over_cells() -> None:
    rows = [row(cell, f"p/{n}") for cell in ("a", "b") for n in range(20)]
    rows += [row("a", "p/20", "wrong_answer"), row("b", "p/21", "infrastructure"), row("b", "p/22", "not_run")]
    chosen = choose_trials(rows, 12)
    assert {key[:2] for key in chosen[:2]} == {("a", "p/20"), ("b", "p/21")}
    rest = chosen[2:]
    assert [sum(key[0] == cell for key in rest) for cell in ("a", "b")] == [5, 5]
    # The same problems in both cells, and the same on every run.
    assert {key[1] for key in rest if key[0] == "a"} == {key[1] for key in rest if key[0] == "b"}
    assert choose_trials(reversed(rows), 12) == chosen
    assert len(choose_trials(rows, 1000)) == 42
    assert choose_trials(rows, 0) == []


def test_a_trace_tells_the_trial_step_by_step() -> None:
    trace = build_trace(row(), list(reversed(STEPS)), system_prompt="You write Python.", rates=RATES)
    names = [span.name for span in trace.steps]
    assert names == ["generate, turn 1", "feedback tests, turn 1", "repair, turn 2", "scoring tests, turn 2"]
    assert [span.type for span in trace.steps] == ["CHAT_MODEL", "TOOL", "CHAT_MODEL", "EVALUATOR"]
    assert (trace.root.start_s, trace.root.end_s) == (10.0, 14.0)
    assert trace.passed is True
    first, feedback, repair, scoring = trace.steps
    assert first.inputs["system"] == "You write Python."
    assert [m["role"] for m in repair.inputs["messages"]] == ["user", "assistant", "user"]
    assert repair.outputs["content"] == [{"type": "text", "text": "```python\nx = 1\n```"}]
    assert "f() gave 1" in feedback.outputs["sent back to the model"]
    assert feedback.failure == "wrong_answer: 1 of 2"
    assert scoring.failure is None
    assert trace.root.failure is None
    assert trace.tags["verdict"] == "passed"
    assert trace.tags["synthetic"] == "false"


def test_dollars_are_what_was_paid_divided_as_the_rates_divide_them() -> None:
    trace = build_trace(row(), STEPS, rates=RATES)
    cost = trace.steps[0].attributes["mlflow.llm.cost"]
    # 100 tokens at 2 and 50 at 10 dollars a million: 0.0002 and 0.0005.
    assert cost == pytest.approx({"input_cost": 0.0002, "output_cost": 0.0005, "total_cost": 0.0007})
    assert trace.cost["total_cost"] == pytest.approx(0.0014)
    assert trace.usage == {"input_tokens": 200, "output_tokens": 100, "total_tokens": 300}
    # A batch is half the price: the total stays what was paid.
    half = build_trace(row(), [reply(1, 0.0, usd=0.00035)], rates=RATES)
    assert half.cost == pytest.approx({"input_cost": 0.0001, "output_cost": 0.00025, "total_cost": 0.00035})


def test_a_reply_without_a_price_has_no_cost_and_no_model_that_mlflow_could_price() -> None:
    trace = build_trace(row(), [reply(1, 0.0, usd=None), reply(2, 1.0)], rates=RATES)
    attributes = trace.steps[0].attributes
    assert "mlflow.llm.cost" not in attributes
    assert "mlflow.llm.model" not in attributes
    assert attributes["model"] == "claude-sonnet-5-5"
    assert trace.cost == {}


def test_cached_input_counts_as_input() -> None:
    usage = build_trace(row(), [reply(1, 0.0, cache_read_tokens=30, cache_write_tokens=20)]).usage
    assert usage["input_tokens"] == 150
    assert usage["total_tokens"] == 200
    assert usage["cache_read_input_tokens"] == 30


def test_nobody_takes_a_rehearsal_for_the_model_that_it_stands_for() -> None:
    trace = build_trace(row(synthetic=True), [reply(1, 0.0, synthetic=True)], rates=RATES)
    assert trace.steps[0].attributes["mlflow.llm.model"] == "claude-sonnet-5-5 (rehearsed)"
    assert trace.tags["synthetic"] == "true"


def test_our_own_failures_are_errors_of_the_trace_and_wrong_answers_are_not() -> None:
    assert build_trace(row(verdict="infrastructure"), STEPS).root.failure == "assert f(1) == 2"
    wrong = build_trace(row(verdict="wrong_answer"), STEPS)
    assert wrong.root.failure is None
    assert wrong.passed is False
    assert build_trace(row(verdict="infrastructure"), STEPS).passed is None


def test_a_reply_that_was_cut_off_is_marked_and_long_texts_are_shortened() -> None:
    long = "x" * 50_000
    trace = build_trace(row(), [reply(1, 0.0, stop_reason="max_tokens", reply=long)])
    assert trace.steps[0].failure == "stopped by max_tokens"
    text = trace.steps[0].outputs["content"][0]["text"]
    assert len(text) < 21_000
    assert "30,000 more characters" in text


def test_programs_stay_code_whatever_is_in_them() -> None:
    program = 'text = "```"\n'
    shown = build_trace(row(), [step("scoring", 1, 0.0, verdict="passed", program=program)]).root.outputs["program"]
    assert shown == f"````python\n{program}\n````"
