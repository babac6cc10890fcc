"""What can be said of a plan's requests before any of them is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from orchestrator.core.generation import GenerationRequest
from orchestrator.generate.actor import LocalSender
from orchestrator.generate.attempts import Endpoint
from orchestrator.generate.estimates import Estimator

__all__ = ["count_all", "prefix_warning", "seconds_at_limits"]

_AT_ONCE: Final = 8

# Anthropic's documentation of prompt caching, as of mid 2026: the shortest prefix that is cached, in tokens. The
# longest name that a model id begins with decides.
_SHORTEST_CACHED: Final[Mapping[str, int]] = {
    "claude-opus-4-5": 4096,
    "claude-opus-4-6": 4096,
    "claude-opus-4-7": 4096,
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


def prefix_warning(request: GenerationRequest, prefix_tokens: int | None = None) -> str | None:
    """One sentence if ``request`` asks for its system prompt to be cached and that is too short to be.

    Args:
        request: the request.
        prefix_tokens: the provider's own count of the system prompt; estimated from the text without it.
    """
    if not request.cache_prefix:
        return None
    names = [name for name in _SHORTEST_CACHED if request.model.startswith(name)]
    if not names:
        return None
    shortest = _SHORTEST_CACHED[max(names, key=len)]
    alone = GenerationRequest(request.provider, request.model, request.system, (), request.max_tokens)
    tokens = prefix_tokens if prefix_tokens is not None else round(Estimator().expected(alone).input_tokens)
    if tokens >= shortest:
        return None
    about = "has" if prefix_tokens is not None else "has about"
    return (
        f"prompt.cache is on, but the system prompt {about} {tokens:,} tokens and {request.model} caches nothing "
        f"shorter than {shortest:,}: every request pays for its whole prompt"
    )


async def count_all(endpoint: Endpoint, requests: Sequence[GenerationRequest]) -> int | None:
    """The provider's own count of all requests' input tokens, which costs nothing; None where it gives none.

    Equal requests are counted once and multiplied. Sent from this process, with the key found here.
    """
    sender = LocalSender(endpoint)
    counts: dict[GenerationRequest, int] = {}
    for request in requests:
        counts[request] = counts.get(request, 0) + 1
    gate = asyncio.Semaphore(_AT_ONCE)
    known = True

    async def count(request: GenerationRequest) -> int:
        nonlocal known
        async with gate:
            # One that cannot be counted makes the sum unknown, so the rest need not be asked.
            tokens = await sender.count_tokens(request) if known else None
        known = known and tokens is not None
        return tokens or 0

    try:
        tokens = await asyncio.gather(*(count(request) for request in counts))
    finally:
        await sender.close()
    return sum(each * times for each, times in zip(tokens, counts.values(), strict=True)) if known else None
