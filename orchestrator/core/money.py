"""Who a dollar is charged to, and what happens when there are none left."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["AccountRef", "BudgetExhausted"]


@dataclass(frozen=True, slots=True)
class AccountRef:
    """Who pays for a reply: budgets exist for the run, for each cell and for each trial."""

    cell: str
    trial: str
    synthetic: bool
    """Synthetic dollars (no model was called) are counted in a ledger of their own."""


class BudgetExhausted(Exception):
    """The worst case of a request does not fit into what is left, and nothing in flight can free any.

    The step, and every later one that costs as much, becomes ``not_run``; a larger budget resumes it.
    """

    def __init__(self, message: str, key: str = "budget.usd", needed: Decimal = Decimal(0)) -> None:
        """Name what is too small.

        Args:
            message: one sentence.
            key: the configuration key of the budget that is too small.
            needed: dollars that it would have to be for this one step.
        """
        super().__init__(message)
        self.key, self.needed = key, needed
