"""What a reply costs, and the most that one can cost before it is known.

All arithmetic is :class:`~decimal.Decimal`: a hundred thousand replies of a hundredth of a cent each must add
up to the same sum in any order, and a budget is compared with that sum exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from orchestrator.core.generation import GenerationRequest, Usage

__all__ = ["GpuTimePrice", "Price", "Rates", "Tier", "input_tokens_upper_bound"]

_MTOK: Final = Decimal(1_000_000)
_SECONDS_PER_HOUR: Final = Decimal(3600)

# A byte-level tokenizer never makes more tokens than there are bytes. What a provider adds around the text
# (role markers, turn ends, instructions that go with thinking) is not in the text, so a round allowance is
# added for it. It is an allowance, not a measurement: at $2 a million tokens it holds back a tenth of a cent.
_TOKENS_PER_MESSAGE: Final = 16
_TOKENS_PER_REQUEST: Final = 512


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per million tokens, by class."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal

    def scaled(self, factor: Decimal) -> Rates:
        """The same rates times ``factor``."""
        return Rates(self.input * factor, self.output * factor, self.cache_read * factor, self.cache_write * factor)

    def cost(self, usage: Usage) -> Decimal:
        """Dollars for ``usage`` at these rates."""
        return (
            self.input * usage.input_tokens
            + self.output * usage.output_tokens
            + self.cache_read * usage.cache_read_tokens
            + self.cache_write * usage.cache_write_tokens
        ) / _MTOK


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates that hold for every token of a request whose total input is over ``above`` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """Token prices of one model, as they were when the run was planned."""

    tiers: tuple[Tier, ...]
    """Ascending; the first one's ``above`` is -1, so that one tier always holds."""
    batch_tiers: tuple[Tier, ...]
    """The same for Message Batches."""
    source: str
    """Where the numbers come from, with version: recorded with the run."""
    us_factor: Decimal = Decimal(1)
    """All rates are multiplied by this for a reply that was computed in the United States only. A workspace's own
    setting may ask for that, so it is known from the reply and not before."""

    def __post_init__(self) -> None:
        for tiers in (self.tiers, self.batch_tiers):
            bounds = [tier.above for tier in tiers]
            if not bounds or bounds[0] != -1 or bounds != sorted(set(bounds)):
                raise ValueError(f"price tiers must start at -1 and ascend, not {bounds}")

    @classmethod
    def flat(cls, rates: Rates, source: str, *, batch_factor: Decimal = Decimal("0.5")) -> Price:
        """One tier; batches at ``batch_factor`` times the standard rates."""
        return cls((Tier(-1, rates),), (Tier(-1, rates.scaled(batch_factor)),), source)

    def rates(self, total_input_tokens: int, *, batch: bool = False) -> Rates:
        """The rates for a request with so much input (uncached, read and written together)."""
        return _tier(self.batch_tiers if batch else self.tiers, total_input_tokens).rates

    def cost(self, usage: Usage, *, batch: bool = False, us_only: bool = False) -> Decimal:
        """Dollars for one reply. ``usage`` must be of one request: tiers go by its input."""
        total = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        usd = self.rates(total, batch=batch).cost(usage)
        return usd * self.us_factor if us_only else usd

    def worst_case(
        self, input_tokens_upper_bound: int, max_tokens: int, *, cached: bool = False, batch: bool = False
    ) -> Decimal:
        """The most that one reply can cost.

        Args:
            input_tokens_upper_bound: no fewer tokens than the request really has.
            max_tokens: the request's cap on output (thinking included).
            cached: the request asks for caching, so input may be billed as written to the cache.
            batch: at the batch price.

        Every tier that the input can reach is tried, since the bound may lie in a dearer or cheaper tier than
        the real count, and the place is taken to be the dearer one.
        """
        tiers = self.batch_tiers if batch else self.tiers
        worst = Decimal(0)
        for number, tier in enumerate(tiers):
            if tier.above >= input_tokens_upper_bound:
                break
            top = tiers[number + 1].above if number + 1 < len(tiers) else input_tokens_upper_bound
            rate = tier.rates.input
            if cached:
                rate = max(rate, tier.rates.cache_write, tier.rates.cache_read)
            tokens = min(top, input_tokens_upper_bound)
            worst = max(worst, (rate * tokens + tier.rates.output * max_tokens) / _MTOK)
        return worst * max(self.us_factor, Decimal(1))


@dataclass(frozen=True, slots=True)
class GpuTimePrice:
    """A model on one's own or a rented card: replies are priced at the seconds that the server was busy."""

    usd_per_hour: Decimal
    source: str

    def cost(self, busy_s: float) -> Decimal:
        """Dollars for so many seconds of the server (a request's own share of them)."""
        return self.usd_per_hour * Decimal(repr(busy_s)) / _SECONDS_PER_HOUR

    def worst_case(self, deadline_s: float) -> Decimal:
        """The most that one reply can cost: the server to itself until the deadline."""
        return self.cost(deadline_s)


def input_tokens_upper_bound(request: GenerationRequest) -> int:
    """A number of input tokens that ``request`` surely does not exceed, without asking the provider."""
    texts = [message.text for message in request.messages]
    text = sum(len(part.encode("utf-8", "surrogatepass")) for part in (request.system, *texts))
    return text + _TOKENS_PER_MESSAGE * (len(request.messages) + 1) + _TOKENS_PER_REQUEST


def _tier(tiers: Sequence[Tier], total_input_tokens: int) -> Tier:
    held = tiers[0]
    for tier in tiers:
        if total_input_tokens > tier.above:
            held = tier
    return held
