"""Everything that answers requests in one run: the rehearsal server, senders, prices, the service."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.cluster.capacity import generating_nodes, list_nodes
from orchestrator.config.schema import ModelConfig
from orchestrator.core.digests import digest
from orchestrator.core.prices import GpuTimePrice, Price
from orchestrator.driver.books import Books
from orchestrator.generate.attempts import Endpoint
from orchestrator.generate.batches import BatchSettings
from orchestrator.generate.pool import ActorPool, actors_for
from orchestrator.generate.pricing import configured_price, gpu_time_price, look_up_price
from orchestrator.generate.rehearsal.problems import write_problems
from orchestrator.generate.rehearsal.process import RehearsalServer
from orchestrator.generate.rehearsal.settings import RehearsalSettings
from orchestrator.generate.service import GenerationService, Route, ServiceSettings
from orchestrator.journal.store import Journal
from orchestrator.ledger import Ledger
from orchestrator.plan.model import Cell, Plan

__all__ = ["Generation", "OpenBatches", "check_batches", "describe_price", "price_of"]


def price_of(model: ModelConfig, when: datetime) -> Price | GpuTimePrice | None:
    """What the model's replies cost; None where nothing is known of it (a file's answers, a server without a rate).

    Raises:
        UnknownPrice: nothing is known and the configuration names nothing.
    """
    if model.kind == "samples":
        return None
    if model.kind == "local":
        return None if model.usd_per_gpu_hour is None else gpu_time_price(model.usd_per_gpu_hour)
    if model.price is not None:
        return configured_price(model.price, str(model.id))
    return look_up_price(str(model.id), when)


def describe_price(price: Price | GpuTimePrice) -> dict[str, Any]:
    """A price as recorded with a run."""
    if isinstance(price, GpuTimePrice):
        return {"usd_per_gpu_hour": float(price.usd_per_hour), "source": price.source}
    rates = price.rates(0)
    return {
        "input_per_mtok": float(rates.input),
        "output_per_mtok": float(rates.output),
        "cache_read_per_mtok": float(rates.cache_read),
        "cache_write_per_mtok": float(rates.cache_write),
        "source": price.source,
    }


class OpenBatches(Exception):
    """An earlier driver left batches at the provider that this one would not look at."""


async def check_batches(plan: Plan, journal: Journal) -> None:
    """Make sure that nothing is asked for singly which an open batch of the run answers.

    Raises:
        OpenBatches: there are such batches.
    """
    if plan.config.generate.mode == "batch":
        return
    count = len(await journal.open_batches())
    if count:
        raise OpenBatches(
            f"{count} batch(es) of this run are still open at the provider and paid for; resume with "
            "generate.mode=batch first, or their replies would be bought twice"
        )


def _places() -> list[str]:
    return [node.id for node in generating_nodes(list_nodes())]


@dataclass(slots=True)
class Generation:
    """Opened and closed once a run."""

    plan: Plan
    providers: dict[str, str] = field(default_factory=dict)
    """Cell id to the provider that answers it."""
    _service: GenerationService | None = None
    _server: RehearsalServer | None = None
    _problems: Path | None = None
    _base_url: str = ""
    _settings: RehearsalSettings | None = None

    async def start_server(self) -> None:
        """Start the rehearsal server, where a cell needs it."""
        if self.plan.regrade is not None:
            return
        rehearsed = [cell for cell in self.plan.cells if cell.synthetic]
        if not rehearsed:
            return
        # In the run's folder: a driver that is killed leaves nothing elsewhere, and its resume writes it again.
        path = self._problems = self.plan.run_dir / "rehearsal-problems.jsonl"
        seen: dict[str, Any] = {}
        for cell in rehearsed:
            for problem in self.plan.problems(cell):
                seen.setdefault(problem.digest, problem)
        write_problems(path, seen.values())
        config = rehearsed[0].config
        self._settings = RehearsalSettings.from_config(
            config.rehearsal,
            seed=config.seed,
            problems=str(path),
            # Batches outlive their driver at a provider, so they do here.
            batch_state=str(self.plan.run_dir / "rehearsal-batches.jsonl")
            if config.generate.mode == "batch"
            else None,
        )
        self._server = RehearsalServer(self._settings)
        self._base_url = await asyncio.to_thread(self._server.start)

    async def open(self, books: Books, ledger: Ledger) -> GenerationService | None:
        """Start the senders and the service; None when nothing is asked of anyone.

        Raises:
            FatalApiError: a provider refuses the key or does not know the model.
        """
        asking = [cell for cell in self.plan.cells if cell.model is not None and cell.model.kind != "samples"]
        if not asking or self.plan.regrade is not None:
            return None
        generate = self.plan.config.generate
        actors = generate.actors or actors_for(generate.in_flight)
        routes: dict[str, Route] = {}
        for cell in asking:
            endpoint = self._endpoint(cell)
            self.providers[cell.id] = endpoint.provider
            model = cell.config.model
            price = price_of(model, datetime.now(UTC))
            route = routes.get(endpoint.provider)
            prices = {**(route.prices if route is not None else {}), str(model.id): price}
            sender = route.sender if route is not None else ActorPool(endpoint, actors, places=_places)
            routes[endpoint.provider] = Route(
                endpoint.provider, sender, prices, synthetic=endpoint.synthetic, slots=model.slots
            )
        settings = ServiceSettings(
            in_flight=generate.in_flight,
            deadline_s=generate.deadline_s,
            retries=generate.retries,
            run_retries=generate.run_retries,
            batch=BatchSettings(poll_s=generate.batch_poll_s) if generate.mode == "batch" else None,
            seed=self.plan.config.seed,
        )
        self._service = GenerationService(list(routes.values()), books, ledger, settings)
        options = {
            (
                self.providers[c.id],
                str(c.config.model.id),
                c.config.model.effort,
                c.config.model.thinking,
                c.max_tokens,
            )
            for c in asking
        }
        for provider, model_id, effort, thinking, max_tokens in sorted(options, key=str):
            await self._service.check(provider, model_id, effort=effort, thinking=thinking, max_tokens=max_tokens)
        return self._service

    @property
    def limits(self) -> list[dict[str, Any]]:
        """Limits per minute that providers told this run, as recorded for the plans of later ones."""
        found: dict[tuple[str | None, str | None], dict[str, Any]] = {}
        told = {} if self._service is None else self._service.limits()
        for cell in self.plan.cells:
            model = cell.config.model
            limits = told.get((self.providers.get(cell.id, ""), str(model.id)))
            if limits and not cell.synthetic:
                key = (model.id, model.base_url)
                found[key] = {"model": model.id, "base_url": model.base_url, "per_minute": dict(limits)}
        return list(found.values())

    def stop(self) -> None:
        """Send nothing new."""
        if self._service is not None:
            self._service.stop()

    def leave(self) -> None:
        """Send nothing new and wait for no reply in flight; a resume counts each of them at its worst case."""
        if self._service is not None:
            self._service.leave()

    @property
    def open_batches(self) -> int:
        """Message Batches that the provider is still working on."""
        return 0 if self._service is None else len(self._service.open_batches)

    async def cancel_batches(self) -> None:
        """Ask the providers to end their batches; what they have done already is billed."""
        if self._service is not None:
            await self._service.cancel_batches()

    async def drain(self) -> None:
        """Wait until every reply in flight is journaled."""
        if self._service is not None:
            await self._service.drain()

    async def close(self) -> None:
        """End the senders and the server."""
        if self._service is not None:
            await self._service.close()
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)
        if self._problems is not None:
            self._problems.unlink(missing_ok=True)

    def _endpoint(self, cell: Cell) -> Endpoint:
        model, stream = cell.config.model, cell.config.generate.stream
        if cell.synthetic:
            if self._settings is None:
                raise RuntimeError("the rehearsal server was not started")
            suites = sorted({c.suite_digest for c in self.plan.cells if c.synthetic})
            provider = f"rehearsal:{digest(self._settings.answer_digest(), suites)[:16]}"
            return Endpoint(provider, self._base_url, needs_key=False, stream=stream, synthetic=True)
        if model.kind == "local":
            return Endpoint(f"local:{model.base_url}", model.base_url, needs_key=False, stream=stream)
        provider = "anthropic" if model.base_url is None else f"anthropic:{model.base_url}"
        return Endpoint(provider, model.base_url, key_file=model.key_file, stream=stream)
