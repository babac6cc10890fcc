"""Which trials get a trace, and what is in one: plain values, made from the rows of a run's two tables.

A trace has a root for the trial and one span below it for each step: ``generate`` or ``repair`` with the
conversation, tokens and dollars, ``feedback`` with what went back to the model, and ``scoring`` or ``reference``
with the verdict.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from orchestrator.core.verdicts import Verdict

__all__ = ["STEP_COLUMNS", "TokenRates", "Trace", "TraceSpan", "TrialKey", "build_trace", "choose_trials"]

TrialKey = tuple[str, str, int]
"""Cell, problem, sample."""

LONGEST_TEXT: Final = 20_000
"""Characters of one prompt, reply or program in a trace: the whole texts are in ``steps.parquet``."""

STEP_COLUMNS: Final = (
    "cell", "problem", "sample", "turn", "kind", "program", "reply", "messages", "stop_reason", "model_id",
    "request_id", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "usd", "verdict",
    "reason", "feedback", "cpu_s", "node", "started_at", "ended_at", "synthetic", "resumed",
)  # fmt: skip
"""What of ``steps.parquet`` goes into a trace."""


@dataclass(frozen=True, slots=True)
class TokenRates:
    """Dollars per million tokens: how a reply's price divides into input and output."""

    input: float
    output: float
    cache_read: float
    cache_write: float


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """One step of a trial, or the trial itself."""

    name: str
    type: str
    """One of MLflow's span types."""
    start_s: float
    """Epoch seconds."""
    end_s: float
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    attributes: Mapping[str, Any]
    failure: str | None = None
    """One line when the step did not go well: MLflow marks the span."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One trial."""

    key: TrialKey
    root: TraceSpan
    steps: tuple[TraceSpan, ...]
    tags: Mapping[str, str]
    passed: bool | None
    """None where there is no verdict on the system."""
    verdict: str
    reason: str
    usage: Mapping[str, int]
    """Tokens of all replies, by MLflow's names; empty where no model was asked."""
    cost: Mapping[str, float]
    """Dollars of all replies, by MLflow's names; empty where a price is unknown."""


def choose_trials(rows: Iterable[Mapping[str, Any]], most: int) -> list[TrialKey]:
    """Failures first, then a sample of the rest, even over the cells.

    The order within a cell is a hash of problem and sample, so that it favours no part of the suite, is the
    same on every run, and shows the same problems in every cell, where they can be compared.

    Args:
        rows: of ``results.parquet``; those that were not run have nothing to show.
        most: how many at most.
    """
    groups: dict[bool, defaultdict[str, list[TrialKey]]] = {True: defaultdict(list), False: defaultdict(list)}
    for row in rows:
        verdict = row.get("verdict")
        if verdict is None or verdict == Verdict.NOT_RUN:
            continue
        key = (str(row["cell"]), str(row["problem"]), int(row["sample"]))
        groups[verdict != Verdict.PASSED][key[0]].append(key)
    chosen = [*_in_turn(groups[True]), *_in_turn(groups[False])]
    return chosen[:most]


def build_trace(
    row: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    *,
    system_prompt: str = "",
    rates: TokenRates | None = None,
) -> Trace:
    """One trial's trace.

    Args:
        row: of ``results.parquet``.
        steps: the trial's rows of ``steps.parquet``, with :data:`STEP_COLUMNS`.
        system_prompt: what the cell's model is told first.
        rates: the model's token prices, where there are any.
    """
    key = (str(row["cell"]), str(row["problem"]), int(row["sample"]))
    ordered = sorted(steps, key=lambda step: (_turn(step), ORDER.get(str(step.get("kind")), 9)))
    spans = tuple(_span(step, system_prompt, rates) for step in ordered)
    start = min([span.start_s for span in spans], default=float(row.get("started_at") or 0.0))
    end = max([span.end_s for span in spans], default=float(row.get("ended_at") or start))
    verdict, reason = str(row.get("verdict")), str(row.get("reason") or "")
    program = next((step["program"] for step in reversed(ordered) if step.get("program") is not None), None)
    graded = verdict != Verdict.INFRASTRUCTURE
    root = TraceSpan(
        name=f"{key[1]} {row.get('system')}",
        type="AGENT",
        start_s=start,
        end_s=end,
        inputs=_without_none({"problem": key[1], "cell": key[0], "sample": key[2], "asked": _asked(ordered)}),
        outputs=_without_none({"verdict": verdict, "reason": reason or None, "program": _fenced(program)}),
        attributes=_without_none({"turns": row.get("turns"), "first_turn_verdict": row.get("first_turn_verdict")}),
        failure=None if graded else reason or verdict,
    )
    names = ("cell", "system", "model", "suite", "problem", "sample", "verdict", "synthetic", "run_id", "turns")
    return Trace(
        key=key,
        root=root,
        steps=spans,
        tags={name: _tag(row[name]) for name in names if row.get(name) is not None},
        passed=verdict == Verdict.PASSED if graded else None,
        verdict=verdict,
        reason=reason,
        usage=_sum(spans, USAGE),
        cost=_sum(spans, COST, complete=True),
    )


USAGE: Final = "mlflow.chat.tokenUsage"
COST: Final = "mlflow.llm.cost"
ORDER: Final = {"generation": 0, "feedback": 1, "scoring": 2, "reference": 2}
"""Within a turn."""


def _in_turn(groups: Mapping[str, list[TrialKey]]) -> Iterator[TrialKey]:
    """One of each cell, then the next of each."""
    queues = [sorted(keys, key=_hash) for _, keys in sorted(groups.items())]
    for index in range(max(map(len, queues), default=0)):
        yield from (queue[index] for queue in queues if index < len(queue))


def _hash(key: TrialKey) -> str:
    return sha256(f"{key[1]}\0{key[2]}".encode()).hexdigest()


def _turn(step: Mapping[str, Any]) -> int:
    return int(step.get("turn") or 1)


def _asked(steps: Sequence[Mapping[str, Any]]) -> str | None:
    """The problem as the model saw it, for the list of traces."""
    for step in steps:
        messages = _messages(step)
        if messages:
            return messages[0]["content"]
    return None


def _span(step: Mapping[str, Any], system_prompt: str, rates: TokenRates | None) -> TraceSpan:
    start = float(step.get("started_at") or 0.0)
    end = max(start, float(step.get("ended_at") or start))
    if step.get("kind") == "generation":
        return _generation(step, system_prompt, rates, start, end)
    kind = str(step.get("kind"))
    verdict, reason = str(step.get("verdict")), step.get("reason") or None
    tests = {"feedback": "feedback tests", "reference": "reference program"}.get(kind, "scoring tests")
    failed = f"{verdict}: {reason}" if reason else verdict
    return TraceSpan(
        name=f"{tests}, turn {_turn(step)}" if kind != "reference" else tests,
        type="TOOL" if kind == "feedback" else "EVALUATOR",
        start_s=start,
        end_s=end,
        inputs=_without_none({"program": _fenced(step.get("program"))}),
        outputs=_without_none(
            {"verdict": verdict, "reason": reason, "sent back to the model": _fenced(step.get("feedback"), "text")}
        ),
        attributes=_without_none({name: step.get(name) for name in ("cpu_s", "node", "resumed")}),
        failure=None if verdict == Verdict.PASSED else failed,
    )


def _generation(
    step: Mapping[str, Any], system_prompt: str, rates: TokenRates | None, start: float, end: float
) -> TraceSpan:
    synthetic = bool(step.get("synthetic"))
    model = str(step.get("model_id") or "unknown")
    usage = _usage(step)
    cost = _cost(step, rates)
    attributes: dict[str, Any] = {
        # The shape of inputs and outputs below, so that the page shows a conversation.
        "mlflow.message.format": "anthropic",
        "mlflow.llm.provider": "rehearsal" if synthetic else "anthropic",
        USAGE: usage,
        **_without_none({name: step.get(name) for name in ("request_id", "stop_reason", "resumed", "synthetic")}),
    }
    if cost is None:
        # MLflow prices a model that it is told of from a list of its own, which is wrong or knows nothing of it.
        attributes["model"] = model
    else:
        attributes |= {COST: cost, "mlflow.llm.model": f"{model} (rehearsed)" if synthetic else model}
    messages = _messages(step)
    inputs = {"system": system_prompt, "messages": messages} if system_prompt else {"messages": messages}
    cut = step.get("stop_reason") not in (None, "end_turn", "stop_sequence")
    turn = _turn(step)
    return TraceSpan(
        name="generate, turn 1" if turn == 1 else f"repair, turn {turn}",
        type="CHAT_MODEL",
        start_s=start,
        end_s=end,
        inputs=inputs,
        outputs={
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": _short(step.get("reply")) or ""}],
            "stop_reason": step.get("stop_reason"),
        },
        attributes=attributes,
        failure=f"stopped by {step['stop_reason']}" if cut else None,
    )


def _messages(step: Mapping[str, Any]) -> list[dict[str, str]]:
    try:
        found = json.loads(step.get("messages") or "[]")
    except ValueError:
        return []
    if not isinstance(found, list):
        return []
    return [
        {"role": str(m.get("role")), "content": _short(str(m.get("text"))) or ""}
        for m in found
        if isinstance(m, dict)
    ]


def _usage(step: Mapping[str, Any]) -> dict[str, int]:
    """Tokens by MLflow's names; its input counts what the cache held too."""
    fresh, made = int(step.get("input_tokens") or 0), int(step.get("output_tokens") or 0)
    read, written = int(step.get("cache_read_tokens") or 0), int(step.get("cache_write_tokens") or 0)
    cached = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written} if read or written else {}
    total_in = fresh + read + written
    return {"input_tokens": total_in, "output_tokens": made, "total_tokens": total_in + made, **cached}


def _cost(step: Mapping[str, Any], rates: TokenRates | None) -> dict[str, float] | None:
    """What was paid, divided as the model's rates divide it; None where the price is unknown."""
    usd = step.get("usd")
    if usd is None:
        return None
    weights = (0.0, 0.0)
    if rates is not None:
        fresh, read = int(step.get("input_tokens") or 0), int(step.get("cache_read_tokens") or 0)
        written, made = int(step.get("cache_write_tokens") or 0), int(step.get("output_tokens") or 0)
        taken = fresh * rates.input + read * rates.cache_read + written * rates.cache_write
        weights = (taken, made * rates.output)
    total = float(usd)
    if not sum(weights):
        # A model priced by the hour of its card: dollars of the reply are all that is known.
        return {"input_cost": 0.0, "output_cost": total, "total_cost": total}
    into = total * weights[0] / sum(weights)
    return {"input_cost": into, "output_cost": total - into, "total_cost": total}


def _sum(spans: Sequence[TraceSpan], name: str, *, complete: bool = False) -> dict[str, Any]:
    """A sum over the replies; empty where there are none, or where one lacks it and it must be ``complete``."""
    replies = [span for span in spans if span.type == "CHAT_MODEL"]
    values = [span.attributes[name] for span in replies if name in span.attributes]
    if not values or (complete and len(values) < len(replies)):
        return {}
    return {key: sum(value.get(key, 0) for value in values) for key in dict.fromkeys(k for v in values for k in v)}


def _short(text: str | None) -> str | None:
    if text is None or len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n[{len(text) - LONGEST_TEXT:,} more characters: see steps.parquet]"


def _fenced(text: str | None, language: str = "python") -> str | None:
    """As a block of code: the page shows texts as Markdown, which would run the lines of a program together."""
    if text is None:
        return None
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{_short(text)}\n{fence}"


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _tag(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
