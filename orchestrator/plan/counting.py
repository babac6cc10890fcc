"""Tokens of a plan's first requests: the provider's own count where it can be asked, an estimate elsewhere."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.config.errors import ConfigError
from orchestrator.core.generation import GenerationRequest, Message
from orchestrator.plan.asked import asks_a_model, first_requests
from orchestrator.plan.model import Plan

__all__ = ["TokenCounts", "count_tokens", "text_bytes"]

_TOKENS_PER_BYTE: Final = 0.3
"""English and code are near 4 bytes a token; a little more is planned."""
_MOST_COUNTED: Final = 200
"""Requests of one model that are counted: enough for any suite here, and a fair sample of a larger one."""
_PROBE: Final = (Message("user", "x"),)


@dataclass(frozen=True)
class TokenCounts:
    """Input tokens by request; whatever was not counted is estimated from the length of its text."""

    counted: Mapping[GenerationRequest, int] = field(default_factory=dict)
    prefixes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Tokens of a system prompt, by model and text."""
    asked: int = 0
    """Different requests for which there was somebody to ask."""
    failure: str = ""
    """Why some of them were not counted; one clause."""

    def __post_init__(self) -> None:
        sums: dict[str, tuple[int, int]] = {}
        for request, tokens in self.counted.items():
            before = sums.get(request.model, (0, 0))
            sums[request.model] = (before[0] + tokens, before[1] + text_bytes(request))
        self._per_byte.update({name: tokens / size for name, (tokens, size) in sums.items() if size})

    _per_byte: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def input_tokens(self, request: GenerationRequest) -> int:
        """Input tokens of a request, all classes together."""
        counted = self.counted.get(request)
        if counted is not None:
            return counted
        return math.ceil(text_bytes(request) * self._per_byte.get(request.model, _TOKENS_PER_BYTE))

    def prefix_tokens(self, request: GenerationRequest) -> int | None:
        """The provider's count of the request's system prompt; None where it was not asked."""
        return self.prefixes.get((request.model, request.system))

    @property
    def how(self) -> str:
        """Where the numbers come from, for people."""
        if self.asked and len(self.counted) == self.asked:
            return "counted by the API"
        if self.counted:
            return f"{len(self.counted):,} of {self.asked:,} requests counted by the API, the rest in proportion"
        return "estimated from the texts"


def text_bytes(request: GenerationRequest) -> int:
    """Bytes of all texts of a request."""
    return len("".join((request.system, *(message.text for message in request.messages))).encode())


def count_tokens(plan: Plan) -> TokenCounts:
    """Ask the API for its count of the plan's first requests, which is free of charge.

    Nobody is asked where no key is known, in a rehearsal, and for local servers. An API that cannot be reached, is
    busy or does not count leaves an estimate, and the counts say so.

    Raises:
        ConfigError: the API refuses the key, the model or its options: the run would be refused alike.
    """
    from orchestrator.generate.attempts import Endpoint, FailureKind
    from orchestrator.generate.forecasts import count_requests

    wanted: dict[tuple[str | None, str | None], dict[str, dict[GenerationRequest, None]]] = {}
    for cell in plan.cells:
        model = cell.model
        if model is None or model.kind != "anthropic" or not asks_a_model(cell, plan):
            continue
        models = wanted.setdefault((model.base_url, model.key_file), {})
        requests = models.setdefault(str(model.id), {})
        requests.update(dict.fromkeys(request for _, _, request in first_requests(cell, plan)))
    counted: dict[GenerationRequest, int] = {}
    prefixes: dict[tuple[str, str], int] = {}
    failures: dict[str, None] = {}
    asked = 0
    for (base_url, key_file), models in wanted.items():
        endpoint = Endpoint("anthropic", base_url, key_file=key_file)
        for name, requests in models.items():
            asked += len(requests)
            systems = dict.fromkeys(request.system for request in requests if request.cache_prefix)
            bare = replace(next(iter(requests)), system="", messages=_PROBE, cache_prefix=False)
            probes = [bare, *(replace(bare, system=system) for system in systems)] if systems else []
            found = asyncio.run(count_requests(endpoint, [*_sample(list(requests)), *probes]))
            counted.update({request: n for request, n in found.tokens.items() if request in requests})
            if bare in found.tokens:
                for system, probe in zip(systems, probes[1:], strict=True):
                    if probe in found.tokens:
                        prefixes[name, system] = found.tokens[probe] - found.tokens[bare]
            failure = found.failure
            if failure is None:
                continue
            refused = failure.kind in (FailureKind.FATAL, FailureKind.INVALID)
            # On a cluster the key may lie on other nodes only, and an API elsewhere need not be able to count.
            elsewhere = failure.status is None and plan.config.cluster.address is not None
            cannot = failure.status == 404 and base_url is not None
            if refused and not elsewhere and not cannot:
                raise ConfigError(f"nothing was spent, and the run would be refused: {failure.line()}")
            failures[failure.line()] = None
    return TokenCounts(counted, prefixes, asked, "; ".join(failures))


def _sample(requests: list[GenerationRequest]) -> list[GenerationRequest]:
    """At most so many of them, evenly spread."""
    count = min(len(requests), _MOST_COUNTED)
    return [requests[index * len(requests) // count] for index in range(count)]
