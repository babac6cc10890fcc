from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.generation import GenerationRequest, Message, Usage
from orchestrator.core.prices import GpuTimePrice, Price, Rates, Tier, input_tokens_upper_bound


def rates(scale: str = "1") -> Rates:
    return Rates(Decimal(2), Decimal(10), Decimal("0.1"), Decimal("2.5")).scaled(Decimal(scale))


FLAT = Price.flat(rates(), "test")
TIERED = Price(
    (Tier(-1, rates()), Tier(100_000, rates("5"))), (Tier(-1, rates("0.5")), Tier(100_000, rates("2.5"))), "test"
)
# A tier may also be cheaper, as for very long prompts on some providers.
FALLING = Price((Tier(-1, rates("4")), Tier(1000, rates())), (Tier(-1, rates("2")),), "test")

PLACED = replace(TIERED, us_factor=Decimal("1.1"))

counts = st.integers(0, 300_000)
usages = st.builds(Usage, counts, counts, counts, counts)


def test_each_class_has_its_own_rate() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=100_000, cache_read_tokens=10_000, cache_write_tokens=1000)
    assert FLAT.cost(usage) == Decimal("2") + Decimal("1") + Decimal("0.001") + Decimal("0.0025")
    assert FLAT.cost(usage, batch=True) == FLAT.cost(usage) / 2


def test_a_tier_holds_for_every_token_and_goes_by_all_input() -> None:
    assert TIERED.cost(Usage(100_000, 10)) == rates().cost(Usage(100_000, 10))
    assert TIERED.cost(Usage(100_001, 10)) == rates("5").cost(Usage(100_001, 10))
    split = Usage(50_000, 10, 50_000, 1)
    assert TIERED.cost(split) == rates("5").cost(split)
    assert TIERED.cost(split, batch=True) == rates("2.5").cost(split)


@given(
    usages, st.sampled_from([FLAT, TIERED, FALLING, PLACED]), st.booleans(), st.integers(0, 50_000), st.booleans()
)
def test_the_worst_case_covers_every_reply(
    usage: Usage, price: Price, batch: bool, slack: int, us_only: bool
) -> None:
    total = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    worst = price.worst_case(total + slack, usage.output_tokens, cached=True, batch=batch)
    assert price.cost(usage, batch=batch, us_only=us_only) <= worst


def test_what_is_computed_in_one_country_costs_its_own_price() -> None:
    usage = Usage(1000, 100, 10, 1)
    assert PLACED.cost(usage) == TIERED.cost(usage) == TIERED.cost(usage, us_only=True)
    assert PLACED.cost(usage, us_only=True) == TIERED.cost(usage) * Decimal("1.1")


@given(counts, counts, st.sampled_from([FLAT, TIERED, FALLING]))
def test_without_caching_the_worst_case_is_plain_input(inputs: int, outputs: int, price: Price) -> None:
    usage = Usage(inputs, outputs)
    assert price.cost(usage) <= price.worst_case(inputs, outputs) <= price.worst_case(inputs, outputs, cached=True)


def test_a_worst_case_that_is_known_exactly_is_exact() -> None:
    assert FLAT.worst_case(1000, 100) == FLAT.cost(Usage(1000, 100))
    assert TIERED.worst_case(100_000, 100) == TIERED.cost(Usage(100_000, 100))
    assert TIERED.worst_case(100_001, 100) == TIERED.cost(Usage(100_001, 100))
    assert TIERED.worst_case(100_001, 100, batch=True) == TIERED.cost(Usage(100_001, 100), batch=True)
    # A dearer tier is never paid for more than it holds: $8 a million for the first 1,000, or $2 for all.
    assert FALLING.worst_case(2000, 0) == Decimal("0.008")
    assert FALLING.worst_case(5000, 0) == Decimal("0.01")
    assert FLAT.worst_case(0, 0) == 0


@pytest.mark.parametrize("bounds", [[], [0], [-1, -1], [-1, 5, 3]])
def test_tiers_that_make_no_sense_are_refused(bounds: list[int]) -> None:
    tiers = tuple(Tier(bound, rates()) for bound in bounds)
    with pytest.raises(ValueError, match="tiers"):
        Price(tiers, (Tier(-1, rates()),), "test")


def test_sums_do_not_depend_on_order() -> None:
    costs = [FLAT.cost(Usage(n, 3 * n)) for n in range(1000)]
    assert sum(costs) == sum(reversed(costs))


def test_gpu_time() -> None:
    price = GpuTimePrice(Decimal("1.8"), "test")
    assert price.cost(2.0) == Decimal("0.001")
    assert price.worst_case(600.0) == Decimal("0.3")


@given(st.text(max_size=200), st.lists(st.text(max_size=200), max_size=4))
def test_the_bound_on_input_covers_one_token_a_byte(system: str, texts: list[str]) -> None:
    request = GenerationRequest("p", "m", system, tuple(Message("user", text) for text in texts), 1)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in (system, *texts))
    assert input_tokens_upper_bound(request) >= size + 500
