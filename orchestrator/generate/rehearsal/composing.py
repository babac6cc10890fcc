"""From a request's body to the message that answers it; the same for single requests and batch entries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.generation import Usage
from orchestrator.generate.rehearsal.answers import Answer, Asked, NoContinuation, answer
from orchestrator.generate.rehearsal.draws import RequestId
from orchestrator.generate.rehearsal.errors import ApiError
from orchestrator.generate.rehearsal.problems import ProblemBook
from orchestrator.generate.rehearsal.settings import RehearsalSettings
from orchestrator.generate.rehearsal.tokens import InputCount, block_texts, count_input

__all__ = ["Composed", "Composer"]

_GONE = ("temperature", "top_p", "top_k")
"""Sampling parameters that current models refuse."""
_ASKED_FIELDS = ("system", "messages", "max_tokens", "thinking", "output_config")


@dataclass(frozen=True, slots=True)
class Composed:
    """A message, ready to be sent."""

    answer: Answer
    usage: Usage
    message: dict[str, Any]
    """The Message object, whole."""
    step: str
    """Names what was asked, whatever the attempt and however it is sent."""

    @property
    def limited_input_tokens(self) -> int:
        """What counts against the input limit: cache reads do not."""
        return self.usage.input_tokens + self.usage.cache_write_tokens


class Composer:
    """Answers bodies."""

    def __init__(self, settings: RehearsalSettings, problems: ProblemBook) -> None:
        self._settings = settings
        self._problems = problems

    def check(self, body: Any) -> Mapping[str, Any]:
        """Refuse a body that the API would refuse.

        Raises:
            ApiError: 400 for a bad body, 404 for an unknown model.
        """
        if not isinstance(body, dict):
            raise _bad("The request body is not a JSON object.")
        for name in ("model", "max_tokens", "messages"):
            if name not in body:
                raise _bad(f"{name}: Field required")
        if not isinstance(body["model"], str):
            raise _bad("model: Input should be a valid string")
        if (
            not isinstance(body["max_tokens"], int)
            or isinstance(body["max_tokens"], bool)
            or body["max_tokens"] < 1
        ):
            raise _bad("max_tokens: Input should be greater than or equal to 1")
        self.check_messages(body["messages"])
        for name in _GONE:
            if name in body:
                raise _bad(f"{name}: This parameter is not supported by this model.")
        self.check_model(body["model"])
        return body

    def check_messages(self, messages: Any) -> None:
        """Refuse messages that the API would refuse.

        Raises:
            ApiError: 400.
        """
        if not isinstance(messages, list) or not messages:
            raise _bad("messages: at least one message is required")
        for index, message in enumerate(messages):
            if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
                raise _bad(f"messages.{index}.role: Input should be 'user' or 'assistant'")
            texts = block_texts(message.get("content"))
            if not any(text for text, _ in texts):
                raise _bad(f"messages.{index}: all messages must have non-empty content")
        if messages[0]["role"] != "user":
            raise _bad('messages: first message must use the "user" role')

    def check_model(self, model: str) -> None:
        """Refuse an unknown model.

        Raises:
            ApiError: 404.
        """
        known = self._settings.known_models
        if known is not None and model not in known:
            raise ApiError(404, f"model: {model}", "unknown_model")

    def compose(self, body: Mapping[str, Any], who: RequestId, *, batch: bool = False) -> Composed:
        """Answer a body that :meth:`check` let through.

        Args:
            body: the request.
            who: its id.
            batch: it came in a batch.

        Raises:
            ApiError: 400 if no problem has this id, the input is longer than the context, or the conversation
                ends with an assistant's words that are not ours.
        """
        messages = body["messages"]
        opening = "\n".join(
            text for text, _ in block_texts(body.get("system")) + block_texts(messages[0]["content"])
        )
        problem = self._problems.find(who.problem, opening)
        if problem is None:
            raise _bad(f"x-rehearsal-id: this server knows no problem {who.problem!r}")
        thinking = body.get("thinking")
        thinking = thinking if isinstance(thinking, dict) else {}
        output = body.get("output_config")
        model = body["model"]
        count = count_input(body)
        room = self._settings.context_tokens - count.total
        if room <= 0:
            raise _bad(f"prompt is too long: {count.total} tokens > {self._settings.context_tokens} maximum")
        last = messages[-1]
        asked = Asked(
            max_tokens=body["max_tokens"],
            feedback=sum(message["role"] == "user" for message in messages) > 1,
            thinking=thinking.get("type"),
            thinking_budget=thinking.get("budget_tokens"),
            effort=output.get("effort") if isinstance(output, dict) else None,
            so_far="".join(text for text, _ in block_texts(last["content"]))
            if last["role"] == "assistant"
            else None,
            room=room,
        )
        try:
            reply = answer(self._settings, model, problem, who, asked)
        except NoContinuation as error:
            raise _bad(f"This model does not support assistant message prefill. {error}") from error
        usage = self._usage(count, who, reply)
        digest = hashlib.blake2b(
            json.dumps([body.get(name) for name in _ASKED_FIELDS], sort_keys=True).encode(), digest_size=8
        ).hexdigest()
        step = f"{who.step}|{model}|{digest}"
        omitted = thinking.get("display") == "omitted"
        message = _message(step, reply, usage, model=model, thinking_omitted=omitted, batch=batch)
        return Composed(reply, usage, message, step)

    def _usage(self, count: InputCount, who: RequestId, reply: Answer) -> Usage:
        """Tokens by class.

        A marked prefix is written by the first sample of the first problem's first turn and read by every other
        request, whichever arrives first: the tokens of a run must not depend on its timing.
        """
        cached = count.marked if count.marked >= self._settings.cache_minimum_tokens else 0
        writes = who.problem == self._problems.first_id and who.sample == 0 and who.turn == 0
        return Usage(
            input_tokens=count.total - cached,
            output_tokens=reply.output_tokens,
            cache_read_tokens=0 if writes else cached,
            cache_write_tokens=cached if writes else 0,
        )


def _bad(message: str) -> ApiError:
    return ApiError(400, message, "bad_request")


def _message(
    step: str, reply: Answer, usage: Usage, *, model: str, thinking_omitted: bool, batch: bool
) -> dict[str, Any]:
    name = hashlib.blake2b(step.encode(), digest_size=12).hexdigest()
    content: list[dict[str, Any]] = []
    if reply.thinking:
        shown = "" if thinking_omitted else reply.thinking
        content.append({"type": "thinking", "thinking": shown, "signature": f"rehearsal{name}"})
    content.append({"type": "text", "text": reply.text, "citations": None})
    return {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reply.stop_reason,
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": None, "explanation": None}
        if reply.stop_reason == "refusal"
        else None,
        "container": None,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_input_tokens": usage.cache_read_tokens,
            "cache_creation_input_tokens": usage.cache_write_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.cache_write_tokens,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens_details": {"thinking_tokens": reply.thinking_tokens},
            "server_tool_use": None,
            "service_tier": "batch" if batch else "standard",
        },
    }
