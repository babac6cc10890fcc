"""What the parts share: problems, requests, and a driver's half of buying with a real journal and ledger."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from orchestrator.core.generation import GenerationRequest, Message
from orchestrator.core.money import AccountRef
from orchestrator.core.prices import Price
from orchestrator.core.problems import Problem
from orchestrator.driver.books import Books
from orchestrator.generate.actor import LocalSender
from orchestrator.generate.attempts import Endpoint
from orchestrator.generate.pool import ActorPool
from orchestrator.generate.pricing import look_up_price
from orchestrator.generate.rehearsal import write_problems
from orchestrator.generate.service import GenerationService, Route, ServiceSettings
from orchestrator.journal.store import Journal
from orchestrator.ledger import Ledger
from tasks.humaneval import load

__all__ = ["ACCOUNT", "MODEL", "PROVIDER", "Buyer", "buyer", "price", "problems_file", "questions", "start_ray"]

MODEL = "claude-sonnet-5-5"
PROVIDER = "rehearsal:bench"
ACCOUNT = AccountRef("bench", "bench", synthetic=True)


def problems_file(folder: Path) -> str:
    """HumanEval as the rehearsal server reads it."""
    path = folder / "problems.jsonl"
    write_problems(path, load().problems)
    return str(path)


def questions(
    system: str = "", max_tokens: int = 1024, problems: Sequence[Problem] | None = None
) -> list[tuple[str, GenerationRequest]]:
    """One request a problem (of HumanEval, unless others are given), with the problem's id."""
    return [
        (
            problem.id,
            GenerationRequest(PROVIDER, MODEL, system, (Message("user", problem.public.prompt),), max_tokens),
        )
        for problem in (load().problems if problems is None else problems)
    ]


def price() -> Price:
    """The price of the model that is stood in for."""
    return look_up_price(MODEL, datetime.now(UTC))


def start_ray() -> None:
    """A local cluster without dashboard; worker logs stay in their files."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)


@dataclass
class Buyer:
    """A service with what stands behind it."""

    service: GenerationService
    pool: ActorPool | None
    ledger: Ledger
    journal: Journal
    questions: Sequence[tuple[str, GenerationRequest]]

    async def ask(self, number: int) -> None:
        """Buy the ``number``-th of endlessly many different replies."""
        problem_id, request = self.questions[number % len(self.questions)]
        sample = number // len(self.questions)
        await self.service.generate(request, sample=sample, turn=0, problem_id=problem_id, account=ACCOUNT)

    async def ask_for(self, seconds: float, workers: int, first: int = 0) -> int:
        """Keep ``workers`` questions wanted for so long; how many were answered."""
        end = time.monotonic() + seconds
        numbers = iter(range(first, 10**9))
        done = 0

        async def work() -> None:
            nonlocal done
            while time.monotonic() < end:
                await self.ask(next(numbers))
                done += 1

        await asyncio.gather(*(work() for _ in range(workers)))
        return done


@asynccontextmanager
async def buyer(
    base_url: str,
    *,
    actors: int,
    folder: Path | None = None,
    system: str = "",
    stall_s: float = 120.0,
    problems: Sequence[Problem] | None = None,
    **settings: Any,
) -> AsyncIterator[Buyer]:
    """Everything that a run has between its systems and the server: service, actors, journal and ledger.

    ``folder`` keeps the journal; without one it is thrown away. Without actors (0) this process sends by itself.
    """
    with tempfile.TemporaryDirectory() as scratch:
        journal = Journal((folder or Path(scratch)) / "journal.sqlite", "bench")
        try:
            ledger = Ledger(journal, usd=Decimal(1_000_000))
            await ledger.recover()
            endpoint = Endpoint(PROVIDER, base_url, needs_key=False, synthetic=True, stall_s=stall_s)
            pool = ActorPool(endpoint, actors) if actors else None
            if pool is not None:
                await pool.ready()
            route = Route(PROVIDER, pool or LocalSender(endpoint), {MODEL: price()}, synthetic=True)
            books = Books(journal, ledger, None)
            service = GenerationService([route], books, ledger, ServiceSettings(**{"enlarge": 1.0, **settings}))
            try:
                yield Buyer(service, pool, ledger, journal, questions(system, problems=problems))
            finally:
                await service.close()
        finally:
            journal.close()
