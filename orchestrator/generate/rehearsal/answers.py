"""What the rehearsal server says: the reference program, right or broken, as a model would put it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from orchestrator.generate.rehearsal.draws import RequestId, draw, pick, pick_weighted
from orchestrator.generate.rehearsal.gpu_breaks import break_gpu
from orchestrator.generate.rehearsal.problems import RehearsalProblem
from orchestrator.generate.rehearsal.python_breaks import break_python, cut_python
from orchestrator.generate.rehearsal.settings import RehearsalSettings
from orchestrator.generate.rehearsal.tokens import CHARACTERS_PER_TOKEN, estimate_tokens

__all__ = ["RIGHT_KINDS", "Answer", "Asked", "NoContinuation", "answer"]

RIGHT_KINDS: Final[frozenset[str]] = frozenset({"plain", "prose", "several_blocks"})
"""Kinds of answer whose program is right."""

_PYTHON_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "off_by_one": 0.25,
        "wrong_operator": 0.25,
        "exception": 0.17,
        "syntax_error": 0.12,
        "cut_off": 0.10,
        "refusal": 0.06,
        "memory_hog": 0.05,
        "endless_loop": 0.05,
    }
)
_GPU_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "compile_error": 0.20,
        "wrong_dtype": 0.20,
        "off_by_one": 0.15,
        "wrong_operator": 0.12,
        "exception": 0.10,
        "out_of_memory": 0.10,
        "slow": 0.08,
        "cut_off": 0.03,
        "refusal": 0.02,
        "endless_loop": 0.05,
    }
)
"""How the broken share divides; ``endless_loop`` is lowered further to ``endless_share`` of all answers."""

_VARIANTS = 12
"""Forms of one mistake that are told apart; bounds the cache of broken programs."""

_EFFORT_THINKING: Final[Mapping[str, float]] = MappingProxyType(
    {"low": 0.5, "medium": 1.0, "high": 2.0, "xhigh": 3.0, "max": 4.0}
)

_THOUGHTS = (
    "Let me restate what the function has to do before writing it.",
    "The edge cases are the empty input and a single element.",
    "A direct loop is clear enough here, and the input is small.",
    "I should keep the signature exactly as it was given.",
    "Checking the examples in the prompt against this by hand.",
    "No helper beyond the standard library is needed.",
)

_REFUSALS = (
    "I can't help with this request.",
    "I'm not able to write this program.",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request bears on its answer."""

    max_tokens: int
    feedback: bool = False
    """The conversation carries feedback: it has more than one user message."""
    thinking: str | None = None
    """``adaptive``, ``enabled``, ``disabled``, or None where the request says nothing."""
    thinking_budget: int | None = None
    effort: str | None = None
    so_far: str | None = None
    """What a reply that paused had said, where the conversation ends with it."""
    room: int | None = None
    """Tokens that are left in the context; None: plenty."""


class NoContinuation(ValueError):
    """The conversation ends with words that are not the beginning of this answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply, before it is framed as JSON."""

    kind: str
    """A member of :data:`RIGHT_KINDS`, or the mistake."""
    thinking: str
    """Empty: no thinking block."""
    text: str
    stop_reason: str
    thinking_tokens: int
    output_tokens: int
    """Thinking included."""


def answer(
    settings: RehearsalSettings, model: str, problem: RehearsalProblem, who: RequestId, asked: Asked
) -> Answer:
    """The answer to a request: a function of the arguments, ``who.attempt`` aside.

    Raises:
        NoContinuation: the conversation ends with an assistant's message that this answer does not begin with.
    """
    kind = _kind(settings, model, problem, who, asked.feedback)
    thinking, thinking_tokens = _thinking(settings, model, who, asked)
    text = _text(settings, model, problem, who, kind)
    stop_reason = "refusal" if kind == "refusal" else "end_turn"
    if asked.so_far is not None:
        if not text.startswith(asked.so_far):
            raise NoContinuation("The conversation must end with a user message.")
        text, thinking, thinking_tokens = text[len(asked.so_far) :], "", 0
    elif (
        kind not in ("cut_off", "refusal") and draw(settings.seed, model, who.step, "pause") < settings.paused_share
    ):
        # Not on white space: the API refuses an assistant's message that ends with it.
        text, stop_reason = text[: len(text) // 2].rstrip(), "pause_turn"
    allowance, ending = asked.max_tokens, "max_tokens"
    if asked.room is not None and asked.room < allowance:
        allowance, ending = asked.room, "model_context_window_exceeded"
    output_tokens = thinking_tokens + max(1, estimate_tokens(text))
    if kind == "cut_off" or output_tokens > allowance:
        # Of a reply that was cut on purpose, what was not said aloud used up the rest of the allowance.
        output_tokens, stop_reason = allowance, ending
        text = text[: (allowance - thinking_tokens) * CHARACTERS_PER_TOKEN]
    return Answer(kind, thinking, text, stop_reason, thinking_tokens, output_tokens)


def _kind(
    settings: RehearsalSettings, model: str, problem: RehearsalProblem, who: RequestId, feedback: bool
) -> str:
    """What becomes of this answer; never the mistake of the turn before again."""
    wrong_share = 1.0 - settings.mend_share if feedback else settings.broken_share
    if draw(settings.seed, model, who.step, "right") >= wrong_share:
        if draw(settings.seed, model, who.step, "odd") < settings.odd_share:
            return pick(("prose", "several_blocks"), settings.seed, model, who.step, "form")
        return "plain"
    weights = dict(_PYTHON_WEIGHTS if problem.dialect == "python" else _GPU_WEIGHTS)
    if feedback and who.turn > 0:
        # The turn before this one was the first if it was turn 0, which had no feedback to go by.
        earlier = replace(who, turn=who.turn - 1)
        weights.pop(_kind(settings, model, problem, earlier, earlier.turn > 0), None)
    possible = {kind: weight for kind, weight in weights.items() if _possible(problem, kind)}
    others = sum(weight for kind, weight in possible.items() if kind != "endless_loop")
    if "endless_loop" in possible:
        # x / (x + others) of the wrong answers are endless, which must stay within `endless_share` of all.
        most = min(settings.endless_share / wrong_share, 0.5)
        possible["endless_loop"] = min(possible["endless_loop"], others * most / (1.0 - most))
    return pick_weighted(possible, settings.seed, model, who.step, "mistake")


def _possible(problem: RehearsalProblem, kind: str) -> bool:
    return kind in ("refusal", "cut_off") or _broken(problem, kind, 0) is not None


@lru_cache(maxsize=8192)
def _broken(problem: RehearsalProblem, kind: str, variant: int) -> str | None:
    if problem.dialect == "python":
        return break_python(problem.reference, problem.entry_point, kind, variant)
    return break_gpu(problem.reference, problem.entry_point, problem.dialect, kind, variant)


def _thinking(settings: RehearsalSettings, model: str, who: RequestId, asked: Asked) -> tuple[str, int]:
    """The thinking block's text and its tokens; empty and 0 where the model does not think aloud."""
    if asked.thinking in ("disabled", "between_tools"):
        return "", 0
    share = 1.0 if asked.thinking == "enabled" else settings.thinking_share
    if draw(settings.seed, model, who.step, "thinks") >= share:
        return "", 0
    scale = _EFFORT_THINKING.get(asked.effort or "medium", 1.0)
    count = max(1, round((1 + 8 * draw(settings.seed, model, who.step, "thoughts")) * scale))
    text = " ".join(pick(_THOUGHTS, settings.seed, model, who.step, "thought", i) for i in range(count))
    # Thinking leaves at least half of the allowance to the answer.
    most = (asked.max_tokens if asked.room is None else min(asked.max_tokens, asked.room)) // 2
    if asked.thinking_budget is not None:
        most = min(most, asked.thinking_budget)
    text = text[: most * CHARACTERS_PER_TOKEN]
    return text, estimate_tokens(text)


def _text(settings: RehearsalSettings, model: str, problem: RehearsalProblem, who: RequestId, kind: str) -> str:
    """The reply's text, before any cap."""
    if kind == "refusal":
        return pick(_REFUSALS, settings.seed, model, who.step, "refusal")
    variant = int(draw(settings.seed, model, who.step, "variant") * _VARIANTS)
    fence = "```cuda\n" if problem.dialect == "cuda" else "```python\n"
    if kind == "cut_off":
        share = draw(settings.seed, model, who.step, "cut")
        if problem.dialect == "cuda":
            cut = int(len(problem.reference) * (0.3 + 0.4 * share))
        else:
            cut = cut_python(problem.reference, problem.entry_point, share)
        return fence + problem.reference[:cut]
    program = problem.reference
    if kind not in RIGHT_KINDS:
        # A kind is chosen only where its first form is possible; another form may not be.
        broken = _broken(problem, kind, variant) or _broken(problem, kind, 0)
        assert broken is not None
        program = broken
    block = f"{fence}{program.strip()}\n```"
    if kind == "prose":
        return (
            f"Here is an implementation of `{problem.entry_point}`. It follows the description step by step.\n\n"
            f"{block}\n\n"
            "**How it works**\n\n"
            "- The input is handled as the description says, edge cases included.\n"
            f"- `{problem.entry_point}` gives back the result without side effects.\n\n"
            "Let me know if you would like tests for it as well."
        )
    if kind == "several_blocks":
        return (
            "First the outline:\n\n"
            "```text\n1. read the input\n2. work out the result\n3. give it back\n```\n\n"
            f"The complete program:\n\n{block}\n\n"
            "And how it is called:\n\n"
            f"{fence}# {problem.entry_point} is used like any other function, see the examples above\n```\n"
        )
    return block
