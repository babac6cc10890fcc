"""A stand-in for the API itself: unlike the rehearsal server the driver takes it for a real provider."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tasks.registry import load_suite


class Provider:
    """Answers plain (not streamed) requests with reference programs, or refuses everybody."""

    def __init__(self, *, refuse: bool = False) -> None:
        problems = load_suite("humaneval").problems
        references = {problem.public.prompt.strip(): problem.reference for problem in problems}
        provider = self
        self.asked = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                model = self.path.rsplit("/", 1)[-1]
                self.answer(
                    {"type": "model", "id": model, "display_name": model, "created_at": "2026-01-01T00:00:00Z"}
                )

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                provider.asked += 1
                said = body["messages"][0]["content"]
                said = said if isinstance(said, str) else said[0]["text"]
                program = next(program for prompt, program in references.items() if prompt in said)
                usage = {"input_tokens": len(said) // 4, "output_tokens": len(program) // 4}
                self.answer(
                    {
                        "id": "msg_1",
                        "type": "message",
                        "role": "assistant",
                        "model": body["model"],
                        "content": [{"type": "text", "text": f"```python\n{program}\n```"}],
                        "stop_reason": "end_turn",
                        "stop_sequence": None,
                        "usage": usage,
                    }
                )

            def answer(self, body: dict[str, Any]) -> None:
                if refuse:
                    error = {"type": "authentication_error", "message": "invalid x-api-key"}
                    self.send({"type": "error", "error": error, "request_id": "req_1"}, 401)
                else:
                    self.send(body, 200)

            def send(self, body: dict[str, Any], status: int) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.send_header("request-id", "req_1")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
