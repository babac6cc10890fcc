"""How many requests a plan can make and what they can cost, before any is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from orchestrator.core.digests import digest
from orchestrator.core.generation import GenerationRequest, Message, Usage
from orchestrator.core.prices import Price, input_tokens_upper_bound
from orchestrator.core.problems import Problem
from orchestrator.plan.model import Cell, Plan

__all__ = ["CellCost", "PlanCost", "estimate"]

_TOKENS_PER_BYTE: Final = 0.3
"""English and code are near 4 bytes a token; a little more is planned."""
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


@dataclass(frozen=True, slots=True)
class PlanCost:
    """What a whole plan can cost at the price of its models. Shared requests are counted once."""

    cells: tuple[CellCost, ...]
    requests_low: int
    requests_high: int
    input_tokens_low: int
    output_tokens_low: int
    usd_low: Decimal
    """First answers only, each as long as the problem's reference program."""
    usd_high: Decimal
    """Every turn used and every reply at its cap: what the ledger would reserve in the worst case."""
    synthetic: bool
    """All of it is synthetic dollars: no model would be called."""
    sources: tuple[str, ...]
    """Where the prices come from."""


def estimate(plan: Plan) -> PlanCost:
    """Count requests, tokens and dollars of a plan from its texts; nothing is sent.

    Raises:
        UnknownPrice: a model of the plan has no price.
    """
    bought: set[str] = set()
    cells: list[CellCost] = []
    tokens = Usage()
    low = high = Decimal(0)
    sources: dict[str, None] = {}
    for cell in plan.cells:
        price = None if plan.regrade is not None else _price(cell)
        batch = cell.config.generate.mode == "batch"
        if price is not None:
            sources[f"{cell.config.model.id}: {price.source}"] = None
        first = shared = 0
        for problem, sample, request in _requests(cell, plan):
            first += 1
            key = digest(request, problem.id, sample)
            known = key in bought
            shared += known
            bought.add(key)
            usage = _likely(problem, request)
            if not known:
                tokens += usage
            if price is None:
                continue
            bound = input_tokens_upper_bound(request)
            for turn in range(1, cell.turns + 1):
                if turn > 1 or not known:
                    high += price.worst_case(
                        bound + (turn - 1) * (cell.max_tokens + _FEEDBACK_BYTES),
                        cell.max_tokens,
                        cached=request.cache_prefix,
                        batch=batch,
                    )
            if not known:
                low += price.cost(usage, batch=batch)
        cells.append(CellCost(cell.id, first, first * cell.turns, shared))
    return PlanCost(
        cells=tuple(cells),
        requests_low=sum(cell.requests_low - cell.shared for cell in cells),
        requests_high=sum(cell.requests_high - cell.shared for cell in cells),
        input_tokens_low=tokens.input_tokens,
        output_tokens_low=tokens.output_tokens,
        usd_low=low,
        usd_high=high,
        synthetic=all(cell.synthetic for cell in plan.cells if cell.generates),
        sources=tuple(sources),
    )


def _requests(cell: Cell, plan: Plan) -> Iterator[tuple[Problem, int, GenerationRequest]]:
    """The first request of every trial of a cell that asks a model."""
    model = cell.model
    if model is None or model.kind == "samples" or plan.regrade is not None:
        return
    # Who answers is part of what is bought: a rehearsal's answers differ with its settings.
    who = digest(asdict(cell.config.rehearsal)) if cell.synthetic else ""
    prompt = cell.config.prompt
    for problem, count in zip(plan.problems(cell), cell.sample_counts, strict=True):
        values: dict[str, Any] = {
            "prompt": problem.public.prompt,
            "entry_point": problem.public.entry_point,
            "dialect": problem.public.dialect,
            "hardware": cell.hardware.name,
        }
        request = GenerationRequest(
            provider=f"{model.kind}:{model.base_url}:{who}",
            model=str(model.id),
            system=prompt.system,
            messages=(Message("user", prompt.first.format_map(values)),),
            max_tokens=cell.max_tokens,
            effort=model.effort,
            thinking=model.thinking,
            cache_prefix=prompt.cache,
        )
        for sample in range(count):
            yield problem, sample, request


def _likely(problem: Problem, request: GenerationRequest) -> Usage:
    text = request.system + "".join(message.text for message in request.messages)
    written = math.ceil(len(problem.reference.encode()) * _TOKENS_PER_BYTE)
    return Usage(
        input_tokens=math.ceil(len(text.encode()) * _TOKENS_PER_BYTE),
        output_tokens=min(written, request.max_tokens),
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
