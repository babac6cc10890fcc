"""Costs by hand."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.benefit import benefit_table
from orchestrator.core.cost import (
    assumptions,
    break_even,
    break_even_calls,
    cell_cost,
    hourly_rates,
    monthly_fixed,
    pareto_front,
)
from orchestrator.core.findings import Evidence
from orchestrator.core.summary import summarise

CARD = {
    "name": "card",
    "purchase_usd": 500.0,
    "resale_usd": 140.0,
    "rent_usd_per_hour": 0.36,
    "power_w": 200.0,
    "source": "a shop, 2026-01-02",
}
RATES = {
    "name": "r",
    "mode": "auto",
    "useful_years": 3.0,
    "utilisation": 0.25,
    "usd_per_kwh": 0.2,
    "problems_per_month": 100.0,
}


def rows(cell: str, passed: int, failed: int, system: str = "hybrid", **more: Any) -> list[dict[str, Any]]:
    verdicts = ["passed"] * passed + ["error"] * failed
    return [
        {"cell": cell, "system": system, "problem": f"p{i}", "verdict": v, "hardware": "card", **more}
        for i, v in enumerate(verdicts)
    ]


def test_owned_hour_is_depreciation_over_used_hours_and_energy() -> None:
    hourly = hourly_rates(CARD, {**RATES, "mode": "owned"})
    assert hourly.energy == pytest.approx(0.04)
    assert hourly.owned == pytest.approx(360 / (3 * 8766 * 0.25) + 0.04)
    assert hourly.chosen == hourly.owned
    assert hourly.formula == (
        "card: ($500 price - $140 resale) / (3 years x 8,766 h x 25% use) + 0.200 kW x $0.2/kWh = $0.0948/h owned"
    )


def test_auto_takes_rent_where_there_is_one() -> None:
    assert hourly_rates(CARD, RATES).chosen == 0.36
    without = {k: v for k, v in CARD.items() if k != "rent_usd_per_hour"}
    assert hourly_rates(without, RATES).mode == "owned"
    unpriced = hourly_rates({"name": "local"}, RATES)
    assert (unpriced.chosen, unpriced.mode) == (None, "unknown")
    assert "no owned price" in unpriced.formula


def test_power_unknown_leaves_the_owned_price_unknown() -> None:
    card = {k: v for k, v in CARD.items() if k not in ("power_w", "rent_usd_per_hour")}
    assert hourly_rates(card, RATES).owned is None


def test_cell_cost_adds_up_and_charges_failures() -> None:
    found = summarise(rows("c", 3, 1, model="m", api_usd=0.5, lease_s=90.0), [])
    cost = cell_cost(found.cells[0], hourly_rates(CARD, RATES))
    assert cost.execution_usd == pytest.approx(360 / 3600 * 0.36)
    assert cost.total == pytest.approx(2.036)
    assert cost.per_problem == pytest.approx(2.036 / 4)
    assert cost.per_solved == pytest.approx(2.036 / 3)
    # Rented: whoever lets it pays for what it draws.
    assert cost.energy_usd is None
    assert cost.formula == "$2.0000 API + 360.0 s leased / 3600 x $0.3600/h = $2.0360; / 3 passed"


def test_unknown_parts_leave_the_total_unknown_and_say_which() -> None:
    found = summarise(rows("c", 1, 0, model="m", lease_s=1.0), [])
    cost = cell_cost(found.cells[0], None)
    assert (cost.total, cost.per_solved) == (None, None)
    assert "the API price and the hardware's price unknown" in cost.formula


def test_a_system_without_a_model_buys_no_replies() -> None:
    found = summarise(rows("c", 1, 0, system="execute_only", lease_s=3600.0), [])
    cost = cell_cost(found.cells[0], hourly_rates(CARD, RATES))
    assert (cost.api_usd, cost.total) == (0.0, pytest.approx(0.36))


def test_of_an_owned_hour_energy_is_a_part() -> None:
    found = summarise(rows("c", 2, 0, model="m", api_usd=0.0, lease_s=1800.0), [])
    owned = hourly_rates(CARD, {**RATES, "mode": "owned"})
    assert owned.energy is not None
    cost = cell_cost(found.cells[0], owned)
    assert cost.energy_usd == pytest.approx(owned.energy)
    assert cost.execution_usd == pytest.approx(owned.owned)


def test_break_even_by_hand() -> None:
    renting, api = break_even(
        CARD, RATES, lease_s_per_solved=36.0, api_usd_per_solved=0.0, alternative_usd_per_solved=0.01
    )
    fixed = 360 / 36
    assert monthly_fixed(CARD, RATES) == pytest.approx(fixed)
    assert (renting.against, api.against) == ("renting", "API only")
    assert renting.solved_per_month == pytest.approx(fixed / ((0.36 - 0.04) * 0.01))
    assert api.solved_per_month == pytest.approx(fixed / (0.01 - 0.04 * 0.01))
    assert renting.formula == ("$10.00/month owned / (($0.3600 rent - $0.0400 energy) an hour x 36.000 s / 3600)")
    assert api.formula == (
        "$10.00/month owned / ($0.01000 API only - $0.00000 API beside the card - $0.0004000 energy)"
    )


def test_break_even_may_never_come() -> None:
    found = break_even(
        CARD, RATES, lease_s_per_solved=36.0, api_usd_per_solved=0.02, alternative_usd_per_solved=0.01
    )
    assert found[1].solved_per_month is None
    assert break_even({"name": "x"}, RATES, lease_s_per_solved=1.0) == []
    assert break_even(CARD, RATES, lease_s_per_solved=None) == []
    # An hour that costs as much in energy as in rent saves nothing.
    (renting,) = break_even(
        CARD | {"power_w": 100.0, "rent_usd_per_hour": 0.05}, RATES | {"usd_per_kwh": 0.5}, lease_s_per_solved=1.0
    )
    assert renting.solved_per_month is None


def test_a_card_does_not_pay_for_itself_with_more_than_it_can_do() -> None:
    # Ten minutes a problem leave room for 4,383 in a month; saving a tenth of a cent on each needs 10,000.
    (_, api) = break_even(
        CARD, RATES, lease_s_per_solved=600.0, api_usd_per_solved=0.0,
        alternative_usd_per_solved=0.001 + 0.04 / 6,
    )  # fmt: skip
    assert api.solved_per_month is None
    assert api.formula.endswith("= 10,000, and a month has hours for 4,383")


def test_at_break_even_both_cost_the_same() -> None:
    (renting,) = break_even(CARD, RATES, lease_s_per_solved=50.0)
    n = renting.solved_per_month
    assert n is not None
    hours = n * 50.0 / 3600
    assert (monthly_fixed(CARD, RATES) or 0) + hours * 0.04 == pytest.approx(hours * 0.36)


def test_break_even_calls_by_hand() -> None:
    row = {"verdict": "passed", "gpu_time_s": 1.0, "gpu_reference_time_s": 2.0, "api_usd": 0.05}
    rows = [
        row,
        row | {"gpu_time_s": 3.0},
        row | {"gpu_time_s": 2.0},
        row | {"verdict": "error"},
        row | {"api_usd": None},
        row | {"synthetic": True},
        row | {"gpu_time_s": None},
    ]
    # One second saved is a hundredth of a cent at $0.36 an hour.
    assert break_even_calls(rows, 0.36) == [pytest.approx(500.0)]
    assert break_even_calls(rows, None) == []


def test_pareto_front() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.9), (3.0, 0.9), (4.0, 0.95), (1.0, 0.3)]
    assert pareto_front(points) == [(1.0, 0.5), (2.0, 0.9), (4.0, 0.95)]
    assert pareto_front([]) == []


def test_every_assumption_is_listed_with_its_source() -> None:
    price = {"model": "m", "input_per_mtok": 3.0, "output_per_mtok": 15.0, "source": "list, 2026-01-01"}
    found = {a.key: a for a in assumptions([CARD], RATES, [price])}
    assert found["price of m"].value == "input $3, output $15 per million tokens"
    assert found["price of m"].source == "list, 2026-01-01"
    assert found["hardware.card.purchase_usd"].value == "$500"
    assert found["hardware.card.power_w"].source == "a shop, 2026-01-02"
    assert set(found) >= {f"rates.{k}" for k in RATES if k != "name"}
    # What no key names was not assumed.
    assert assumptions([{"name": "local"}], {"usd_per_kwh": None}, []) == []


def test_table_2_is_computed_with_its_formula() -> None:
    asked = rows("a", 3, 1, system="generate_only", model="sonnet", api_usd=0.01, execute_s=0.5)
    both = rows("b", 4, 0, model="sonnet", api_usd=0.02, execute_s=1.0, turns=2, started_at=0.0, ended_at=10.0)
    found = [*asked, *both]
    evidence = Evidence(
        summarise(found, []), {"a": asked, "b": both}, {"a": [1.0, 3.0], "b": [2.0]}, {"card": CARD}, RATES
    )
    table = {(row.system, row.quantity): row for row in benefit_table(evidence)}
    cost = table["generate_only · sonnet", "cost"]
    assert (cost.claimed, cost.computed) == ("$150 a month of API", "$1.00 a month")
    assert cost.formula == "$0.01000 a problem x 100 problems a month ($150 would buy 15,000)"
    assert table["hybrid · sonnet", "cost"].computed == "$500 once and $2.00 a month"
    assert table["generate_only · sonnet", "time per iteration"].computed == "2 s"
    assert table["hybrid · sonnet", "time per iteration"].computed == "2.5 s"
    assert table["hybrid · sonnet", "scalability"].computed == "1,440 problems an hour"
    assert table["RTX 4060 only", "cost"].computed == "n/a"


def test_table_2_does_not_count_several_samples_as_so_many_problems() -> None:
    timed = rows("b", 4, 0, model="sonnet", started_at=0.0, ended_at=10.0)
    found = [*timed, *({**row, "sample": 1} for row in timed)]
    evidence = Evidence(summarise(found, []), {"b": found}, {}, {"card": CARD}, RATES)
    (scalability,) = [row for row in benefit_table(evidence) if row.quantity == "scalability"]
    assert scalability.computed == "2,880 tries at a problem an hour"


def test_table_2_has_no_throughput_of_trials_that_the_journal_answered() -> None:
    timed = rows("b", 4, 0, model="sonnet", started_at=0.0, ended_at=10.0)
    found = [*timed, {**timed[0], "problem": "p9", "started_at": None, "ended_at": None}]
    evidence = Evidence(summarise(found, []), {"b": found}, {}, {"card": CARD}, RATES)
    (scalability,) = [row for row in benefit_table(evidence) if row.quantity == "scalability"]
    assert scalability.computed == "n/a"
    assert scalability.formula == "the elapsed time of 1 of 5 trials is unknown, as after a resume"


def test_table_2_has_no_throughput_of_trials_that_took_no_time() -> None:
    found = rows("b", 1, 0, started_at=7.0, ended_at=7.0)
    evidence = Evidence(summarise(found, []), {"b": found}, {}, {"card": CARD}, RATES)
    (scalability,) = [row for row in benefit_table(evidence) if row.quantity == "scalability"]
    assert (scalability.computed, scalability.formula) == ("n/a", "the cell's elapsed time is unknown")


def test_table_2_without_prices_is_not_a_number() -> None:
    found = rows("a", 1, 0, system="execute_only", execute_s=0.6)
    evidence = Evidence(summarise(found, []), {"a": found}, {}, {"card": {"name": "card"}}, RATES)
    table = {(row.system, row.quantity): row for row in benefit_table(evidence)}
    assert table["execute_only", "cost"].computed == "n/a"
    assert table["execute_only", "time per iteration"].computed == "0.6 s"
    assert table["execute_only", "scalability"].computed == "n/a"


@pytest.mark.parametrize(
    ("system", "more", "card", "computed", "part"),
    [
        ("generate_only", {}, CARD, "n/a", "the API price per problem or rates.problems_per_month is unknown"),
        ("hybrid", {}, CARD, "n/a", "the API price per problem or rates.problems_per_month is unknown"),
        ("hybrid", {"api_usd": 0.0}, CARD, "$500 once and $0.00 a month", "$0.00000 a problem x 100 problems"),
        ("execute_only", {}, CARD, "$500 once", "hardware.card.purchase_usd; card: $0.3600/h rented"),
        # The article's $500 over three years is $13.89 a month: at 2 cents for each one solved, 694 of them.
        ("hybrid", {"api_usd": 0.02}, {}, "n/a", "$13.89 a month, which buys 694 solved problems"),
        ("hybrid", {}, {}, "n/a", "the article's $500 over 3 years is $13.89 a month"),
    ],
)
def test_table_2_costs_what_is_known(
    system: str, more: dict[str, Any], card: dict[str, Any], computed: str, part: str
) -> None:
    found = rows("a", 2, 0, system=system, model="m", **more)
    evidence = Evidence(summarise(found, []), {"a": found}, {}, {"card": card}, RATES)
    (cost,) = [r for r in benefit_table(evidence) if r.quantity == "cost" and r.system.startswith(system)]
    assert cost.computed == computed
    assert part in cost.formula
    # A reply for nothing, or of unknown price, is in no number of them for $150.
    assert "would buy" not in cost.formula


@pytest.mark.parametrize(
    ("system", "more", "replies", "computed"),
    [
        ("execute_only", {}, [], "n/a"),
        # A trial's executions took so long in all; one turn is a part of it.
        ("execute_only", {"execute_s": 3.0, "turns": 0}, [], "3 s"),
        ("hybrid", {"execute_s": 3.0, "turns": 2}, [], "n/a"),
        ("hybrid", {"execute_s": 3.0, "turns": 2}, [5.0], "6.5 s"),
        ("hybrid", {}, [5.0], "5 s"),
        ("generate_only", {"execute_s": 3.0}, [5.0, 7.0], "6 s"),
    ],
)
def test_table_2_times_what_was_timed(
    system: str, more: dict[str, Any], replies: list[float], computed: str
) -> None:
    found = rows("a", 2, 0, system=system, **more)
    evidence = Evidence(summarise(found, []), {"a": found}, {"a": replies}, {"card": CARD}, RATES)
    (row,) = [r for r in benefit_table(evidence) if r.quantity == "time per iteration"]
    assert row.computed == computed


def test_a_model_on_a_card_is_assumed_at_its_price_an_hour() -> None:
    price = {"model": "open-14b", "usd_per_gpu_hour": 0.36, "source": "model.usd_per_gpu_hour"}
    (assumed,) = assumptions([], {}, [price])
    assert (assumed.key, assumed.value) == ("price of open-14b", "$0.36 an hour that its server is busy")
    (unknown,) = assumptions([], {}, [{"model": "m"}])
    assert unknown.value == "unknown"
