"""From the referee's rounds to times with intervals, and to what is reported of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.execute.gpu.nvml import THROTTLED, Sample

__all__ = [
    "Interval",
    "Quiet",
    "Round",
    "Timing",
    "drop_throttled",
    "quiet_of",
    "roofline",
    "throttle_names",
    "time_rounds",
]

_RESAMPLES: Final = 2000
_QUARTILE: Final = 25.0
"""A time is the lower quartile over rounds. What disturbs a call (the host's interrupts and neighbours, the switch
from one context to the other) only ever adds: of 66 judgings of a 1.5 ms program on an H200 lower quartiles
scattered with a standard deviation of 15 us, medians with 18 us."""
_SAME: Final = 0.02
"""Programs whose times differ by less than this share are called the same."""
_SCATTER_S: Final = 40e-6
"""By how much the times of one program differ from one process to the next, either way, whatever its length: of
102 judgings of two programs (1.5 and 5 ms) on an H200 all but four lay within it. Rounds within a process do not
show it."""
_SCATTERS: Final = 2.0
"""How many times the share by which a reference was off itself count as no difference."""
_MOST_MARGIN: Final = 0.25
"""However much a reference was off itself: that may have been the machine at a bad moment. Where the scatter is a
larger share of the reference's time than this, nothing is called the same."""
_DISTURBED: Final = 0.05
"""A reference that is slower beside a program than it was without by more than this share, and by more than the
scatter, has been slowed down by it."""
_MOST_DROPPED: Final = 0.5
"""If more than this share of the rounds is throttled, that is how the card runs: all are kept."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round, in seconds on the referee's clock."""

    at: float
    """When it began (time.monotonic())."""
    touch_s: float
    """An empty call of the reference's process."""
    reference_s: float
    candidate_s: float
    around_s: float
    """The referee's own part of the reference's call: what handing over and copying cost in this round."""

    @property
    def end(self) -> float:
        """When its calls were over, at the latest."""
        return self.at + 2 * (self.touch_s + self.reference_s + self.candidate_s)


@dataclass(frozen=True, slots=True)
class Quiet:
    """What was seen on this card for one problem at one size while no program could disturb it."""

    touch_s: float
    """An empty call, without the referee's own part."""
    reference_s: float
    """A call of the reference, likewise: the empty call is still in it."""
    reference_high_s: float
    """Its upper quartile: some references take longer on some inputs."""
    around_s: float
    """The referee's own part of a call."""

    def lowered_by(self, rounds: Sequence[Round]) -> Quiet:
        """This with what no program can make shorter as short as in these rounds of one, where that is shorter.

        Of the referee's own part no more is taken off than :func:`time_rounds` does: a program that holds the
        reference's handing over up would otherwise leave an empty call of less than nothing to all after it.
        """
        touch = float(np.percentile(_net(rounds, self.around_s + _SCATTER_S)[:, 0], _QUARTILE))
        around = float(np.percentile([r.around_s for r in rounds], _QUARTILE))
        return replace(self, touch_s=min(self.touch_s, max(touch, 0.0)), around_s=min(self.around_s, around))


@dataclass(frozen=True, slots=True)
class Interval:
    """A time with its 95% bootstrap interval."""

    value: float
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
    """What an empty call takes without the referee's own part: subtracted from both."""
    resolution_s: float
    """Half the middle spread of empty calls: nothing shorter can be told from nothing."""
    disturbed: bool = False
    """The reference was slowed down beside this program; its undisturbed time stands here instead."""

    @property
    def candidate_told(self) -> bool:
        """Whether the program's time says anything: where only it is too short for the clock, it is a bound."""
        return self.candidate.value > self.resolution_s or self.reference_told

    @property
    def reference_told(self) -> bool:
        """Whether the reference's time is longer than the clock needs."""
        return self.reference.value > self.resolution_s


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


def time_rounds(
    rounds: Sequence[Round],
    quiet: Quiet | None = None,
    *,
    slowed: float = 1.0,
    scatter: float = 0.0,
    seed: int = 0,
) -> Timing:
    """Lower quartiles over rounds, bootstrap intervals from resampled rounds, and the comparison.

    Every call is taken less the referee's own part of the reference's call in the same round: what handing over and
    copying cost at that moment, whoever is called. A candidate that makes its own handing over or copying last
    longer, by working before the word to go or after it said "done", is charged for the difference.

    Args:
        rounds: those that count.
        quiet: what was seen without a program. An empty call that was slower in these rounds was disturbed, perhaps
            by the candidate, and counts as the quiet one; of the referee's own part no more than the quiet one and
            the scatter is taken off; a reference that was slower than it ever is by itself counts as it was.
        slowed: how many times slower than at its best clock the card ran, as far as the card itself held it back:
            by so much a reference may be slower than without a program.
        scatter: the share by which the reference, judged as a program in processes of its own, was off itself.
            Programs that wait for the host many times in a call differ more from one process to the next than
            others: what differs by less than twice that share can't be told apart.
        seed: of the resampling.

    Raises:
        ValueError: without rounds.
    """
    if not rounds:
        raise ValueError("no rounds")
    data = _net(rounds, None if quiet is None else quiet.around_s + _SCATTER_S)
    low, high = np.percentile(data[:, 0], [25, 75])
    resolution = max(float(high - low) / 2, 1e-9)
    rng = np.random.default_rng(seed)
    # Whole rounds are resampled, so that what disturbs a round's three calls together stays together.
    picks = rng.integers(0, len(rounds), size=(_RESAMPLES, len(rounds)))
    found = np.vstack([np.percentile(data, _QUARTILE, axis=0), np.percentile(data[picks], _QUARTILE, axis=1)])
    empty = found[:, 0] if quiet is None else np.minimum(found[:, 0], quiet.touch_s)
    own = _interval(found[:, 2] - empty, resolution)
    theirs = _interval(found[:, 1] - empty, resolution)
    disturbed = False
    if quiet is not None:
        undisturbed = max(quiet.reference_s - float(empty[0]), resolution)
        longest = quiet.reference_high_s - float(empty[0])
        disturbed = theirs.value > longest * slowed * (1 + _DISTURBED) + _SCATTER_S
        if disturbed:
            theirs = Interval(undisturbed, undisturbed, undisturbed)
    reference = np.full(_RESAMPLES, theirs.value) if disturbed else found[1:, 1] - empty[1:]
    ratio = np.maximum(reference, resolution) / np.maximum(found[1:, 2] - empty[1:], resolution)
    comparison = _compare(ratio, max(_SAME + _SCATTER_S / theirs.value, min(_SCATTERS * scatter, _MOST_MARGIN)))
    return Timing(own, theirs, comparison, float(empty[0]), resolution, disturbed)


def quiet_of(rounds: Sequence[Round]) -> Quiet:
    """What these rounds say of an empty call and of the reference.

    Raises:
        ValueError: without rounds.
    """
    if not rounds:
        raise ValueError("no rounds")
    net = _net(rounds, None)
    touch, reference, _ = np.percentile(net, _QUARTILE, axis=0)
    high = np.percentile(net[:, 1], 100 - _QUARTILE)
    around = np.percentile([r.around_s for r in rounds], _QUARTILE)
    return Quiet(max(float(touch), 0.0), float(reference), float(high), float(around))


def _net(rounds: Sequence[Round], most_s: float | None) -> NDArray[np.float64]:
    """Touch, reference and candidate of each round, less ``around_s``, or ``most_s`` where that is less."""
    data = np.array([[r.touch_s, r.reference_s, r.candidate_s, r.around_s] for r in rounds])
    if most_s is not None:
        np.minimum(data[:, 3], most_s, out=data[:, 3])
    return np.asarray(data[:, :3] - data[:, 3:])


def _interval(found: NDArray[np.float64], resolution: float) -> Interval:
    """The first value, with the 95% interval of the others."""
    low, high = np.percentile(found[1:], [2.5, 97.5])
    return Interval(*(max(float(x), resolution) for x in (found[0], low, high)))


def _compare(ratio: NDArray[np.float64], margin: float) -> str:
    """Speedups over the reference, resampled, to a word; ``margin``: what differs by less can't be told apart."""
    low, high = (float(x) for x in np.percentile(ratio, [2.5, 97.5]))
    if low > 1 + margin:
        return "faster"
    if high < 1 - margin:
        return "slower"
    if low > 1 - margin and high < 1 + margin and margin <= _MOST_MARGIN:
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
