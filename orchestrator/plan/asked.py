"""The first request of every trial of a plan, as the driver will make it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from orchestrator.core.digests import digest
from orchestrator.core.generation import GenerationRequest, Message
from orchestrator.core.problems import Problem
from orchestrator.plan.model import Cell, Plan

__all__ = ["asks_a_model", "first_requests"]


def asks_a_model(cell: Cell, plan: Plan) -> bool:
    """Whether the cell's replies are asked of somebody, rather than read from a file or an earlier run."""
    return cell.model is not None and cell.model.kind != "samples" and plan.regrade is None


def first_requests(cell: Cell, plan: Plan) -> Iterator[tuple[Problem, int, GenerationRequest]]:
    """Problem, samples of it and the request that each sample begins with; nothing where no model is asked."""
    model = cell.model
    if model is None or not asks_a_model(cell, plan):
        return
    # Who answers is part of what is bought: a rehearsal's answers differ with its settings.
    who = digest(asdict(cell.config.rehearsal)) if cell.synthetic else ""
    prompt = cell.prompt
    for problem, count in zip(plan.problems(cell), cell.sample_counts, strict=True):
        values: dict[str, Any] = {
            "prompt": problem.public.prompt.rstrip("\n"),
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
        yield problem, count, request
