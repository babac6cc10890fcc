"""From a plan to what runs it: pools of slots, sources of replies, cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from orchestrator.config.errors import show
from orchestrator.core.problems import GpuTests, Limits, Problem
from orchestrator.driver.execution import ExecutionService, LimitOverrides
from orchestrator.driver.pool import ExecutionPool
from orchestrator.driver.ray_slots import RaySlotFactory
from orchestrator.driver.replies import ModelReplies, Prompt, ReplySource, SampleReplies
from orchestrator.driver.scheduler import Assignment
from orchestrator.driver.trial import CellRuntime
from orchestrator.execute.actor import SlotSettings
from orchestrator.generate.samples import load_samples
from orchestrator.generate.service import GenerationService
from orchestrator.plan.model import Cell, Plan

__all__ = ["Work", "assignments", "build_cells", "build_pools", "chosen_limits", "pool_name", "problems_by_pool"]

# The task itself speaks of a GPU, whatever it runs on.
_NO_CARD: Final = (
    "there is none. Your program runs on this machine's CPU with torch, and all tensors are CPU tensors, also "
    "where it says otherwise above."
)


@dataclass(frozen=True, slots=True)
class Work:
    """One cell's runtime with the problems it works on."""

    runtime: CellRuntime
    problems: tuple[Problem, ...]
    samples: tuple[int, ...]
    """Tries at each problem."""


def pool_name(cell: Cell) -> str:
    """Cells of one hardware class and device share slots; the name is part of every verdict's key."""
    return f"{cell.hardware.name}:{'gpu' if cell.needs_gpu else 'cpu'}"


def build_pools(plan: Plan, slots: Mapping[str, int]) -> dict[str, ExecutionPool]:
    """One pool a hardware class with so many ``slots``, by pool name."""
    pools: dict[str, ExecutionPool] = {}
    for cell in plan.cells:
        name = pool_name(cell)
        if name in pools:
            continue
        config = cell.config
        gpu_suite = any(isinstance(problem.scoring, GpuTests) for problem in plan.problems(cell))
        factory = RaySlotFactory(
            SlotSettings(
                device="gpu" if cell.needs_gpu else "cpu",
                isolation=config.isolation.require,
                spares=config.execute.spares,
                memory_cap_bytes=config.hardware.memory_bytes,
                tools=tuple(config.execute.tools),
            ),
            dict(config.hardware.labels),
            "gpu" if gpu_suite else "python",
        )
        ahead = plan.config.generate.in_flight if plan.regrade is None else 0
        pools[name] = ExecutionPool(name, factory.start, slots[name], attempts=config.execute.attempts, ahead=ahead)
    return pools


def problems_by_pool(plan: Plan) -> dict[str, list[Problem]]:
    """The problems that each pool's slots will see, with the limits that will hold, each once."""
    found: dict[str, dict[tuple[str, Limits], Problem]] = {}
    for cell in plan.cells:
        pool = found.setdefault(pool_name(cell), {})
        for problem in limited_problems(plan, cell):
            pool.setdefault((problem.digest, problem.limits), problem)
    return {name: list(problems.values()) for name, problems in found.items()}


def limited_problems(plan: Plan, cell: Cell) -> tuple[Problem, ...]:
    """The cell's problems with the configuration's limits."""
    overrides = LimitOverrides(**asdict(cell.config.execute.limits))
    return tuple(overrides.apply(problem) for problem in plan.problems(cell))


def chosen_limits(plan: Plan, pool: str) -> str:
    """The limits that the configuration sets for a pool's cells, as they were given; empty where it sets none."""
    given = [asdict(cell.config.execute.limits) for cell in plan.cells if pool_name(cell) == pool]
    words = [f"execute.limits.{k}={show(v)}" for limits in given for k, v in limits.items() if v is not None]
    return ", ".join(dict.fromkeys(words))


def build_cells(
    plan: Plan,
    services: Mapping[str, ExecutionService],
    generation: GenerationService | None,
    providers: Mapping[str, str],
    cards: Mapping[str, str],
) -> list[Work]:
    """The cells' runtimes, in the plan's order.

    Args:
        plan: the checked plan.
        services: execution by pool name.
        generation: where replies are bought; None when no cell asks a model.
        providers: the provider that answers a cell, by cell id.
        cards: what the cards of a pool say of themselves, by pool name; missing where there is none.
    """
    works = []
    for cell in plan.cells:
        name = pool_name(cell)
        prompt = _prompt(cell, cards.get(name, ""))
        runtime = CellRuntime(
            id=cell.id,
            system=cell.system,
            turns=cell.turns,
            oracle=cell.config.feedback == "oracle",
            executions=services[name],
            replies=_replies(cell, plan, prompt, generation, providers),
            prompt=prompt if cell.generates else None,
            synthetic=cell.synthetic,
            hardware=cell.hardware.name,
            several_samples=cell.generates and cell.samples > 1 and plan.regrade is None,
        )
        works.append(Work(runtime, limited_problems(plan, cell), cell.sample_counts))
    return works


def assignments(works: Sequence[Work]) -> Iterator[Assignment]:
    """All trials: sample by sample, problem by problem, cell by cell.

    Cells that share a purchase meet it together, and a sweep that ends early has covered every cell alike.
    """
    most = max((max(work.samples, default=0) for work in works), default=0)
    longest = max((len(work.problems) for work in works), default=0)
    for sample in range(most):
        for index in range(longest):
            for work in works:
                if index < len(work.problems) and sample < work.samples[index]:
                    yield Assignment(work.runtime, work.problems[index], sample)


def _prompt(cell: Cell, card: str) -> Prompt:
    prompt = cell.prompt
    return Prompt(
        system=prompt.system,
        first=prompt.first,
        repair=prompt.repair,
        cache=prompt.cache,
        hardware=card or _hardware_line(cell),
    )


def _hardware_line(cell: Cell) -> str:
    if not cell.needs_gpu:
        return _NO_CARD if cell.suite.name == "gpu" else ""
    return "" if cell.hardware.device == "cpu" else f"an NVIDIA GPU of the class {cell.hardware.name}"


def _replies(
    cell: Cell,
    plan: Plan,
    prompt: Prompt,
    generation: GenerationService | None,
    providers: Mapping[str, str],
) -> ReplySource | None:
    model = cell.model
    if model is None or plan.regrade is not None:
        return None
    if model.kind == "samples":
        return SampleReplies(load_samples(str(model.path), [problem.id for problem in plan.suite(cell).problems]))
    if generation is None:
        raise ValueError(f"cell {cell.id} asks a model, and nothing was set up to answer")
    return ModelReplies(
        generation,
        prompt,
        provider=providers[cell.id],
        model=str(model.id),
        max_tokens=cell.max_tokens,
        effort=model.effort,
        thinking=model.thinking,
    )
