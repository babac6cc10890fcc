"""The claims that this project puts to the test, as data. They are an article's; none was measured here.

The article claims that a "$500 GPU" beats Claude Sonnet on coding benchmarks and that a hybrid beats both. It
gives neither code, nor sample sizes, nor error bars.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = [
    "CAPABILITIES",
    "TABLE_1",
    "TABLE_2",
    "WORKLOADS",
    "ClaimedCost",
    "ClaimedSystem",
    "Workload",
    "claimed_system",
    "is_claimed_card",
]

GB: Final = 10**9
CLAIMED_CARD: Final = re.compile(r"\b4060\b(?! *(Ti|Laptop))", re.IGNORECASE)
"""The article's card in the driver's name for one: RTX 4060. The Ti and the one in laptops are other cards."""


@dataclass(frozen=True, slots=True)
class ClaimedSystem:
    """A row of the article's Table 1 (HumanEval). None: not given."""

    system: str
    """The system here that does what the article's did."""
    name: str
    """The article's word for it."""
    pass_at_1: float | None
    execute_s: float | None
    """Execution time per problem."""
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class ClaimedCost:
    """A row of the article's Table 2 (cost and benefit)."""

    system: str
    name: str
    usd: float
    usd_text: str
    iteration_s: float
    scalability: str


@dataclass(frozen=True, slots=True)
class Workload:
    """A row of the article's workloads."""

    name: str
    what: str
    problems: tuple[str, ...]
    """Names of the problems of the suite ``gpu`` that do this work."""
    system: str
    cpu_speedup: float | None
    """How many times as fast as the CPU it is said to be. None: no figure is claimed."""
    claim: str


TABLE_1: Final[tuple[ClaimedSystem, ...]] = (
    ClaimedSystem("generate_only", "Claude", 0.83, None, None),
    ClaimedSystem("execute_only", "GPU", None, 0.7, int(2.1 * GB)),
    ClaimedSystem("hybrid", "hybrid", 0.91, 0.9, int(3.3 * GB)),
)

TABLE_2: Final[tuple[ClaimedCost, ...]] = (
    ClaimedCost("generate_only", "Claude only", 150.0, "$150 a month of API", 2.1, "limited"),
    ClaimedCost("execute_only", "RTX 4060 only", 500.0, "$500 of hardware", 0.6, "moderate"),
    ClaimedCost("hybrid", "hybrid", 650.0, "$650 in total", 0.4, "excellent"),
)

WORKLOADS: Final[tuple[Workload, ...]] = (
    Workload(
        "matrix product",
        "5000 x 5000 random float64 times its own transpose",
        ("gram",),
        "execute_only",
        5.0,
        "CPU takes about 5 times as long",
    ),
    Workload(
        "training",
        "one 1000 to 1000 linear layer, batches of 64, 1,000 passes",
        ("train_linear",),
        "execute_only",
        None,
        "none given",
    ),
    Workload(
        "hybrid debugging",
        "a proposed function (there: a.T @ b) validated against the CPU version",
        ("atb",),
        "hybrid",
        3.2,
        "3.2 times faster than the CPU version",
    ),
    Workload(
        "game physics",
        "real-time simulation",
        ("nbody_step", "cloth", "particle_collisions"),
        "execute_only",
        None,
        "named only",
    ),
    Workload(
        "data science",
        "ETL pipelines",
        ("group_by", "hash_join", "deduplicate", "rolling_window"),
        "execute_only",
        None,
        "named only",
    ),
    Workload(
        "quantitative finance",
        "high-frequency trading backtest",
        ("crossover_backtest", "black_scholes", "asian_option"),
        "execute_only",
        None,
        "named only",
    ),
)

CAPABILITIES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("respect hardware limits (memory)", ("out_of_memory",)),
    ("validate run-time performance", ("timeout",)),
    ("debug execution errors as they happen", ("error",)),
)
"""What Claude alone is said not to do and the hybrid is: (claim, first-turn verdicts that it would mend)."""


def claimed_system(system: str) -> ClaimedSystem | None:
    """The article's row for a system here, if it has one."""
    return next((row for row in TABLE_1 if row.system == system), None)


def is_claimed_card(name: str) -> bool:
    """Whether the driver's name for a card is that of the article's."""
    return CLAIMED_CARD.search(name) is not None
