"""From the referee's rounds to times with intervals, and to what is reported of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.execute.gpu.nvml import THROTTLED, Sample

__all__ = ["Interval", "Round", "Timing", "drop_throttled", "roofline", "throttle_names", "time_rounds"]

_RESAMPLES: Final = 2000
_SAME: Final = 0.02
"""Programs whose times differ by less than this share are called the same: the spread of one program's medians."""
_SCATTER_S: Final = 40e-6
"""By how much the times of one program differ from one process to the next, either way, whatever its length: of
ten judgings of a 1.5 ms program on an H200 nine lay within 22 us of the median and one 53 us below. Rounds within a
process do not show it."""
_MOST_DROPPED: Final = 0.5
"""If more than this share of the rounds is throttled, that is how the card runs: all are kept."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round, in seconds on the referee's clock."""

    at: float
    """When it began (time.monotonic())."""
    touch_s: float
    reference_s: float
    candidate_s: float

    @property
    def end(self) -> float:
        """When its calls were over, at the latest."""
        return self.at + 2 * (self.touch_s + self.reference_s + self.candidate_s)


@dataclass(frozen=True, slots=True)
class Interval:
    """A median with its 95% bootstrap interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of a program and its reference, the cost of an empty call subtracted."""

    candidate: Interval
    reference: Interval
    comparison: str
    """``faster``, ``same``, ``slower`` or ``ambiguous`` against the reference."""
    overhead_s: float
    """What an empty call takes: subtracted from both."""
    resolution_s: float
    """Half the middle spread of empty calls: nothing shorter can be told from nothing."""


def drop_throttled(rounds: Sequence[Round], samples: Sequence[Sample]) -> tuple[list[Round], int]:
    """The rounds during which the card was not throttled, and how many were left out."""
    slow = [s.at for s in samples if s.throttle]
    kept = [r for r in rounds if not any(r.at <= at <= r.end for at in slow)]
    dropped = len(rounds) - len(kept)
    if dropped > _MOST_DROPPED * len(rounds):
        return list(rounds), 0
    return kept, dropped


def throttle_names(samples: Sequence[Sample]) -> str:
    """Reasons seen in any sample, joined by commas; empty for none."""
    seen = 0
    for sample in samples:
        seen |= sample.throttle
    return ", ".join(name for bit, name in THROTTLED.items() if seen & bit)


def time_rounds(rounds: Sequence[Round], offset_s: float = 0.0, seed: int = 0) -> Timing:
    """Medians over rounds, bootstrap intervals from resampled rounds, and the comparison.

    Args:
        rounds: those that count.
        offset_s: by how much an empty call of the candidate's process takes longer than one of the reference's,
            which is what the rounds' touches are.
        seed: of the resampling.

    Raises:
        ValueError: without rounds.
    """
    if not rounds:
        raise ValueError("no rounds")
    data = np.array([[r.touch_s, r.reference_s, r.candidate_s] for r in rounds])
    touch = float(np.median(data[:, 0]))
    low, high = np.percentile(data[:, 0], [25, 75])
    resolution = max(float(high - low) / 2, 1e-9)
    rng = np.random.default_rng(seed)
    # Whole rounds are resampled, so that what disturbs a round's three calls together stays together.
    picks = rng.integers(0, len(rounds), size=(_RESAMPLES, len(rounds)))
    medians = np.median(data[picks], axis=1)
    empty, reference, candidate = (
        medians[:, 0],
        medians[:, 1] - medians[:, 0],
        medians[:, 2] - medians[:, 0] - offset_s,
    )
    own = _interval(float(np.median(data[:, 2])) - touch - offset_s, candidate, resolution)
    theirs = _interval(float(np.median(data[:, 1])) - touch, reference, resolution)
    ratio = np.maximum(reference, resolution) / np.maximum(candidate, resolution)
    return Timing(
        own, theirs, _compare(ratio, _SAME + _SCATTER_S / theirs.median), float(np.median(empty)), resolution
    )


def _interval(median: float, resampled: NDArray[np.float64], resolution: float) -> Interval:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(max(median, resolution), max(float(low), resolution), max(float(high), resolution))


def _compare(ratio: NDArray[np.float64], margin: float) -> str:
    """Speedups over the reference, resampled, to a word; ``margin`` is the share within which two are the same."""
    low, high = (float(x) for x in np.percentile(ratio, [2.5, 97.5]))
    if low > 1 + margin:
        return "faster"
    if high < 1 - margin:
        return "slower"
    if low > 1 - margin and high < 1 + margin:
        return "same"
    return "ambiguous"


def roofline(seconds: float, moved: int, flops: int, bytes_per_s: float, flops_per_s: float) -> tuple[float, str]:
    """Share of the binding ceiling that a time attains, and which ceiling binds (``memory`` or ``compute``).

    Args:
        seconds: of one call.
        moved: least bytes that must cross the memory bus.
        flops: least operations.
        bytes_per_s: measured copy bandwidth.
        flops_per_s: measured rate of a large matrix product in the same dtype.
    """
    memory_s, compute_s = moved / bytes_per_s, flops / flops_per_s
    bound = "memory" if memory_s >= compute_s else "compute"
    return max(memory_s, compute_s) / seconds, bound
