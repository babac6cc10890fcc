"""What is said before and after the table."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

import pytest
from rich.console import Console

from orchestrator.core.money import AccountRef
from orchestrator.driver.notes import announce, closing_notes
from orchestrator.driver.record import make_record, write_record
from orchestrator.journal.store import Journal
from orchestrator.ledger import Ledger
from orchestrator.plan import load_plan
from orchestrator.plan.model import Plan


def said(plan: Plan) -> str:
    console = Console(file=io.StringIO(), width=200, record=True)
    announce(plan, console)
    return console.export_text()


def test_an_identical_run_is_offered_only_where_it_had_begun_to_work(in_folder: object) -> None:
    words = ["limit=1", "model=rehearsal", "system=generate_only"]
    earlier = load_plan(words)
    write_record(earlier, make_record(earlier) | {"status": "failed"})
    again = replace(load_plan(words), run_dir=earlier.run_dir.with_name("again"))
    assert "resume=" not in said(again), "it has no journal"
    assert "1 cell, 1 trial, files in" in said(again)

    async def check() -> None:
        journal = Journal(earlier.run_dir / "journal.sqlite", "failed")
        assert "resume=" not in said(again), "it failed before its first step"
        account = AccountRef("cell", "trial", synthetic=True)
        await journal.put_reservation(key="key", account=account, worst_usd=Decimal(1))
        assert "begun and not finished" in said(again), "also while somebody writes to it"
        journal.close()

    asyncio.run(check())
    assert f"resume=runs/{earlier.run_dir.name}" in said(again)
    write_record(earlier, make_record(earlier) | {"status": "done"})
    assert "resume=" not in said(again)


@pytest.mark.parametrize(("usd", "told"), [("10.0", "$10"), ("1E+3", "$1000"), ("0.091252", "$0.091252")])
def test_the_budget_is_written_as_it_was_given(usd: str, told: str) -> None:
    class Promises:
        async def put_reservation(self, *, key: str, account: AccountRef, worst_usd: Decimal) -> int:
            return 1

    async def check() -> list[str]:
        ledger = Ledger(Promises(), usd=Decimal(usd))  # type: ignore[arg-type]
        account = AccountRef("cell", "trial", synthetic=True)
        number = await ledger.reserve(key="key", worst_usd=Decimal("0.02"), account=account)
        ledger.settle(number, Decimal("0.0118"))
        return closing_notes([], ledger, SimpleNamespace(from_cache=0))  # type: ignore[arg-type]

    assert asyncio.run(check()) == [f"spent 0.0118 synthetic dollars of a budget of {told}"]
