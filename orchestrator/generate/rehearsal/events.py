"""A message as the server-sent events of a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.generate.rehearsal.errors import ApiError

__all__ = ["error_event", "stream_events"]


def stream_events(message: Mapping[str, Any], chunk_characters: int) -> list[bytes]:
    """The events of a streamed message, in order; what belongs together in one piece.

    Args:
        message: a whole Message object.
        chunk_characters: text in one delta.
    """
    usage = dict(message["usage"])
    opening = {**message, "content": [], "stop_reason": None, "stop_details": None}
    opening["usage"] = {**usage, "output_tokens": 1, "output_tokens_details": None}
    pieces = [_event("message_start", message=opening) + _event("ping")]
    for index, block in enumerate(message["content"]):
        field = "thinking" if block["type"] == "thinking" else "text"
        empty = {**block, field: ""}
        if field == "thinking":
            empty["signature"] = ""
        start = _event("content_block_start", index=index, content_block=empty)
        text = block[field]
        for place in range(0, len(text), chunk_characters):
            delta = {"type": f"{field}_delta", field: text[place : place + chunk_characters]}
            pieces.append(start + _event("content_block_delta", index=index, delta=delta))
            start = b""
        end = start
        if field == "thinking":
            signature = {"type": "signature_delta", "signature": block["signature"]}
            end += _event("content_block_delta", index=index, delta=signature)
        pieces.append(end + _event("content_block_stop", index=index))
    ending = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details", "container")}
    totals = {
        name: usage[name]
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "output_tokens_details",
            "server_tool_use",
        )
    }
    pieces[-1] += _event("message_delta", delta=ending, usage=totals) + _event("message_stop")
    return pieces


def error_event(error: ApiError, request_id: str) -> bytes:
    """The event with which a stream ends that has begun well."""
    return f"event: error\ndata: {error.encoded(request_id).decode()}\n\n".encode()


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
