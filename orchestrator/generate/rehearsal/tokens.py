"""Token counts without a tokenizer: an estimate that depends on text length alone.

English and code come to about 4 characters a token with current tokenizers; a rehearsal needs the order of
magnitude and, above all, the same figure every time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CHARACTERS_PER_TOKEN", "InputCount", "block_texts", "count_input", "estimate_tokens"]

CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
"""Role and separators of one message."""


@dataclass(frozen=True, slots=True)
class InputCount:
    """Tokens of a request's input."""

    total: int
    """All of it: system prompt and messages."""
    marked: int
    """Of the prefix that ends with the last block that carries ``cache_control``; 0 without one."""


def estimate_tokens(text: str) -> int:
    """Estimated tokens of ``text``: a token for each four characters begun."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def block_texts(content: Any) -> list[tuple[str, bool]]:
    """The texts of a ``content`` or ``system`` field, each with whether it carries ``cache_control``.

    Accepts a string or a list of blocks; blocks that hold no text count as their type's name.
    """
    if isinstance(content, str):
        return [(content, False)]
    if not isinstance(content, list):
        return []
    texts: list[tuple[str, bool]] = []
    for block in content:
        if isinstance(block, Mapping):
            text = block.get("text", block.get("thinking", block.get("type", "")))
            texts.append((text if isinstance(text, str) else "", bool(block.get("cache_control"))))
    return texts


def count_input(body: Mapping[str, Any]) -> InputCount:
    """Count the input of a request body (or of a ``count_tokens`` body)."""
    total = 0
    marked = 0
    parts: list[tuple[int, Any]] = [(0, body.get("system"))]
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, Mapping):
            parts.append((_TOKENS_PER_MESSAGE, message.get("content")))
    for overhead, content in parts:
        total += overhead
        for text, is_marked in block_texts(content):
            total += estimate_tokens(text)
            if is_marked:
                marked = total
    # A mark on the request itself asks for caching up to the last block.
    return InputCount(total, total if body.get("cache_control") else marked)
