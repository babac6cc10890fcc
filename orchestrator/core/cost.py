"""What a result costs: API dollars, GPU dollars rented or owned, energy, and where owning pays.

Every figure comes with the formula that made it, numbers filled in, and every assumption with its key, value
and source, so that a reader can disagree with one and redo the sum. What is unknown stays None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.rows import Row, is_passed, number
from orchestrator.core.summary import CellSummary

__all__ = [
    "Assumption",
    "BreakEven",
    "CellCost",
    "Hourly",
    "assumptions",
    "break_even",
    "break_even_calls",
    "cell_cost",
    "hourly_rates",
    "monthly_fixed",
    "pareto_front",
]

HOURS_PER_YEAR = 8766.0
"""365.25 days."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """One number that was assumed rather than measured."""

    key: str
    """The configuration key that changes it, e.g. ``rates.utilisation``."""
    value: str
    source: str
    """Where it comes from, with a date where one is known."""


@dataclass(frozen=True, slots=True)
class Hourly:
    """Dollars of an hour of leased hardware; each is None where a number that it needs is unknown."""

    hardware: str
    rented: float | None
    owned: float | None
    """Depreciation over the hours that the card is used, and energy."""
    energy: float | None
    """The energy share of an owned hour alone."""
    chosen: float | None
    """What costs are computed with, by ``rates.mode``."""
    mode: str
    """``rented``, ``owned`` or ``unknown``."""
    formula: str


@dataclass(frozen=True, slots=True)
class CellCost:
    """A cell's dollars. ``total`` is None unless both parts are known."""

    api_usd: float | None
    execution_usd: float | None
    energy_usd: float | None
    """The energy in the hours that were leased, where the card is owned; part of ``execution_usd``."""
    total: float | None
    per_problem: float | None
    """``total`` over graded trials."""
    per_solved: float | None
    """``total`` over passed trials: failures are charged."""
    formula: str


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From how many solved problems a month an owned card is the cheaper one.

    None: at no number of problems, or at none that one card can do in a month.
    """

    against: str
    solved_per_month: float | None
    formula: str


def hourly_rates(hardware: Mapping[str, Any], rates: Mapping[str, Any]) -> Hourly:
    """Dollars an hour of one hardware class.

    Args:
        hardware: fields of ``HardwareConfig``.
        rates: fields of ``RatesConfig``. ``mode: auto`` takes the rented rate where one is known.
    """
    name = str(hardware.get("name") or "unknown")
    rented = number(hardware.get("rent_usd_per_hour"))
    price, resale = number(hardware.get("purchase_usd")), number(hardware.get("resale_usd"))
    power, tariff = number(hardware.get("power_w")), number(rates.get("usd_per_kwh"))
    years, use = number(rates.get("useful_years")), number(rates.get("utilisation"))
    energy = power / 1000 * tariff if power is not None and tariff is not None else None
    owned = None
    owned_formula = ""
    if price is not None and years and use and energy is not None:
        hours = years * HOURS_PER_YEAR * use
        owned = (price - (resale or 0.0)) / hours + energy
        owned_formula = (
            f"(${price:,.0f} price - ${resale or 0.0:,.0f} resale) / ({years:g} years x {HOURS_PER_YEAR:,.0f} h "
            f"x {use:.0%} use) + {(power or 0.0) / 1000:.3f} kW x ${tariff or 0.0:g}/kWh = ${owned:.4f}/h owned"
        )
    mode = str(rates.get("mode") or "auto")
    if mode == "auto":
        mode = "rented" if rented is not None else "owned"
    chosen = rented if mode == "rented" else owned
    if chosen is None:
        return Hourly(name, rented, owned, energy, None, "unknown", f"{name}: no {mode} price is configured")
    formula = f"${chosen:.4f}/h rented" if mode == "rented" else owned_formula
    return Hourly(name, rented, owned, energy, chosen, mode, f"{name}: {formula}")


def cell_cost(cell: CellSummary, hourly: Hourly | None) -> CellCost:
    """What a cell cost, API and execution together. Without a known rate the execution part is None."""
    execution = energy = None
    if hourly is not None and hourly.chosen is not None and cell.lease_s is not None:
        execution = cell.lease_s / 3600 * hourly.chosen
        if hourly.mode == "owned" and hourly.energy is not None:
            energy = cell.lease_s / 3600 * hourly.energy
    # A system that calls no model buys no replies; that is a known zero and not a missing price.
    api = 0.0 if cell.model is None and cell.api_usd is None else cell.api_usd
    total = None if api is None or execution is None else api + execution
    if total is None:
        missing = [
            name for name, part in (("the API price", api), ("the hardware's price", execution)) if part is None
        ]
        formula = f"not computed: {' and '.join(missing)} unknown"
    else:
        formula = (
            f"${api:.4f} API + {cell.lease_s or 0.0:,.1f} s leased / 3600 x "
            f"${hourly.chosen if hourly else 0.0:.4f}/h = ${total:.4f}; / {cell.passed} passed"
        )
    return CellCost(
        api_usd=api,
        execution_usd=execution,
        energy_usd=energy,
        total=total,
        per_problem=total / cell.graded if total is not None and cell.graded else None,
        per_solved=total / cell.passed if total is not None and cell.passed else None,
        formula=formula,
    )


def break_even(
    hardware: Mapping[str, Any],
    rates: Mapping[str, Any],
    *,
    lease_s_per_solved: float | None,
    api_usd_per_solved: float | None = None,
    alternative_usd_per_solved: float | None = None,
) -> list[BreakEven]:
    """From how many solved problems a month the card pays for itself.

    The card costs a fixed sum a month ((price - resale) / useful months) and energy for the seconds it works.
    All three figures are totals over solved problems, so failures are charged.

    Args:
        lease_s_per_solved: GPU seconds.
        api_usd_per_solved: API dollars of the system on the card.
        alternative_usd_per_solved: API dollars of the system without one.

    Returns:
        One entry against renting the same card and one against API-only, where the numbers are known.
    """
    hourly = hourly_rates(hardware, rates)
    fixed = monthly_fixed(hardware, rates)
    if fixed is None or lease_s_per_solved is None or hourly.energy is None:
        return []
    hours = lease_s_per_solved / 3600
    found = []
    if hourly.rented is not None:
        saved = (hourly.rented - hourly.energy) * hours
        formula = (
            f"${fixed:.2f}/month owned / ((${hourly.rented:.4f} rent - ${hourly.energy:.4f} energy) an hour x "
            f"{lease_s_per_solved:.3f} s / 3600)"
        )
        found.append(_reached("renting", fixed, saved, hours, formula))
    if alternative_usd_per_solved is not None and api_usd_per_solved is not None:
        energy = hourly.energy * hours
        saved = alternative_usd_per_solved - api_usd_per_solved - energy
        formula = (
            f"${fixed:.2f}/month owned / (${alternative_usd_per_solved:.5f} API only - ${api_usd_per_solved:.5f} "
            f"API beside the card - ${energy:.7f} energy)"
        )
        found.append(_reached("API only", fixed, saved, hours, formula))
    return found


def _reached(against: str, fixed: float, saved: float, hours: float, formula: str) -> BreakEven:
    """Where ``saved`` a solved problem makes up for ``fixed`` a month, if a card can do so many in a month."""
    if saved <= 0:
        return BreakEven(against, None, formula)
    needed, most = fixed / saved, HOURS_PER_YEAR / 12 / hours if hours > 0 else math.inf
    if needed > most:
        return BreakEven(against, None, f"{formula} = {needed:,.0f}, and a month has hours for {most:,.0f}")
    return BreakEven(against, needed, formula)


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, accuracy) that no other beats on both, by rising cost."""
    front: list[tuple[float, float]] = []
    best = -math.inf
    for cost, accuracy in sorted(points, key=lambda p: (p[0], -p[1])):
        if accuracy > best:
            front.append((cost, accuracy))
            best = accuracy
    return front


def assumptions(
    hardware: Sequence[Mapping[str, Any]], rates: Mapping[str, Any], prices: Sequence[Mapping[str, Any]]
) -> list[Assumption]:
    """Everything that was assumed and not measured, in the order of its configuration keys."""
    found = []
    for price in prices:
        parts = [
            f"{kind} ${dollars:g}"
            for kind in ("input", "output", "cache_read", "cache_write")
            if (dollars := number(price.get(f"{kind}_per_mtok"))) is not None
        ]
        text = ", ".join(parts) + " per million tokens" if parts else "unknown"
        if (hourly := number(price.get("usd_per_gpu_hour"))) is not None:
            text = f"${hourly:g} an hour that its server is busy"
        found.append(Assumption(f"price of {price.get('model')}", text, str(price.get("source") or "not stated")))
    for card in hardware:
        source = str(card.get("source") or "not stated")
        for key, text in (
            ("purchase_usd", "${:g}"),
            ("resale_usd", "${:g}"),
            ("rent_usd_per_hour", "${:g} an hour"),
            ("power_w", "{:g} W"),
        ):
            amount = number(card.get(key))
            if amount is not None:
                found.append(Assumption(f"hardware.{card.get('name')}.{key}", text.format(amount), source))
    for key in ("mode", "useful_years", "utilisation", "usd_per_kwh", "problems_per_month"):
        if rates.get(key) is not None:
            found.append(Assumption(f"rates.{key}", f"{rates[key]}", f"rates={rates.get('name') or 'default'}"))
    return found


def break_even_calls(rows: Iterable[Row], usd_per_hour: float | None) -> list[float]:
    """After how many calls each faster program has paid for its own generation.

    That is what its replies cost over what one call saves against the GPU reference (seconds saved at the
    hardware's price). Programs that are wrong, no faster, synthetic or unpriced have none.
    """
    found = []
    for row in rows:
        time_s, reference_s = number(row.get("gpu_time_s")), number(row.get("gpu_reference_time_s"))
        usd = number(row.get("api_usd"))
        if not is_passed(row) or time_s is None or reference_s is None or usd is None or not usd_per_hour:
            continue
        saved = (reference_s - time_s) / 3600 * usd_per_hour
        if saved > 0 and not row.get("synthetic"):
            found.append(usd / saved)
    return found


def monthly_fixed(hardware: Mapping[str, Any], rates: Mapping[str, Any]) -> float | None:
    """Dollars a month of owning a card: price less resale over its useful months. None without a price."""
    price, years = number(hardware.get("purchase_usd")), number(rates.get("useful_years"))
    if price is None or not years:
        return None
    return (price - (number(hardware.get("resale_usd")) or 0.0)) / (years * 12)
