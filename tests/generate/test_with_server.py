"""Buying over real HTTP from the rehearsal server in its own process, with faults."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.generation import GenerationRequest, Message, Reply, Usage
from orchestrator.core.prices import Price, Rates
from orchestrator.generate.actor import LocalSender
from orchestrator.generate.attempts import Attempt, Endpoint, FailureKind
from orchestrator.generate.batches import BatchSettings
from orchestrator.generate.pool import ActorPool, actors_for
from orchestrator.generate.rehearsal import FaultShares, RehearsalServer, RehearsalSettings
from orchestrator.generate.service import FatalApiError, GenerationService, Route, ServiceSettings
from tests.generate.books import ACCOUNT, Books

MODEL = "claude-sonnet-5-5"
PRICE = Price.flat(Rates(Decimal(2), Decimal(10), Decimal("0.1"), Decimal("2.5")), "test")
KEY = "sk-ant-a-secret-of-the-tests"


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rehearsal") / "problems.jsonl"
    lines = [
        {
            "id": f"p/{n}",
            "prompt": f"def add_{n}(a, b):\n",
            "entry_point": f"add_{n}",
            "dialect": "python",
            "reference": f"def add_{n}(a, b):\n    return a + b + {n}\n",
        }
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def settings(problems: str, **changes: Any) -> RehearsalSettings:
    quick = {"latency_low_s": 0.01, "latency_high_s": 0.05, "broken_share": 0.0, "seed": 5}
    return RehearsalSettings(problems=problems, **{**quick, **changes})


def endpoint(server: RehearsalServer, **changes: Any) -> Endpoint:
    given = {"needs_key": False, "synthetic": True, "stall_s": 1.0, **changes}
    return Endpoint("rehearsal:x", server.base_url, **given)


def question(n: int) -> GenerationRequest:
    return GenerationRequest("rehearsal:x", MODEL, "", (Message("user", f"def add_{n}(a, b):\n"),), 400)


async def ask(service: GenerationService, n: int, sample: int = 0) -> Reply:
    return await service.generate(question(n), sample=sample, turn=0, problem_id=f"p/{n}", account=ACCOUNT)


def service_over(sender: Any, books: Books, **changes: Any) -> GenerationService:
    route = Route("rehearsal:x", sender, {MODEL: PRICE}, synthetic=True)
    return GenerationService([route], books, books, ServiceSettings(**{"enlarge": 1.0, **changes}))


def in_usd(usage: Usage, *, batch: bool = False) -> Decimal:
    return PRICE.cost(usage, batch=batch)


@pytest.mark.parametrize("stream", [True, False])
def test_without_faults_what_we_settle_is_what_the_server_charged(problems: str, stream: bool) -> None:
    async def main() -> None:
        books = Books()
        with RehearsalServer(settings(problems)) as server:
            service = service_over(LocalSender(endpoint(server, stream=stream)), books)
            await service.check("rehearsal:x", MODEL, effort="xhigh", thinking="adaptive", max_tokens=400)
            replies = await asyncio.gather(*(ask(service, n) for n in range(40)))
            await service.close()
            counts = server.counts()
        assert all(f"add_{n}" in reply.text for n, reply in enumerate(replies))
        assert all(reply.synthetic and reply.model == MODEL for reply in replies)
        assert books.settled == in_usd(counts.charged)
        assert (counts.replies, counts.repeated, books.unsettled) == (40, 0, 0)

    asyncio.run(main())


def test_with_every_fault_all_steps_end_right_and_the_bill_is_bracketed(problems: str) -> None:
    """The server's own count lies between what is settled and settled plus unsettled."""
    faults = FaultShares(rate_limited=0.05, overloaded=0.05, server_error=0.05, dropped=0.05, stalled=0.05)

    async def main() -> None:
        books, calm = Books(), Books()
        with RehearsalServer(settings(problems, faults=faults, retry_after_s=0.1, stall_s=5.0)) as server:
            service = service_over(LocalSender(endpoint(server)), books)
            replies = await asyncio.gather(*(ask(service, n, s) for n in range(40) for s in range(3)))
            await service.close()
            counts = server.counts()
        with RehearsalServer(settings(problems)) as server:
            service = service_over(LocalSender(endpoint(server)), calm)
            undisturbed = await asyncio.gather(*(ask(service, n, s) for n in range(40) for s in range(3)))
            await service.close()
        assert [r.text for r in replies] == [r.text for r in undisturbed]
        assert [r.usage for r in replies] == [r.usage for r in undisturbed]
        assert books.settled == calm.settled
        assert counts.dropped + counts.stalled > 0
        assert books.settled < in_usd(counts.charged) <= books.settled + books.unsettled
        assert counts.repeated == 0, "no journaled reply was bought again"

    asyncio.run(main())


def test_faults_that_charge_nothing_leave_nothing_unsettled(problems: str) -> None:
    faults = FaultShares(rate_limited=0.1, overloaded=0.1, server_error=0.1)

    async def main() -> None:
        books = Books()
        with RehearsalServer(settings(problems, faults=faults, retry_after_s=0.05)) as server:
            service = service_over(LocalSender(endpoint(server)), books)
            await asyncio.gather(*(ask(service, n) for n in range(40)))
            await service.close()
            assert service.stats.failures.keys() >= {FailureKind.RATE_LIMITED, FailureKind.OVERLOADED}
            assert books.settled == in_usd(server.counts().charged)
        assert books.unsettled == 0

    asyncio.run(main())


@pytest.mark.parametrize("refuse", ["authentication", "permission", "spend_limit"])
def test_a_refusal_of_everything_stops_at_once(problems: str, refuse: Any) -> None:
    async def main() -> None:
        with RehearsalServer(settings(problems, refuse=refuse)) as server:
            service = service_over(LocalSender(endpoint(server)), Books())
            results = await asyncio.gather(*(ask(service, n) for n in range(40)), return_exceptions=True)
            await service.close()
            assert all(isinstance(result, FatalApiError) for result in results)
            assert "request id" in str(results[0])
            assert server.counts().requests <= 8

    asyncio.run(main())


def test_a_wrong_key_and_an_unknown_model_are_found_out_for_nothing(
    problems: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    async def check(server: RehearsalServer) -> None:
        service = service_over(LocalSender(endpoint(server, needs_key=True)), Books())
        try:
            await service.check("rehearsal:x", MODEL)
        finally:
            await service.close()

    with RehearsalServer(settings(problems, api_key="another")) as server:
        with pytest.raises(FatalApiError, match="401"):
            asyncio.run(check(server))
        assert server.counts().charged == Usage()
    with (
        RehearsalServer(settings(problems, api_key=KEY, known_models=("other",))) as server,
        pytest.raises(FatalApiError, match="404"),
    ):
        asyncio.run(check(server))


def test_tokens_are_counted_by_the_server(problems: str) -> None:
    async def main() -> None:
        with RehearsalServer(settings(problems)) as server:
            sender = LocalSender(endpoint(server))
            service = service_over(sender, Books())
            counted = await sender.count_tokens(question(1))
            reply = await ask(service, 1)
            await service.close()
        assert counted.value == reply.usage.input_tokens

    asyncio.run(main())


def test_batches_over_the_wire(problems: str) -> None:
    async def main() -> None:
        books = Books()
        changes = {"batch_expired_share": 0.2, "batch_errored_share": 0.1, "batch_delay_s": 0.5}
        batch = BatchSettings(linger_s=0.1, poll_s=0.2)
        with RehearsalServer(settings(problems, **changes)) as server:
            service = service_over(LocalSender(endpoint(server)), books, batch=batch)
            replies = await asyncio.gather(*(ask(service, n) for n in range(40)))
            await service.close()
            counts = server.counts()
        assert all(f"add_{n}" in reply.text and reply.batch for n, reply in enumerate(replies))
        assert counts.batch_entries["expired"] > 0
        assert books.settled == in_usd(counts.batch_charged, batch=True)
        assert (books.unsettled, counts.requests, counts.repeated) == (0, 0, 0)

    asyncio.run(main())


# -- with Ray ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    import ray

    previous = os.environ.get("ANTHROPIC_API_KEY")
    os.environ["ANTHROPIC_API_KEY"] = KEY
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()
        if previous is None:
            del os.environ["ANTHROPIC_API_KEY"]
        else:
            os.environ["ANTHROPIC_API_KEY"] = previous


def test_actors_enough_for_what_is_in_flight() -> None:
    assert [actors_for(n) for n in (1, 200, 201, 1000)] == [1, 1, 2, 5]


def test_an_actor_that_is_killed_is_replaced_and_nothing_is_lost(cluster: Any, problems: str) -> None:
    async def main() -> None:
        books = Books()
        with RehearsalServer(settings(problems, latency_low_s=0.2, latency_high_s=0.5)) as server:
            pool = ActorPool(endpoint(server), 2)
            await pool.ready()
            service = service_over(pool, books)
            tasks = [asyncio.create_task(ask(service, n)) for n in range(40)]
            await asyncio.sleep(0.6)
            victim = pool.handles[0]
            cluster.kill(victim, no_restart=True)
            replies = await asyncio.gather(*tasks)
            assert len(pool.handles) == 2
            assert victim not in pool.handles
            await service.close()
            counts = server.counts()
        assert all(f"add_{n}" in reply.text for n, reply in enumerate(replies))
        assert service.stats.failures.get(FailureKind.ACTOR_DIED, 0) > 0
        assert books.settled <= in_usd(counts.charged) <= books.settled + books.unsettled
        assert len(books.replies) == 40

    asyncio.run(main())


def test_the_key_reaches_the_server_and_nothing_else(cluster: Any, problems: str) -> None:
    """The key is in the node's environment: the actor sends it, and no Ray record or log holds it."""

    async def main() -> str:
        with RehearsalServer(settings(problems, api_key=KEY)) as server:
            pool = ActorPool(endpoint(server, needs_key=True), 1)
            service = service_over(pool, Books())
            await service.check("rehearsal:x", MODEL)
            reply = await ask(service, 3)
            job = cluster.get_runtime_context().get_runtime_env_string()
            await service.close()
            return repr(reply) + job + repr(pool.handles) + repr(service.stats)

    assert KEY not in asyncio.run(main())
    folder = Path(cluster._private.worker._global_node.get_session_dir_path())
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert KEY.encode() not in path.read_bytes(), path.name


def test_a_node_without_a_key_says_so(cluster: Any, problems: str, tmp_path: Path) -> None:
    async def main() -> None:
        with RehearsalServer(settings(problems)) as server:
            missing = str(tmp_path / "nowhere")
            service = service_over(ActorPool(endpoint(server, needs_key=True, key_file=missing), 1), Books())
            with pytest.raises(FatalApiError, match=r"nowhere cannot be read"):
                await service.check("rehearsal:x", MODEL)
            await service.close()

    asyncio.run(main())


def test_a_dead_process_is_reported_and_not_raised(cluster: Any, problems: str) -> None:
    async def main() -> None:
        with RehearsalServer(settings(problems, latency_low_s=5.0, latency_high_s=5.0)) as server:
            pool = ActorPool(endpoint(server), 1)
            await pool.ready()
            pid = await pool.handles[0].pid.remote()
            sent = asyncio.create_task(pool.send(Attempt(question(1), 30.0, "p/1;0;0;0")))
            await asyncio.sleep(0.5)
            os.kill(pid, signal.SIGKILL)
            result = await sent
            assert result.failure is not None
            assert result.failure.kind is FailureKind.ACTOR_DIED
            assert result.failure.may_have_charged
            await pool.close()

    asyncio.run(main())
