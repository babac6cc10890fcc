"""The server's own books: what it was asked, what it answered and what it would have charged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.generation import Usage

__all__ = ["ServerCounts"]


@dataclass
class ServerCounts:
    """Totals since the server started."""

    requests: int = 0
    """HTTP requests for a message that arrived, refused ones included."""
    replies: int = 0
    """Messages sent to their last byte."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Requests answered with an error, by reason: ``limit_requests``, ``limit_input-tokens``,
    ``limit_output-tokens``, ``rate_limited`` (injected 429), ``overloaded``, ``server_error``,
    ``stream_error``, ``authentication``, ``permission``, ``spend_limit``, ``bad_request``, ``unknown_model``,
    ``unknown_batch``."""
    dropped: int = 0
    """Connections that the server cut."""
    stalled: int = 0
    """Connections on which the server fell silent."""
    abandoned: int = 0
    """Admitted requests whose client went away before the last byte."""
    in_flight: int = 0
    in_flight_peak: int = 0
    charged: Usage = field(default_factory=Usage)
    """Tokens of every admitted request, from the moment it is admitted: replies that are cut count too."""
    batch_charged: Usage = field(default_factory=Usage)
    """Tokens of batch entries that succeeded."""
    batches: int = 0
    batch_entries: dict[str, int] = field(default_factory=dict)
    """Entries of ended batches by result: ``succeeded``, ``errored``, ``expired``, ``canceled``."""
    kinds: dict[str, int] = field(default_factory=dict)
    """Admitted answers by kind, e.g. ``plain`` or ``off_by_one``; batch entries included."""
    repeated: int = 0
    """Replies (batch results included) to a step that had been answered in full before."""
    count_tokens: int = 0
    """Requests to count tokens."""

    @property
    def rejected_total(self) -> int:
        """All requests answered with an error."""
        return sum(self.rejected.values())

    @property
    def rejected_by_limits(self) -> int:
        """Requests that the token buckets turned away."""
        return sum(count for reason, count in self.rejected.items() if reason.startswith("limit_"))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, read back by :meth:`from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ServerCounts:
        """Read what :meth:`to_dict` made."""
        fields = dict(data)
        fields["charged"] = Usage(**fields["charged"])
        fields["batch_charged"] = Usage(**fields["batch_charged"])
        return cls(**fields)
