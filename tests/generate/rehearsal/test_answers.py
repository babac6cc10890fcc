from __future__ import annotations

import random
from collections import Counter

import pytest

from orchestrator.generate.rehearsal.answers import RIGHT_KINDS, Answer, Asked, answer
from orchestrator.generate.rehearsal.draws import RequestId
from orchestrator.generate.rehearsal.problems import RehearsalProblem
from orchestrator.generate.rehearsal.settings import RehearsalSettings
from orchestrator.generate.rehearsal.tokens import estimate_tokens
from tests.generate.rehearsal.parts import MODEL, code, human_eval, passes, reference

SETTINGS = RehearsalSettings(seed=11)
ASKED = Asked(max_tokens=4096)
FEEDBACK = Asked(max_tokens=4096, feedback=True)


def problem(task_id: str = "HumanEval/0") -> RehearsalProblem:
    data = human_eval()[task_id]
    return RehearsalProblem(task_id, data["prompt"], data["entry_point"], "python", reference(task_id))


def give(
    who: RequestId, asked: Asked = ASKED, settings: RehearsalSettings = SETTINGS, model: str = MODEL
) -> Answer:
    return answer(settings, model, problem(who.problem), who, asked)


def many(count: int, asked: Asked = ASKED, turn: int = 0, settings: RehearsalSettings = SETTINGS) -> list[Answer]:
    names = list(human_eval())
    return [give(RequestId(names[i % 164], i // 164, turn), asked, settings) for i in range(count)]


def test_an_answer_depends_on_seed_model_and_step_and_on_nothing_else() -> None:
    steps = [RequestId(f"HumanEval/{i}", i % 3, 0) for i in range(60)]
    first = {who: give(who) for who in steps}
    shuffled = random.Random(5).sample(steps, len(steps))
    assert {who: give(who) for who in shuffled} == first
    assert all(give(RequestId(w.problem, w.sample, w.turn, attempt=3)) == first[w] for w in steps)
    others = [
        [give(w, settings=RehearsalSettings(seed=12)) for w in steps],
        [give(w, model="claude-haiku-5-5") for w in steps],
        [give(RequestId(w.problem, w.sample + 5, w.turn)) for w in steps],
    ]
    for other in others:
        same = sum(a == b for a, b in zip(other, first.values(), strict=True))
        assert same < len(steps) // 2


def test_shares_are_those_of_the_settings() -> None:
    kinds = Counter(reply.kind for reply in many(4000))
    wrong = sum(count for kind, count in kinds.items() if kind not in RIGHT_KINDS) / 4000
    assert 0.18 < wrong < 0.22
    assert 0 < kinds["endless_loop"] / 4000 <= 0.01
    assert set(kinds) == RIGHT_KINDS | {
        "off_by_one",
        "wrong_operator",
        "exception",
        "syntax_error",
        "cut_off",
        "refusal",
        "memory_hog",
        "endless_loop",
    }
    odd = kinds["prose"] + kinds["several_blocks"]
    assert 0.17 < odd / (odd + kinds["plain"]) < 0.23


@pytest.mark.parametrize(("broken_share", "right"), [(0.0, True), (1.0, False)])
def test_the_ends_of_the_scale_are_exact(broken_share: float, right: bool) -> None:
    replies = many(300, settings=RehearsalSettings(broken_share=broken_share))
    assert all((reply.kind in RIGHT_KINDS) is right for reply in replies)
    if not right:
        endless = sum(
            reply.kind == "endless_loop" for reply in many(2000, settings=RehearsalSettings(broken_share=1.0))
        )
        assert endless <= 20


def test_feedback_mends_the_share_that_it_should_and_never_repeats_a_mistake() -> None:
    names = list(human_eval())
    mended = repeated = wrong_again = 0
    for i in range(2000):
        who = RequestId(names[i % 164], i // 164, 0)
        if (first := give(who)).kind in RIGHT_KINDS:
            continue
        second = give(RequestId(who.problem, who.sample, 1), FEEDBACK)
        mended += second.kind in RIGHT_KINDS
        wrong_again += second.kind not in RIGHT_KINDS
        repeated += second.kind == first.kind
    assert repeated == 0
    assert 0.52 < mended / (mended + wrong_again) < 0.68


def test_right_answers_pass_in_every_form_and_broken_ones_fail() -> None:
    seen: set[tuple[str, str]] = set()
    for task_id in ("HumanEval/0", "HumanEval/53", "HumanEval/115"):
        for sample in range(300):
            reply = give(RequestId(task_id, sample, 0))
            if reply.kind == "endless_loop" or (task_id, reply.kind) in seen:
                continue
            seen.add((task_id, reply.kind))
            assert passes(task_id, code(reply.text)) == (reply.kind in RIGHT_KINDS), (task_id, reply.kind)
    assert {kind for _, kind in seen} >= {"plain", "prose", "several_blocks", "off_by_one", "cut_off", "refusal"}


def test_what_ends_early_says_so_and_spends_no_more_than_it_may() -> None:
    replies = {reply.kind: reply for reply in many(3000)}
    assert replies["refusal"].stop_reason == "refusal"
    assert "def " not in replies["refusal"].text
    cut = replies["cut_off"]
    assert cut.stop_reason == "max_tokens"
    assert cut.output_tokens == 4096
    assert cut.text.startswith("```python\n")
    assert not cut.text.endswith("```")
    for reply in many(400, Asked(max_tokens=40, thinking="enabled", thinking_budget=1024)):
        assert reply.output_tokens <= 40
        assert reply.thinking_tokens + estimate_tokens(reply.text) <= 40
        assert (reply.stop_reason == "max_tokens") == (reply.kind != "refusal")
    whole = [reply for reply in many(200) if reply.stop_reason == "end_turn"]
    assert all(r.output_tokens == r.thinking_tokens + estimate_tokens(r.text) for r in whole)


def test_thinking_follows_the_request() -> None:
    def thinking(**asked: object) -> list[Answer]:
        return many(300, Asked(max_tokens=4096, **asked))  # type: ignore[arg-type]

    assert all(reply.thinking for reply in thinking(thinking="enabled"))
    assert not any(reply.thinking for reply in thinking(thinking="disabled"))
    adaptive = sum(bool(reply.thinking) for reply in thinking(thinking="adaptive"))
    assert 100 < adaptive < 200
    low = sum(reply.thinking_tokens for reply in thinking(thinking="enabled", effort="low"))
    high = sum(reply.thinking_tokens for reply in thinking(thinking="enabled", effort="max"))
    assert high > 3 * low
    assert all(reply.thinking_tokens <= 30 for reply in thinking(thinking="enabled", thinking_budget=30))
    texts = [reply.text for reply in thinking(thinking="disabled")]
    assert texts == [reply.text for reply in thinking(thinking="enabled")]
