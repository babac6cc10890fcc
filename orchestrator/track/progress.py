"""How far each cell is: counted by the driver, read by whatever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.core.verdicts import GRADED, Verdict

__all__ = ["Activity", "CardReading", "CellProgress", "Progress"]


Activity = Literal["generating", "executing"]


@dataclass(frozen=True, slots=True)
class CardReading:
    """A card while a program was timed on it; None for what it does not tell."""

    at: float
    """When the trial ended, epoch seconds."""
    clock_mhz: int | None
    temperature_c: int | None
    power_w: float | None


@dataclass(slots=True)
class CellProgress:
    """Counters of one cell."""

    id: str
    planned: int
    synthetic: bool
    active: Mapping[Activity, int]
    """Steps under way now, by ``generating`` and ``executing``."""
    done: int = 0
    graded: int = 0
    passed: int = 0
    infrastructure: int = 0
    not_run: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    """Of the trials that ended, shared replies in full."""
    cards: dict[tuple[str, str], CardReading] = field(default_factory=dict)
    """What was last read off each card (node and the card's own number), until somebody takes it."""

    def count(self, row: Mapping[str, Any]) -> None:
        """Take in a finished trial's row."""
        verdict = Verdict(row["verdict"])
        self.done += 1
        self.graded += verdict in GRADED
        self.passed += verdict is Verdict.PASSED
        self.infrastructure += verdict is Verdict.INFRASTRUCTURE
        self.not_run += verdict is Verdict.NOT_RUN
        self.input_tokens += row.get("input_tokens") or 0
        self.output_tokens += row.get("output_tokens") or 0
        self.usd += row.get("api_usd") or 0.0
        if row.get("gpu_uuid"):
            reading = CardReading(
                row.get("ended_at") or 0.0,
                row.get("gpu_clock_mhz"),
                row.get("gpu_temperature_c"),
                row.get("gpu_power_w"),
            )
            self.cards[row.get("node") or "", row["gpu_uuid"]] = reading

    @property
    def pass_rate(self) -> float | None:
        """Passed over graded so far."""
        return self.passed / self.graded if self.graded else None


@dataclass(slots=True)
class Progress:
    """All cells, and the clock."""

    cells: list[CellProgress]
    money: Callable[[], tuple[float, float]]
    """Dollars settled, and dollars reserved or unsettled."""
    started: float = field(default_factory=time.monotonic)
    message: str = ""
    """What is going on before trials start, or while stopping."""
    notice: Callable[[], str] = str
    """What is wrong at the moment, e.g. that the tracking server is away; empty for nothing."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def done(self) -> int:
        """Finished trials."""
        return sum(cell.done for cell in self.cells)

    @property
    def planned(self) -> int:
        """All trials."""
        return sum(cell.planned for cell in self.cells)

    trials_started: float | None = None
    """Monotonic time of the first trial's start."""

    @property
    def remaining_s(self) -> float | None:
        """Estimated seconds to go at the pace so far; None before anything is done.

        None also beside a message: whoever stops, or waits for a node, no longer goes at that pace.
        """
        if not self.done or self.trials_started is None or self.message:
            return None
        pace = (time.monotonic() - self.trials_started) / self.done
        return pace * (self.planned - self.done)
