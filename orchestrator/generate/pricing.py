"""Looks a model's price up in the snapshot that ships with genai-prices; never asks the network."""

from __future__ import annotations

import math
import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from orchestrator.core.prices import GpuTimePrice, Price, Rates, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

    from orchestrator.config.schema import PriceConfig

__all__ = ["UnknownPrice", "configured_price", "gpu_time_price", "look_up_price"]

_BATCH_FACTOR = Decimal("0.5")

# Anthropic's documentation of prices, as of mid 2026: where a request or its workspace asks for inference in the
# United States only, every token of the models from Claude 4.6 on costs a tenth more. The library has
# no such price.
_US_FACTOR = Decimal("1.1")
_NOT_BY_PLACE = re.compile(r"claude-(v?[123]\b|instant|(opus|sonnet|haiku)-4(-[015])?($|[-@]\d{8}|-latest))")


class UnknownPrice(LookupError):
    """No price is known for a model, so nothing may be bought from it."""

    def __init__(self, model: str, why: str) -> None:
        self.model = model
        super().__init__(
            f"no price is known for model {model!r} ({why}); name one with model.price.input_per_mtok and "
            "model.price.output_per_mtok (dollars per million tokens)"
        )


def look_up_price(model: str, when: datetime) -> Price:
    """The Anthropic price of ``model`` at the moment ``when`` (with a time zone), from the bundled snapshot.

    Raises:
        UnknownPrice: the snapshot has no such model, or lacks one of the rates that can be charged.
    """
    from importlib.metadata import version

    from genai_prices.data_snapshot import DataSnapshot

    if when.tzinfo is None:
        raise ValueError("a price is looked up at a moment with a time zone")
    snapshot = _bundled()
    assert isinstance(snapshot, DataSnapshot)
    source = f"genai-prices {version('genai-prices')}"
    try:
        _, info = snapshot.find_provider_model(model, None, "anthropic", None)
    except LookupError:
        raise UnknownPrice(model, f"not in {source}") from None
    standard = info.get_prices(when)
    # The library keeps batch prices as a variant; where a model has none, get_prices gives the standard rates
    # back, and the documented rule (half of everything) is applied to them.
    batch = info.get_prices(when, {"processing": "batch"})
    tiers = _tiers(model, standard)
    batch_tiers = _tiers(model, batch)
    if batch_tiers == tiers:
        batch_tiers = tuple(Tier(tier.above, tier.rates.scaled(_BATCH_FACTOR)) for tier in tiers)
    us_factor = Decimal(1) if _NOT_BY_PLACE.match(info.id) else _US_FACTOR
    return Price(tiers, batch_tiers, f"{source}, {info.id}, {when.date().isoformat()}", us_factor)


def configured_price(price: PriceConfig, model: str) -> Price:
    """The price that the configuration names.

    Raises:
        ValueError: a rate is negative or not a number.
    """
    values = {
        "input_per_mtok": price.input_per_mtok,
        "output_per_mtok": price.output_per_mtok,
        "cache_read_per_mtok": price.cache_read_per_mtok,
        "cache_write_per_mtok": price.cache_write_per_mtok,
    }
    for name, value in values.items():
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"model.price.{name}={value} of model {model!r} must be a number, 0 or more")
    exact = {name: Decimal(repr(value)) for name, value in values.items()}
    # A user who names two rates means "no discount and no surcharge for the cache", not "the cache is free".
    cache_read = exact["cache_read_per_mtok"] or exact["input_per_mtok"]
    cache_write = exact["cache_write_per_mtok"] or exact["input_per_mtok"]
    return Price.flat(
        Rates(exact["input_per_mtok"], exact["output_per_mtok"], cache_read, cache_write), "configuration"
    )


def gpu_time_price(usd_per_gpu_hour: float, source: str = "model.usd_per_gpu_hour") -> GpuTimePrice:
    """The price of a server on a card.

    Raises:
        ValueError: the rate is negative or not a number.
    """
    if not math.isfinite(usd_per_gpu_hour) or usd_per_gpu_hour < 0:
        raise ValueError(f"model.usd_per_gpu_hour={usd_per_gpu_hour} must be a number, 0 or more")
    return GpuTimePrice(Decimal(repr(usd_per_gpu_hour)), source)


def _bundled() -> object:
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    # Not get_snapshot(): another package in this process may have installed one that updates itself.
    return DataSnapshot(providers=providers, from_auto_update=False)


def _tiers(model: str, price: ModelPrice) -> tuple[Tier, ...]:
    bounds = {-1}
    for name in ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"):
        bounds |= {tier.start for tier in getattr(getattr(price, name), "tiers", ())}
    return tuple(Tier(bound, _rates(model, price, bound)) for bound in sorted(bounds))


def _rates(model: str, price: ModelPrice, above: int) -> Rates:
    base = {name: _at(getattr(price, f"{name}_mtok"), above) for name in ("input", "output")}
    missing = [name for name, value in base.items() if value is None]
    if missing:
        raise UnknownPrice(model, f"genai-prices has no {' and no '.join(missing)} rate for it")
    given = {name: value for name, value in base.items() if value is not None}
    cache_read = _at(price.cache_read_mtok, above)
    cache_write = _at(price.cache_write_mtok, above)
    return Rates(
        input=given["input"],
        output=given["output"],
        cache_read=given["input"] if cache_read is None else cache_read,
        cache_write=given["input"] if cache_write is None else cache_write,
    )


def _at(value: Any, above: int) -> Decimal | None:
    """``value`` (a Decimal, tiered prices or None) for requests with more than ``above`` input tokens."""
    if value is None or isinstance(value, Decimal):
        return value
    held: Decimal = value.base
    for tier in value.tiers:
        if above >= tier.start:
            held = tier.price
    return held
