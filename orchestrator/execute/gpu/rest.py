"""A card comes back to rest after what ran on it, or is not used any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["SLACK_BYTES", "CardQuarantined", "wait_for_rest"]

_PATIENCE_S: Final = 20.0
"""A card that has not given a dead program's memory back after this long is quarantined."""
SLACK_BYTES: Final = 96 << 20
"""By which device-wide memory may differ between two looks with nothing running."""


class CardQuarantined(RuntimeError):
    """The card does not come back to rest; nothing more must be judged on it."""


def wait_for_rest(in_use: Callable[[], str], meanwhile: Callable[[], None], after: str) -> None:
    """Look until the card is at rest, doing ``meanwhile`` between two looks.

    Args:
        in_use: what of the card is still in use, in words; empty at rest.
        meanwhile: waits a little.
        after: what ran, for the message.

    Raises:
        CardQuarantined: it does not come to rest.
    """
    limit = time.monotonic() + _PATIENCE_S
    while left := in_use():
        if time.monotonic() > limit:
            raise CardQuarantined(f"{left} {_PATIENCE_S:.0f} s after {after}")
        meanwhile()
