"""Who a dollar is charged to, and what happens when there are none left."""

from __future__ import annotations

from dataclasses import dataclass

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
