"""What the rehearsal server is told when it starts, as plain data that crosses to its process as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.config.schema import RehearsalConfig
from orchestrator.core.digests import digest

__all__ = ["FaultShares", "Refusal", "RehearsalSettings", "ServerLimits"]

Refusal = Literal["none", "authentication", "spend_limit", "permission", "bad_request"]
"""What every request is refused with: nothing, 401, 400 or 403."""

_ANSWERS_VERSION = 1
"""Raised whenever the same settings give other answers than before, so that old replies never stand for new."""

_REFUSALS = ("none", "authentication", "spend_limit", "permission", "bad_request")


@dataclass(frozen=True, slots=True)
class FaultShares:
    """Shares (0..1) of HTTP tries that are spoiled; disjoint, so their sum is at most 1."""

    rate_limited: float = 0.0
    """429 with ``retry-after``, whatever the buckets hold."""
    overloaded: float = 0.0
    """529."""
    server_error: float = 0.0
    """500."""
    dropped: float = 0.0
    """The connection is cut: in the middle of a stream, or before a plain reply. Its tokens are charged."""
    stalled: float = 0.0
    """Silence in the middle of a stream, or instead of a plain reply. Its tokens are charged."""
    stream_error: float = 0.0
    """An ``error`` event in the middle of a stream; plain replies are spared. Its tokens are charged."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Token buckets; None: no limit, and no header about it."""

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    """Uncached input and cache writes; cache reads do not count, as at the API."""
    output_tokens_per_minute: int | None = None
    bucket_s: float = 60.0
    """Seconds of the limit that a full bucket holds: how large a burst may be."""


@dataclass(frozen=True, slots=True)
class RehearsalSettings:
    """All that determines the server's behaviour.

    Answers, delays, token counts and faults are functions of these settings, the model and the request's id;
    only the buckets know of time.
    """

    problems: str = ""
    """Path of the problems file (see :mod:`orchestrator.generate.rehearsal.problems`)."""
    seed: int = 0
    broken_share: float = 0.2
    """Share of first answers that are wrong in some realistic way."""
    mend_share: float = 0.6
    """Chance that an answer to feedback is right."""
    endless_share: float = 0.005
    """Most of all answers that hold an endless loop; 0.01 at most, since each costs a whole time limit."""
    odd_share: float = 0.2
    """Share of right answers in an odd form: prose around the code, or several blocks."""
    thinking_share: float = 0.5
    """Share of replies that open with a thinking block where the request leaves it to the model."""
    paused_share: float = 0.0
    """Share of replies that stop half way with ``pause_turn`` and go on when they are sent back."""
    context_tokens: int = 200_000
    """Longer input is refused; a reply that would go beyond ends with ``model_context_window_exceeded``."""
    latency_low_s: float = 0.05
    latency_high_s: float = 0.4
    faults: FaultShares = field(default_factory=FaultShares)
    limits: ServerLimits = field(default_factory=ServerLimits)
    retry_after_s: float = 1.0
    """``retry-after`` of an injected 429."""
    stall_s: float = 3600.0
    """How long a stalled connection stays silent before it is cut."""
    chunk_characters: int = 240
    """Text in one event of a stream."""
    cache_minimum_tokens: int = 512
    """A marked prefix shorter than this is not cached, as at the API."""
    known_models: tuple[str, ...] | None = None
    """Any other model gets 404; None: every model is known."""
    api_key: str | None = None
    """The only key that is let in (any other gets 401); None: any key, or none."""
    refuse: Refusal = "none"
    refuse_after: int = 0
    """Requests that are served before ``refuse`` begins."""
    batch_delay_s: float = 2.0
    """From the creation of a batch until its last entry is done."""
    batch_expired_share: float = 0.0
    batch_errored_share: float = 0.0
    batch_most_requests: int = 100_000
    batch_state: str | None = None
    """File in which batches outlive the server; None: they end with it."""
    log: str | None = None
    """File that gets a line of JSON for each request that is admitted and each reply that is sent; it is added
    to, so that it holds the history over several servers. None: no file."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense.

        Raises:
            ValueError: names the key and the value.
        """
        shares = {
            "broken_share": self.broken_share,
            "mend_share": self.mend_share,
            "odd_share": self.odd_share,
            "thinking_share": self.thinking_share,
            "paused_share": self.paused_share,
            "batch_expired_share": self.batch_expired_share,
            "batch_errored_share": self.batch_errored_share,
            **{f"faults.{name}": value for name, value in dataclasses.asdict(self.faults).items()},
        }
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"rehearsal.{name} must lie between 0 and 1, not {share}.")
        if not 0.0 <= self.endless_share <= 0.01:
            raise ValueError(f"rehearsal.endless_share must lie between 0 and 0.01, not {self.endless_share}.")
        if sum(dataclasses.astuple(self.faults)) > 1.0:
            raise ValueError("The shares of rehearsal.faults add up to more than 1.")
        if self.batch_expired_share + self.batch_errored_share > 1.0:
            raise ValueError("The shares of expired and errored batch entries add up to more than 1.")
        if not (0.0 <= self.latency_low_s <= self.latency_high_s and math.isfinite(self.latency_high_s)):
            raise ValueError(
                "rehearsal.latency_low_s and latency_high_s must satisfy 0 <= low <= high, "
                f"not {self.latency_low_s} and {self.latency_high_s}."
            )
        for name, limit in (
            ("requests_per_minute", self.limits.requests_per_minute),
            ("input_tokens_per_minute", self.limits.input_tokens_per_minute),
            ("output_tokens_per_minute", self.limits.output_tokens_per_minute),
        ):
            if limit is not None and limit <= 0:
                raise ValueError(f"rehearsal.limits.{name} must be positive, not {limit}.")
        if self.limits.bucket_s <= 0:
            raise ValueError(f"limits.bucket_s must be positive, not {self.limits.bucket_s}.")
        if self.chunk_characters <= 0:
            raise ValueError(f"chunk_characters must be positive, not {self.chunk_characters}.")
        if self.refuse not in _REFUSALS:
            raise ValueError(f"refuse must be one of {', '.join(_REFUSALS)}, not {self.refuse!r}.")

    @classmethod
    def from_config(cls, config: RehearsalConfig, *, seed: int, problems: str, **changes: Any) -> RehearsalSettings:
        """Build settings from the ``rehearsal`` part of the configuration.

        Args:
            config: the part; its own ``seed`` wins over the run's.
            seed: the run's seed.
            problems: path of the problems file.
            changes: any other field of this class.

        Raises:
            ValueError: for a value that makes no sense.
        """
        return cls(
            problems=problems,
            seed=seed if config.seed is None else config.seed,
            broken_share=config.broken_share,
            mend_share=config.mend_share,
            latency_low_s=config.latency_low_s,
            latency_high_s=config.latency_high_s,
            faults=FaultShares(
                rate_limited=config.faults.rate_limited,
                overloaded=config.faults.overloaded,
                server_error=config.faults.server_error,
                dropped=config.faults.dropped,
                stalled=config.faults.stalled,
            ),
            limits=ServerLimits(
                requests_per_minute=config.limits.requests_per_minute,
                input_tokens_per_minute=config.limits.input_tokens_per_minute,
                output_tokens_per_minute=config.limits.output_tokens_per_minute,
            ),
            log=config.log,
            **changes,
        )

    def answer_digest(self) -> str:
        """SHA-256 over what determines the text and usage of answers, save the problems themselves.

        Two servers with the same digest and problems give the same answers, so their replies may stand in for
        each other in a journal. Delays, faults and limits are left out: they change when a reply comes, not
        what it says.
        """
        return digest(
            _ANSWERS_VERSION,
            self.seed,
            self.broken_share,
            self.mend_share,
            self.endless_share,
            self.odd_share,
            self.thinking_share,
            self.paused_share,
            self.context_tokens,
            self.cache_minimum_tokens,
        )

    def to_json(self) -> str:
        """One line of JSON, read back by :meth:`from_json`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RehearsalSettings:
        """Read what :meth:`to_json` wrote; fields may be missing.

        Raises:
            ValueError: not JSON, not an object, an unknown field, or a value that makes no sense.
        """
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("The settings must be a JSON object.")
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"Unknown rehearsal settings: {', '.join(unknown)}.")
        try:
            if "faults" in data:
                data["faults"] = FaultShares(**data["faults"])
            if "limits" in data:
                data["limits"] = ServerLimits(**data["limits"])
            if data.get("known_models") is not None:
                data["known_models"] = tuple(data["known_models"])
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"Rehearsal settings of the wrong shape: {error}.") from error
