"""What can be said of a plan's requests before any of them is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.core.generation import GenerationRequest
from orchestrator.generate.actor import LocalSender
from orchestrator.generate.attempts import Endpoint, Failure, FailureKind
from orchestrator.generate.estimates import Estimator

__all__ = ["Counted", "count_requests", "prefix_tokens", "prefix_warning", "seconds_at_limits"]

_AT_ONCE: Final = 8
_COUNTING_S: Final = 30.0
"""Whoever asks for a plan is waiting for it."""

# Anthropic's documentation of prompt caching, as of October 2026: the shortest prefix that is cached, in tokens.
# The longest name that a model id begins with decides.
_SHORTEST_CACHED: Final[Mapping[str, int]] = {
    "claude-opus-4-5": 4096,
    "claude-opus-4-6": 4096,
    "claude-opus-4-7": 2048,
    "claude-opus-5": 512,
    "claude-sonnet-5-5": 512,
    "claude-haiku-5-5": 512,
    "claude-fable-5": 512,
    "claude-mythos-5": 512,
    "claude-mythos-preview": 2048,
    "claude-haiku-4-5": 4096,
    "claude-3-5-haiku": 2048,
    "claude-3-haiku": 2048,
    "claude-": 1024,
}


def seconds_at_limits(
    requests: float, input_tokens: float, output_tokens: float, limits: Mapping[str, float]
) -> float | None:
    """Seconds that the account's limits alone demand; None where none is known.

    Args:
        requests: how many.
        input_tokens: of all of them together, cache reads left out.
        output_tokens: of all of them together.
        limits: per minute, by header family (``requests``, ``input-tokens``, ``output-tokens``), as
            :meth:`GenerationService.limits` learned them or as a rehearsal's configuration sets them.

    A full bucket at the start (one minute's worth) is given away, so a plan that fits in it takes no time.
    """
    wanted = {"requests": requests, "input-tokens": input_tokens, "output-tokens": output_tokens}
    times = [max(0.0, wanted[name] / limit - 1.0) * 60.0 for name, limit in limits.items() if name in wanted]
    return max(times, default=None)


def prefix_tokens(request: GenerationRequest) -> int:
    """Tokens of the request's system prompt, estimated from its text."""
    alone = GenerationRequest(request.provider, request.model, request.system, (), request.max_tokens)
    return round(Estimator().expected(alone).input_tokens)


def prefix_warning(request: GenerationRequest, counted: int | None = None) -> str | None:
    """One sentence if ``request`` asks for its system prompt to be cached and that is too short to be.

    Args:
        request: the request.
        counted: the provider's own count of the system prompt; estimated from the text without it.
    """
    if not request.cache_prefix:
        return None
    names = [name for name in _SHORTEST_CACHED if request.model.startswith(name)]
    if not names:
        return None
    shortest = _SHORTEST_CACHED[max(names, key=len)]
    tokens = prefix_tokens(request) if counted is None else counted
    if tokens >= shortest:
        return None
    about = "has about" if counted is None else "has"
    return (
        f"prompt.cache is on, but the system prompt {about} {tokens:,} tokens and {request.model} caches nothing "
        f"shorter than {shortest:,}: every request pays for its whole prompt"
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """What the provider counted."""

    tokens: Mapping[GenerationRequest, int]
    """Input tokens of each request that was counted."""
    failure: Failure | None
    """Why not all of them were; None if all were."""


async def count_requests(
    endpoint: Endpoint, requests: Iterable[GenerationRequest], limit_s: float = _COUNTING_S
) -> Counted:
    """Ask the provider for its own count of the input tokens of requests, which costs nothing.

    Equal requests are counted once. Sent from this process, with the key found here. The first one goes alone, so
    that a provider that refuses or cannot be reached is asked once; the first failure ends the counting.

    Args:
        endpoint: whom to ask.
        requests: what to count.
        limit_s: seconds after which what has been counted must do.
    """
    sender = LocalSender(endpoint)
    wanted = list(dict.fromkeys(requests))
    tokens: dict[GenerationRequest, int] = {}
    failure: Failure | None = None

    async def count(rest: Iterator[GenerationRequest]) -> None:
        nonlocal failure
        for request in rest:
            if failure is not None:
                return
            result = await sender.count_tokens(request)
            if result.value is None:
                failure = failure or result.failure
            else:
                tokens[request] = result.value

    try:
        async with asyncio.timeout(limit_s):
            await count(iter(wanted[:1]))
            rest = iter(wanted[1:])
            await asyncio.gather(*(count(rest) for _ in range(_AT_ONCE)))
    except TimeoutError:
        failure = failure or Failure(FailureKind.TIMEOUT, f"not everything was counted within {limit_s:g} s")
    finally:
        await sender.close()
    return Counted(tokens, failure)
