"""NeMo Gym's EvalPlus server grading programs over Ray, in the Python that it is installed for; for scale_peer.py.

A program of its own: nothing of this project is installed beside NeMo Gym. Reads answers as JSON Lines, has the
server's own ``verify`` judge each, ``--slots`` at once, and prints programs, seconds and verdicts as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any


def main() -> None:
    """Judge everything once to warm up, then once with a clock."""
    parser = argparse.ArgumentParser()
    parser.add_argument("answers", type=Path)
    parser.add_argument("--slots", type=int, required=True)
    given = parser.parse_args()
    import resources_servers

    # The server is a folder with modules of its own, as its launcher puts it on the path.
    sys.path.insert(0, str(Path(next(iter(resources_servers.__path__))) / "evalplus"))
    import ray

    ray.init(address="local", num_cpus=given.slots, include_dashboard=False, log_to_driver=False)
    try:
        print(json.dumps(asyncio.run(_judge(given.answers.read_text(), given.slots))))
    finally:
        ray.shutdown()


async def _judge(answers: str, slots: int) -> dict[str, Any]:
    from app import EvalPlusResourcesServer, EvalPlusResourcesServerConfig, EvalPlusVerifyRequest
    from nemo_gym.server_utils import ServerClient

    config = EvalPlusResourcesServerConfig(
        host="127.0.0.1",
        port=1,
        name="evalplus",
        entrypoint="app.py",
        domain="coding",
        dataset="humaneval",
        num_processes=slots,
        # Its limits are on the wall clock: generous, so that a busy machine fails nobody.
        min_time_limit=60.0,
    )
    server = EvalPlusResourcesServer.model_construct(config=config, server_client=ServerClient.model_construct())
    server.model_post_init(None)
    requests = []
    for line in answers.splitlines():
        answer = json.loads(line)
        text = f"```python\n{answer['solution']}\n```"
        message = {
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "type": "message",
            "content": [{"annotations": [], "text": text, "type": "output_text"}],
        }
        response = {
            "id": "r",
            "created_at": 0.0,
            "model": "m",
            "object": "response",
            "output": [message],
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
        }
        asked = {"input": [{"role": "user", "content": "x"}]}
        body = {
            "responses_create_params": asked,
            "response": response,
            "verifier_metadata": {"task_id": answer["task_id"]},
        }
        requests.append(EvalPlusVerifyRequest.model_validate(body))
    await asyncio.gather(*(server.verify(each) for each in requests[: 8 * slots]))
    began = time.perf_counter()
    found = await asyncio.gather(*(server.verify(each) for each in requests))
    seconds = time.perf_counter() - began
    verdicts = Counter("passed" if each.is_correct_plus else str(each.plus_status) for each in found)
    return {"programs": len(found), "seconds": seconds, "verdicts": dict(verdicts)}


if __name__ == "__main__":
    main()
