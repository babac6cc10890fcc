"""How many requests a plan can make and what they can cost, before any is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from orchestrator.core.digests import digest
from orchestrator.core.generation import GenerationRequest, Usage
from orchestrator.core.prices import Price, input_tokens_upper_bound
from orchestrator.core.problems import Problem
from orchestrator.plan.asked import first_requests
from orchestrator.plan.counting import TokenCounts
from orchestrator.plan.model import Cell, Plan

__all__ = ["CellCost", "Load", "PlanCost", "estimate"]

_TOKENS_PER_BYTE: Final = 0.3
"""Of a program that a model writes; as for what it reads."""
_FEEDBACK_BYTES: Final = 6000
"""Above what a repair message carries: feedback is capped, and the template adds a few lines."""


@dataclass(frozen=True, slots=True)
class CellCost:
    """What one cell can ask for."""

    cell: str
    requests_low: int
    """Every first answer passes."""
    requests_high: int
    """Every turn is used. Retries are not counted."""
    shared: int
    """Of the low count: requests that an earlier cell of the plan makes too, bought once for both."""


@dataclass(slots=True)
class Load:
    """What a plan asks of one model, whose limits hold it back. Input is what counts against them."""

    cell: Cell
    """The first that asks it."""
    batch: bool
    requests_low: int = 0
    input_low: int = 0
    output_low: int = 0
    requests_high: int = 0
    input_high: int = 0
    output_high: int = 0


@dataclass(frozen=True, slots=True)
class PlanCost:
    """What a whole plan can cost at the price of its models. Shared requests are counted once."""

    cells: tuple[CellCost, ...]
    requests_low: int
    requests_high: int
    input_tokens_low: int
    """Of first answers, all classes together."""
    output_tokens_low: int
    usd_low: Decimal
    """First answers only, each as long as the problem's reference program."""
    usd_high: Decimal
    """Every turn used and every reply at its cap: what the ledger would reserve in the worst case."""
    synthetic: bool
    """The dollars are synthetic: no model that has a price would be called. Beside one that would, the synthetic
    dollars of others are in no sum."""
    sources: tuple[str, ...]
    """Where the prices come from."""
    loads: tuple[Load, ...] = ()
    warnings: tuple[str, ...] = ()
    """Prefixes that are to be cached and are too short for it."""


def estimate(plan: Plan, counts: TokenCounts | None = None) -> PlanCost:
    """Count requests, tokens and dollars of a plan from its texts; nothing is sent.

    Args:
        plan: a checked plan.
        counts: what the provider said of its requests, where it was asked.

    Raises:
        UnknownPrice: a model of the plan has no price.
    """
    counts = counts or TokenCounts()
    bought: dict[str, int] = {}
    cells: list[CellCost] = []
    input_tokens = output_tokens = 0
    low, high = {False: Decimal(0), True: Decimal(0)}, {False: Decimal(0), True: Decimal(0)}
    paid = False
    sources: dict[str, None] = {}
    loads: dict[tuple[str, str | None, str | None, bool], Load] = {}
    warnings: dict[str, None] = {}
    for cell in plan.cells:
        price = None if plan.regrade is not None else _price(cell)
        batch = cell.config.generate.mode == "batch"
        if price is not None:
            sources[f"{cell.config.model.id}: {price.source}"] = None
            paid = paid or not cell.synthetic
        model = cell.config.model
        load = loads.setdefault((model.kind, model.base_url, model.id, batch), Load(cell, batch))
        first = shared = 0
        for problem, samples, request in first_requests(cell, plan):
            prefix = _cached_prefix(request, counts, warnings)
            usage = _likely(problem, request, counts, prefix)
            bound = input_tokens_upper_bound(request)
            worst = [bound + turn * (cell.max_tokens + _FEEDBACK_BYTES) for turn in range(cell.turns)]
            usd, usd_worst = Decimal(0), [Decimal(0)] * cell.turns
            if price is not None:
                usd = price.cost(usage, batch=batch)
                cached = request.cache_prefix
                usd_worst = [price.worst_case(n, cell.max_tokens, cached=cached, batch=batch) for n in worst]
            # Samples count from 0 everywhere, so of two cells that ask the same one's are the first of the other's.
            key = digest(request, problem.id)
            known = min(samples, bought.get(key, 0))
            new = samples - known
            bought[key] = max(samples, bought.get(key, 0))
            first += samples
            shared += known
            input_tokens += new * (usage.input_tokens + usage.cache_read_tokens)
            output_tokens += new * usage.output_tokens
            low[cell.synthetic] += new * usd
            load.requests_low += new
            load.input_low += new * usage.input_tokens
            load.output_low += new * usage.output_tokens
            high[cell.synthetic] += samples * sum(usd_worst, Decimal(0)) - known * usd_worst[0]
            load.requests_high += samples * cell.turns - known
            load.input_high += samples * sum(worst) - known * worst[0]
            load.output_high += cell.max_tokens * (samples * cell.turns - known)
        cells.append(CellCost(cell.id, first, first * cell.turns, shared))
    return PlanCost(
        cells=tuple(cells),
        requests_low=sum(cell.requests_low - cell.shared for cell in cells),
        requests_high=sum(cell.requests_high - cell.shared for cell in cells),
        input_tokens_low=input_tokens,
        output_tokens_low=output_tokens,
        usd_low=low[not paid],
        usd_high=high[not paid],
        synthetic=not paid,
        sources=tuple(sources),
        loads=tuple(load for load in loads.values() if load.requests_high),
        warnings=tuple(warnings),
    )


def _cached_prefix(request: GenerationRequest, counts: TokenCounts, warnings: dict[str, None]) -> int:
    """Tokens of the request that later ones read from the cache; notes a prefix that is too short for it."""
    if not request.cache_prefix:
        return 0
    from orchestrator.generate.forecasts import prefix_tokens, prefix_warning

    warning = prefix_warning(request, counts.prefix_tokens(request))
    if warning is not None:
        warnings[warning] = None
        return 0
    counted = counts.prefix_tokens(request)
    return prefix_tokens(request) if counted is None else counted


def _likely(problem: Problem, request: GenerationRequest, counts: TokenCounts, prefix: int) -> Usage:
    total = counts.input_tokens(request)
    cached = min(prefix, total)
    written = math.ceil(len(problem.reference.encode()) * _TOKENS_PER_BYTE)
    return Usage(
        input_tokens=total - cached,
        output_tokens=min(written, request.max_tokens),
        cache_read_tokens=cached,
    )


def _price(cell: Cell) -> Price | None:
    """Dollars for tokens; None where a cell buys none (no model, a file, or a server on a card)."""
    from orchestrator.generate.pricing import configured_price, look_up_price

    model = cell.model
    if model is None or model.kind in ("samples", "local"):
        return None
    if model.price is not None:
        return configured_price(model.price, str(model.id))
    return look_up_price(str(model.id), datetime.now(UTC))
