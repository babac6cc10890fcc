from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import genai_prices.data
import pytest
from genai_prices.types import ModelPrice

from orchestrator.config.schema import PriceConfig
from orchestrator.core.generation import Usage
from orchestrator.generate.pricing import UnknownPrice, configured_price, gpu_time_price, look_up_price

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MODELS = ("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-4-5", "claude-sonnet-4-6")
USAGES = (Usage(500, 300), Usage(100, 300, 2000, 700), Usage(90_000, 10, 20_000, 0), Usage(1, 1, 1, 250_000))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("when", [NOW, datetime(2026, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("usage", USAGES)
def test_cost_is_what_the_library_computes(model: str, when: datetime, usage: Usage) -> None:
    total = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=total,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        ),
        model,
        provider_id="anthropic",
        genai_request_timestamp=when,
    )
    assert look_up_price(model, when).cost(usage) == theirs.total_price


@pytest.mark.parametrize("model", MODELS)
def test_batches_cost_half(model: str) -> None:
    for when in (NOW, datetime(2026, 1, 1, tzinfo=UTC)):
        price = look_up_price(model, when)
        for usage in USAGES:
            assert price.cost(usage, batch=True) * 2 == price.cost(usage)


def test_models_that_can_be_kept_in_one_country_cost_more_there() -> None:
    usage = Usage(1000, 100, 10, 1)
    for model in ("claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-4-6", "claude-sonnet-4-6"):
        price = look_up_price(model, NOW)
        assert price.cost(usage, us_only=True) == price.cost(usage) * Decimal("1.1"), model
    for model in ("claude-sonnet-4-5", "claude-haiku-4-5-20251001", "claude-opus-4-1", "claude-3-haiku"):
        price = look_up_price(model, NOW)
        assert price.cost(usage, us_only=True) == price.cost(usage), model


def test_a_price_that_changed_is_the_one_of_its_day() -> None:
    long = Usage(250_000, 1000)
    before = look_up_price("claude-sonnet-4-6", datetime(2026, 3, 12, tzinfo=UTC)).cost(long)
    after = look_up_price("claude-sonnet-4-6", datetime(2026, 3, 13, tzinfo=UTC)).cost(long)
    assert before > after


def test_the_source_names_version_model_and_day() -> None:
    source = look_up_price("claude-sonnet-5-5-20261001", NOW).source
    assert source.startswith("genai-prices ")
    assert "claude-sonnet-5-5" in source
    assert "2026-11-01" in source


def test_an_unknown_model_says_what_to_do() -> None:
    with pytest.raises(UnknownPrice, match=r"'gpt-9'.*model\.price\.input_per_mtok"):
        look_up_price("gpt-9", NOW)


def test_a_model_without_a_rate_that_is_charged_has_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = next(p for p in genai_prices.data.providers if p.id == "anthropic")
    model = next(m for m in provider.models if m.id == "claude-2")
    half = replace(model, prices=ModelPrice(input_mtok=Decimal(8)))
    monkeypatch.setattr(genai_prices.data, "providers", [replace(provider, models=[half])])
    with pytest.raises(UnknownPrice, match=r"'claude-2'.* has no output rate"):
        look_up_price("claude-2", NOW)


def test_a_model_without_rates_for_the_cache_pays_for_it_as_for_input() -> None:
    price = look_up_price("claude-2", NOW)
    assert price.cost(Usage(0, 0, 10, 10)) == price.cost(Usage(20, 0)) > 0


def test_nothing_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a price was asked of the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert look_up_price("claude-opus-5-5", NOW).cost(Usage(1, 1)) > 0


def test_a_price_from_the_configuration() -> None:
    price = configured_price(PriceConfig(input_per_mtok=0.3, output_per_mtok=1.2), "mine")
    assert price.cost(Usage(1_000_000, 1_000_000, 1_000_000, 1_000_000)) == Decimal("0.3") * 3 + Decimal("1.2")
    cached = PriceConfig(input_per_mtok=1.0, cache_read_per_mtok=0.1, cache_write_per_mtok=1.25)
    assert configured_price(cached, "mine").cost(Usage(0, 0, 1_000_000, 2_000_000)) == Decimal("2.6")
    assert configured_price(PriceConfig(), "free").cost(Usage(1, 1, 1, 1)) == 0
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"model\.price\.output_per_mtok"):
            configured_price(PriceConfig(output_per_mtok=bad), "mine")


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        look_up_price("claude-opus-5-5", datetime(2026, 1, 1))


def test_gpu_hours() -> None:
    assert gpu_time_price(0.36).cost(10.0) == Decimal("0.001")
    assert gpu_time_price(0.0).cost(10.0) == 0
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="usd_per_gpu_hour"):
            gpu_time_price(bad)
