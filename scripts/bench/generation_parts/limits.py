"""How much of an account's limits is used, and how often they are hit."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace

from orchestrator.core.generation import Usage
from orchestrator.generate.rehearsal import RehearsalServer, RehearsalSettings, ServerCounts, ServerLimits
from scripts.bench.generation_parts.common import MODEL, buyer, questions

__all__ = ["LIMITS", "LimitShare", "ours", "plain_sdk"]

LIMITS = ServerLimits(4000, 2_000_000, 400_000)
_IN_FLIGHT = 1000
_SYSTEM = "You complete Python functions. " * 40
"""About 310 tokens, so that input is no negligible part of the limits."""


@dataclass(frozen=True)
class LimitShare:
    """What one way of sending made of the limits."""

    name: str
    window_s: float
    shares: dict[str, float]
    """Used share of each limit over the window."""
    rejected: float
    """Share of all requests since the start that were answered 429."""
    failed: int
    """Requests that the client gave up on."""
    in_flight: int
    """At the server, when the window ended."""
    load: float
    """Of the machine then, as processes that want a core over the last minute."""

    @property
    def binding(self) -> float:
        """Used share of the limit that was used most."""
        return max(self.shares.values())


def settings(problems: str) -> RehearsalSettings:
    """The server: 1 to 8 s replies under the limits."""
    return RehearsalSettings(problems=problems, latency_low_s=1.0, latency_high_s=8.0, limits=LIMITS)


def ours(problems: str, ramp_s: float, window_s: float) -> LimitShare:
    """The service with as many actors as its window needs."""

    async def main(server: RehearsalServer) -> LimitShare:
        async with buyer(server.base_url, actors=5, in_flight=_IN_FLIGHT, system=_SYSTEM) as bought:
            work = asyncio.create_task(bought.ask_for(ramp_s + window_s + 1.0, _IN_FLIGHT))
            share = await _window("orchestrator", server, ramp_s, window_s)
            await work
            return share

    with RehearsalServer(settings(problems)) as server:
        return asyncio.run(main(server))


def plain_sdk(problems: str, concurrency: int, ramp_s: float, window_s: float) -> LimitShare:
    """The anthropic SDK with its own two retries at fixed concurrency, in this process."""
    import anthropic
    import httpx2

    asked = questions(_SYSTEM)
    failed = 0

    async def main(server: RehearsalServer) -> LimitShare:
        nonlocal failed
        limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        http = anthropic.DefaultAsyncHttpxClient(limits=limits)
        async with anthropic.AsyncAnthropic(api_key="x", base_url=server.base_url, http_client=http) as client:
            end = time.monotonic() + ramp_s + window_s + 1.0
            numbers = iter(range(10**9))

            async def worker() -> None:
                nonlocal failed
                while time.monotonic() < end:
                    number = next(numbers)
                    problem_id, request = asked[number % len(asked)]
                    name = f"{problem_id};{number // len(asked)};0;0"
                    try:
                        async with client.messages.stream(
                            model=MODEL,
                            max_tokens=request.max_tokens,
                            system=request.system,
                            messages=[{"role": "user", "content": request.messages[0].text}],
                            extra_headers={"x-rehearsal-id": name},
                        ) as stream:
                            await stream.get_final_message()
                    except anthropic.APIError:
                        failed += 1

            work = asyncio.gather(*(worker() for _ in range(concurrency)))
            share = await _window(f"plain SDK, {concurrency} at once", server, ramp_s, window_s)
            await work
            return share

    with RehearsalServer(settings(problems)) as server:
        share = asyncio.run(main(server))
    return replace(share, failed=failed)


async def _window(name: str, server: RehearsalServer, ramp_s: float, window_s: float) -> LimitShare:
    await asyncio.sleep(ramp_s)
    before, begun = await asyncio.to_thread(server.counts), time.monotonic()
    await asyncio.sleep(window_s)
    after, took_s = await asyncio.to_thread(server.counts), time.monotonic() - begun
    minutes = took_s / 60
    used = _used(before, after)
    shares = {
        "requests": used[0] / (4000 * minutes),
        "input": used[1] / (2_000_000 * minutes),
        "output": used[2] / (400_000 * minutes),
    }
    return LimitShare(
        name,
        round(took_s),
        shares,
        after.rejected_by_limits / after.requests,
        0,
        after.in_flight,
        os.getloadavg()[0],
    )


def _used(before: ServerCounts, after: ServerCounts) -> tuple[int, int, int]:
    admitted = (after.requests - after.rejected_total) - (before.requests - before.rejected_total)
    return admitted, _limited(after.charged) - _limited(before.charged), _out(after.charged) - _out(before.charged)


def _limited(usage: Usage) -> int:
    return usage.input_tokens + usage.cache_write_tokens


def _out(usage: Usage) -> int:
    return usage.output_tokens
