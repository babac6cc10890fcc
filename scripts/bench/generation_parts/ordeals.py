"""What an ordeal must leave behind, and how it is found out: the server's log against the journal."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

__all__ = ["Bill", "Outcome", "bill", "bought_again", "replies"]


@dataclass(frozen=True)
class Outcome:
    """What one ordeal left behind."""

    name: str
    steps: int
    same: bool
    """Every step's result equals that of an undisturbed run."""
    bought_again: int
    """Requests that the server admitted for a step whose reply was in the journal by then."""
    settled: Decimal
    unsettled: Decimal
    charged: Decimal
    """The server's own count, at the same prices."""

    @property
    def bracketed(self) -> bool:
        """The server's count lies between what is settled and settled plus unsettled."""
        return self.settled <= self.charged <= self.settled + self.unsettled

    @property
    def right(self) -> bool:
        """Whether everything is as it must be."""
        return self.same and self.bracketed and self.bought_again == 0


@dataclass(frozen=True)
class Bill:
    """What a journal says was spent, in dollars."""

    settled: Decimal
    unsettled: Decimal


def bill(journal: Path) -> Bill:
    """Add up the reservations of a journal that nobody writes."""
    sums = dict(
        rows(journal, "SELECT state, SUM(COALESCE(settled_nano, worst_nano)) FROM reservations GROUP BY state")
    )
    # What a killed driver left reserved counts as unsettled from the next start on.
    unsettled = int(str(sums.get("unsettled", 0))) + int(str(sums.get("reserved", 0)))
    return Bill(Decimal(int(str(sums.get("settled", 0)))) / 10**9, Decimal(unsettled) / 10**9)


def replies(journal: Path) -> dict[str, tuple[str, ...]]:
    """Text, end, tokens and dollars of every journaled reply, by key."""
    found: dict[str, tuple[str, ...]] = {}
    for key, text in rows(journal, "SELECT key, reply FROM replies"):
        reply = json.loads(str(text))
        found[str(key)] = tuple(str(reply[name]) for name in ("text", "stop_reason", "usage", "usd", "model"))
    return found


def bought_again(log: Path, journal: Path) -> int:
    """Requests that the server admitted although their reply was in the journal.

    The log names a request by problem, sample, turn and a digest of what was asked, the journal by problem, sample
    and turn. One that was cut is asked for again with a larger cap, under the same name: the n-th digest of a name
    is its n-th row, as each is journaled before the next is asked.

    Raises:
        RuntimeError: the two do not speak of the same run.
    """
    journaled: dict[str, list[float]] = defaultdict(list)
    for problem, sample, turn, created in rows(
        journal, "SELECT problem, sample, turn, created FROM replies ORDER BY created"
    ):
        journaled[f"{problem};{sample};{turn}"].append(float(str(created)))
    admitted: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with log.open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if line["event"] == "admitted":
                admitted[line["step"].split("|", 1)[0]][line["step"]].append(line["at"])
    if unknown := journaled.keys() - admitted.keys():
        raise RuntimeError(f"the server's log knows nothing of {min(unknown)}, which is journaled")
    again = 0
    for name, asked in admitted.items():
        known = dict(enumerate(journaled.get(name, [])))
        for number, times in enumerate(sorted(asked.values(), key=min)):
            again += sum(number in known and at > known[number] for at in times)
    return again


def rows(journal: Path, query: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    with closing(sqlite3.connect(journal)) as connection:
        return list(connection.execute(query))
