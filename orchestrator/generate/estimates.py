"""What a request will probably use, learned from what its like used. For pacing and plans, never for budgets."""

from __future__ import annotations

from typing import Final

from orchestrator.core.generation import GenerationRequest, Usage
from orchestrator.generate.limiter import Expected

__all__ = ["Estimator"]

_FIRST_TOKENS_PER_BYTE: Final = 0.3
"""English and code are near 4 bytes a token; a little more is planned until the model's own replies tell."""
_FIRST_OUTPUT_SHARE: Final = 0.5
_WEIGHT: Final = 0.05
"""Of a new reply in the running means: about the last twenty count."""


class Estimator:
    """Running means for one model."""

    def __init__(self) -> None:
        self._tokens_per_byte = _FIRST_TOKENS_PER_BYTE
        self._output: float | None = None

    def expected(self, request: GenerationRequest) -> Expected:
        """Tokens that ``request`` will probably be charged."""
        output = _FIRST_OUTPUT_SHARE * request.max_tokens if self._output is None else self._output
        return Expected(self._tokens_per_byte * _bytes(request), min(output, float(request.max_tokens)))

    def learn(self, request: GenerationRequest, usage: Usage) -> None:
        """A reply to ``request`` used ``usage``."""
        limited = usage.input_tokens + usage.cache_write_tokens
        size = _bytes(request)
        if size > 0:
            self._tokens_per_byte += _WEIGHT * (limited / size - self._tokens_per_byte)
        previous = float(usage.output_tokens) if self._output is None else self._output
        self._output = previous + _WEIGHT * (usage.output_tokens - previous)


def _bytes(request: GenerationRequest) -> int:
    texts = [message.text for message in request.messages]
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in (request.system, *texts))
