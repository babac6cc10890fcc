"""Where a trial's replies come from: a model that is paid, or a file of answers."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.execution import Feedback
from orchestrator.core.extraction import Extraction, complete, extract, whole
from orchestrator.core.feedback import feedback_text
from orchestrator.core.generation import GenerationRequest, Message, Reply, Usage
from orchestrator.core.money import AccountRef
from orchestrator.core.problems import PublicProblem
from orchestrator.generate.samples import Samples
from orchestrator.generate.service import GenerationService

__all__ = ["ModelReplies", "Prompt", "ReplySource", "SampleReplies"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The texts that frame a problem. Templates use ``{name}``; a brace that is meant is doubled."""

    system: str
    first: str
    repair: str
    cache: bool
    hardware: str
    """What the card says of itself, or that there is none; empty for Python problems on CPUs."""

    def opening(self, problem: PublicProblem) -> Message:
        """The first user message."""
        values = {
            "prompt": problem.prompt.rstrip("\n"),
            "entry_point": problem.entry_point,
            "dialect": problem.dialect,
            "hardware": self.hardware,
        }
        return Message("user", fill(self.first, values))

    def repair_message(self, feedback: Feedback) -> Message:
        """The user message that carries feedback."""
        return Message("user", fill(self.repair, {"feedback": feedback_text(feedback)}))


def fill(template: str, values: dict[str, str]) -> str:
    """Fill ``{name}`` fields. Values are inserted as they are: a brace in a program stays a brace."""
    return string.Formatter().vformat(template, (), values)


class ReplySource(Protocol):
    """What answers one cell's requests."""

    async def reply(
        self, problem: PublicProblem, messages: tuple[Message, ...], *, sample: int, turn: int, account: AccountRef
    ) -> Reply:
        """The answer to a conversation."""

    def extract(self, problem: PublicProblem, reply: Reply) -> Extraction:
        """The program in an answer."""

    def key(self, messages: tuple[Message, ...], sample: int) -> str:
        """The journal key of the answer."""


class ModelReplies:
    """Replies that are bought."""

    def __init__(
        self,
        service: GenerationService,
        prompt: Prompt,
        *,
        provider: str,
        model: str,
        max_tokens: int,
        effort: str | None,
        thinking: str | None,
    ) -> None:
        self._service = service
        self._prompt = prompt
        self._provider = provider
        self._model = model
        self._max_tokens = max_tokens
        self._effort = effort
        self._thinking = thinking

    def request(self, messages: tuple[Message, ...]) -> GenerationRequest:
        """The canonical request for a conversation."""
        return GenerationRequest(
            provider=self._provider,
            model=self._model,
            system=self._prompt.system,
            messages=messages,
            max_tokens=self._max_tokens,
            effort=self._effort,
            thinking=self._thinking,
            cache_prefix=self._prompt.cache,
        )

    def key(self, messages: tuple[Message, ...], sample: int) -> str:
        """The journal key of the answer."""
        return self.request(messages).key(sample)

    async def reply(
        self, problem: PublicProblem, messages: tuple[Message, ...], *, sample: int, turn: int, account: AccountRef
    ) -> Reply:
        """Buy the answer, or take it from the journal. Later turns go first, so that trials finish."""
        return await self._service.generate(
            self.request(messages),
            sample=sample,
            turn=turn,
            problem_id=problem.id,
            account=account,
            priority=turn,
        )

    def extract(self, problem: PublicProblem, reply: Reply) -> Extraction:
        """The program in a chat reply."""
        return extract(reply.text, problem, reply.stop_reason)


class SampleReplies:
    """Answers that stand in a file: nothing is asked of anyone, and what they cost is not known."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def key(self, messages: tuple[Message, ...], sample: int) -> str:
        """Names the line of the file."""
        return f"s-{self._samples.digest}:{sample}"

    async def reply(
        self, problem: PublicProblem, messages: tuple[Message, ...], *, sample: int, turn: int, account: AccountRef
    ) -> Reply:
        """The file's answer, its kind as the stop reason."""
        answer = self._samples.answer(problem.id, sample)
        return Reply(
            text=answer.text,
            stop_reason=answer.kind,
            usage=Usage(),
            model="",
            request_id="",
            latency_s=0.0,
            synthetic=False,
        )

    def extract(self, problem: PublicProblem, reply: Reply) -> Extraction:
        """The program that the answer's kind makes of it."""
        if reply.stop_reason == "completion":
            return complete(reply.text, problem)
        if reply.stop_reason == "solution":
            return whole(reply.text, problem)
        return extract(reply.text, problem)
