"""A server that answers with exactly the bytes that a test wants, to see what the client makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Writer = asyncio.StreamWriter
Behaviour = Callable[["Seen", Writer], Any]


@dataclass
class Seen:
    """One request as it came over the wire."""

    line: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Wire:
    """A running server and what it saw."""

    port: int
    behave: Behaviour
    seen: list[Seen] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def wire(behave: Behaviour) -> AsyncIterator[Wire]:
    """Serve ``behave(seen, writer)`` for each request; it may be a coroutine function."""

    async def connection(reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *rest = head.strip().split("\r\n")
                headers = {k.lower(): v for k, v in (h.split(": ", 1) for h in rest)}
                size = int(headers.get("content-length", "0"))
                body = json.loads(await reader.readexactly(size)) if size else {}
                seen = Seen(line, headers, body)
                state.seen.append(seen)
                result = behave(seen, writer)
                if asyncio.iscoroutine(result):
                    await result
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.create_task(connection(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    state = Wire(server.sockets[0].getsockname()[1], behave)
    try:
        yield state
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()


def answer(writer: Writer, status: int, body: Any, **headers: str) -> None:
    """A whole answer with a JSON body."""
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + data)


def error(writer: Writer, status: int, kind: str, message: str, **headers: str) -> None:
    """An error as the API words it."""
    answer(writer, status, {"type": "error", "error": {"type": kind, "message": message}}, **headers)


def events(text: str = "hello", stop_reason: str = "end_turn") -> list[dict[str, Any]]:
    """A stream with a thinking block before the text, as event bodies."""
    start = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "model-that-answered",
        "content": [],
        "stop_reason": None,
        "usage": {
            "input_tokens": 11,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 3,
            "output_tokens": 1,
        },
    }
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    return [
        {"type": "message_start", "message": start},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": thinking},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hmm"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": part}}
            for part in (text[: len(text) // 2], text[len(text) // 2 :])
        ),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


def stream(writer: Writer, bodies: list[dict[str, Any]], *, end: bool = True, **headers: str) -> None:
    """Send event bodies as a chunked stream; without ``end`` it stays open."""
    lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    for body in bodies:
        data = f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    if end:
        writer.write(b"0\r\n\r\n")
