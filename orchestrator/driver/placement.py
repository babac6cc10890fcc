"""Where a plan's cells run: on what the cluster has, or on a CPU where that was allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.cluster.capacity import Demand, NodeView, refuse, room_for
from orchestrator.cluster.cards import LocalCard, card_fits
from orchestrator.cluster.session import ClusterError
from orchestrator.config.schema import HardwareConfig
from orchestrator.driver.setup import pool_name
from orchestrator.plan.model import Cell, Plan

__all__ = ["Placement", "card_notes", "chosen_slots", "demands_of", "place"]

ON_CPU: Final = HardwareConfig(
    name="local", device="cpu", source="whatever runs the command; neither price nor power is known"
)


@dataclass(frozen=True, slots=True)
class Placement:
    """A plan whose every cell has room in the cluster."""

    plan: Plan
    """With the cells that found no GPU and may do without one moved to the CPU."""
    slots: dict[str, int]
    """By pool."""
    demands: tuple[Demand, ...]
    notes: tuple[str, ...] = ()


def demands_of(cells: Sequence[Cell]) -> tuple[Demand, ...]:
    """What the cells' pools need, one demand a pool."""
    bound = {pool_name(cell) for cell in cells if _needs_card(cell)}
    found = {
        (name := pool_name(cell)): Demand(
            name, cell.hardware.name, cell.needs_gpu, dict(cell.hardware.labels), movable=name not in bound
        )
        for cell in cells
    }
    return tuple(found.values())


def place(plan: Plan, nodes: Sequence[NodeView], *, autoscales: bool = False, found: str = "") -> Placement:
    """Find room for every cell. ``found`` is said of the nodes instead of what they have, where more is known.

    Raises:
        ClusterError: a cell has none. One sentence on what is there and what was asked.
    """
    demands = demands_of(plan.cells)
    slots, short = room_for(demands, nodes, autoscales=autoscales, found=found)
    movable = [c for c in plan.cells if pool_name(c) in short and c.needs_gpu and _may_move(c)]
    if not movable:
        refuse(short)
        return Placement(plan, slots, demands)
    for cell in movable:
        if _needs_card(cell):
            raise ClusterError(
                f"{short[pool_name(cell)]}. execute.without_gpu=cpu cannot help {cell.id}:"
                f" suite.dialect={cell.suite.dialect} needs a card, only suite.dialect=torch runs without one"
            )
    moved = {cell.id for cell in movable}
    placed = replace(plan, cells=tuple(_on_cpu(c) if c.id in moved else c for c in plan.cells))
    demands = demands_of(placed.cells)
    slots, short = room_for(demands, nodes)
    refuse(short)
    note = (
        f"no GPU for {', '.join(cell.id for cell in movable)}: their programs run on the CPU"
        " (execute.without_gpu=cpu). Verdicts count; times say nothing of a card"
    )
    return Placement(placed, slots, demands, (note,))


def chosen_slots(plan: Plan, slots: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """Slots to start, by pool, where ``execute.slots`` may name a number, and what is to be said of it.

    Args:
        slots: what there is room for.
    """
    wanted = {pool_name(cell): cell.config.execute.slots for cell in reversed(plan.cells)}
    chosen: dict[str, int] = {}
    notes: list[str] = []
    for pool, room in slots.items():
        asked = wanted[pool] or room
        if asked <= room or plan.config.cluster.autoscales:
            chosen[pool] = asked
            continue
        where = f"there is room for {room} of class {pool.rpartition(':')[0]}"
        if plan.config.cluster.address is None:
            # Nothing joins a machine alone: what has no room would be waited for until the end.
            chosen[pool] = room
            notes.append(f"execute.slots={asked}, but {where} on this machine, so {room} are started")
        else:
            chosen[pool] = asked
            notes.append(f"execute.slots={asked}, but {where} now: the others wait for nodes that join")
    return chosen, notes


def card_notes(cells: Sequence[Cell], cards: Sequence[LocalCard]) -> list[str]:
    """Where this machine's cards are not those that the plan's hardware names."""
    names = sorted({cell.hardware.name for cell in cells if cell.needs_gpu})
    return [
        f"hardware={name}, but this machine has {card}: prices and power are those of {name}, times those of {card}"
        for name in names
        for card in dict.fromkeys(card.name for card in cards)
        if not card_fits(name, card)
    ]


def _needs_card(cell: Cell) -> bool:
    return cell.suite.name == "gpu" and cell.suite.dialect not in (None, "torch")


def _may_move(cell: Cell) -> bool:
    return cell.config.execute.without_gpu == "cpu"


def _on_cpu(cell: Cell) -> Cell:
    config = cell.config
    execute = replace(config.execute, device="cpu")
    return replace(cell, config=replace(config, execute=execute, hardware=ON_CPU))
