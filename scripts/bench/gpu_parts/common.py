"""What the parts share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from orchestrator.core.problems import Limits, Problem
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from tasks.gpu import load

T = TypeVar("T")


def make_executor(options: argparse.Namespace, **changes: object) -> GpuExecutor:
    """An executor as the options ask for it."""
    cap = None if options.memory_cap_gb is None else int(options.memory_cap_gb * 1e9)
    settings = GpuExecutorSettings(
        device=options.device,
        gpu_uuid=card_uuid(options.first_card) if options.device == "gpu" else "",
        memory_cap_bytes=cap,
        cpu_reference_limit_s=0.0,
        energy_window_s=0.0,
    )
    return GpuExecutor(replace(settings, **changes))  # type: ignore[arg-type]


def card_uuid(index: int) -> str:
    """UUID of a card by the driver's index."""
    import pynvml

    pynvml.nvmlInit()
    return str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index)))


def only_card(options: argparse.Namespace) -> dict[str, str]:
    """This process's environment, with no card visible but the one that is measured."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": card_uuid(options.first_card)}


def shard_of(items: Sequence[T], shard: str | None) -> list[T]:
    """The part of ``items`` that ``I/N`` names; all of them without it."""
    if shard is None:
        return list(items)
    first, count = (int(part) for part in shard.split("/"))
    return list(items)[first::count]


def problems(
    dialect: str, dtype: str, only: Sequence[str] | None = None, wall_s: float | None = None
) -> list[Problem]:
    """Problems of the suite in this dialect and dtype, of those names."""
    found = [p for p in load(dtype=dtype, dialect=dialect).problems if only is None or p.id.split("/")[1] in only]
    if wall_s is None:
        return found
    return [replace(p, limits=replace(p.limits, wall_s=wall_s)) for p in found]


def with_wall(limits: Limits, wall_s: float) -> Limits:
    """The same limits with another wall clock."""
    return replace(limits, wall_s=wall_s)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(" --- " for _ in head) + "|"]
    lines += ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def card_line(executor: GpuExecutor) -> str:
    """The card and how it was held, for the head of a table."""
    facts = executor.facts
    if not facts:
        return "Measured without a card (host memory)."
    return (
        f"Measured on an {facts['name']} ({facts['memory_bytes'] / 2**30:.0f} GiB, "
        f"{facts['multiprocessors']} multiprocessors); isolation: {executor.isolation}."
    )
