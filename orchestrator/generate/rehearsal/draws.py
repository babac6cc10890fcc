"""Seeded draws: every choice of the server is a function of seed, model and request id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["RequestId", "draw", "pick", "pick_weighted"]

_T = TypeVar("_T")

_ID = re.compile(r"(?P<problem>[^;]+);(?P<sample>\d{1,9});(?P<turn>\d{1,9});(?P<attempt>\d{1,9})")


@dataclass(frozen=True, slots=True)
class RequestId:
    """``<problem id>;<sample>;<turn>;<attempt>``: who asks.

    ``attempt`` counts HTTP tries of one step from 0. Faults depend on it; the answer does not.
    """

    problem: str
    sample: int
    turn: int
    attempt: int = 0

    def __str__(self) -> str:
        return f"{self.problem};{self.sample};{self.turn};{self.attempt}"

    @property
    def step(self) -> str:
        """The id without its attempt: what the answer depends on."""
        return f"{self.problem};{self.sample};{self.turn}"

    @classmethod
    def parse(cls, text: str) -> RequestId:
        """Read an id.

        Raises:
            ValueError: not of this form.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not of the form <problem id>;<sample>;<turn>;<attempt>.")
        return cls(match["problem"], int(match["sample"]), int(match["turn"]), int(match["attempt"]))


def draw(*parts: str | int) -> float:
    """A number in [0, 1) that depends on ``parts`` alone and looks random in each of them."""
    text = "\x1f".join(map(str, parts))
    raw = hashlib.blake2b(text.encode(), digest_size=8).digest()
    # 53 bits are what a float holds exactly, so the result never rounds up to 1.
    return (int.from_bytes(raw, "big") >> 11) / (1 << 53)


def pick(options: Sequence[_T], *parts: str | int) -> _T:
    """One of ``options``, all equally likely."""
    return options[int(draw(*parts) * len(options))]


def pick_weighted(weights: Mapping[_T, float], *parts: str | int) -> _T:
    """One of the keys, each as likely as its weight says.

    Raises:
        ValueError: no weight is positive.
    """
    likely = [(key, weight) for key, weight in weights.items() if weight > 0]
    if not likely:
        raise ValueError("Nothing to pick from: no weight is positive.")
    point = draw(*parts) * sum(weight for _, weight in likely)
    for key, weight in likely:
        point -= weight
        if point < 0:
            return key
    # Rounding may leave the point at 0 after the last weight.
    return likely[-1][0]
