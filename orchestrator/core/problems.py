"""Problems, and who may see which part of them.

A :class:`Problem` is split by type. :class:`PublicProblem` is all that the generator's side ever receives;
scoring tests and the reference program live only in :class:`Problem`, which goes to execution actors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from orchestrator.core.digests import digest

__all__ = [
    "Dialect",
    "Example",
    "ExampleTests",
    "FeedbackTests",
    "GpuTests",
    "Limits",
    "Problem",
    "PublicProblem",
    "PythonTests",
    "ScoringTests",
    "Suite",
]

Dialect = Literal["python", "torch", "cupy", "triton", "cuda"]
"""What a program is written in; ``cuda`` is raw CUDA C++ source."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one candidate may use. All of it is enforced, so all of it is part of a verdict's key."""

    cpu_s: float
    """L: user + system CPU seconds that are surely allowed; a program is stopped at 2 L.

    A GPU program is stopped at L, and only until it is timed: waiting for a card keeps a processor busy."""
    wall_s: float
    """Backstop on elapsed seconds."""
    memory_bytes: int = 1 << 30
    """Resident set, watched from outside."""
    address_space_bytes: int = 4 << 30
    """RLIMIT_AS above the zygote's own size (RLIMIT_DATA where CUDA is in play)."""
    output_bytes: int = 1 << 20
    """Kept of stdout and of stderr; what is over is discarded."""
    file_bytes: int = 64 << 20
    open_files: int = 64
    processes: int = 256


@dataclass(frozen=True, slots=True)
class Example:
    """One example that stands in the prompt, so the generator knows it anyway."""

    call: str
    """A Python expression over the entry point, e.g. ``add(2, 3)``."""
    expected: str
    """A Python expression for the result, e.g. ``5``."""


@dataclass(frozen=True, slots=True)
class ExampleTests:
    """Public feedback tests: the prompt's own examples (possibly none: then loading is all that is tried)."""

    setup: str
    """Trusted source executed on the referee's side first (helpers defined in the prompt)."""
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class PythonTests:
    """Scoring tests: ``source`` defines ``check(candidate)``, which raises when the answer is wrong."""

    setup: str
    """Trusted source executed on the referee's side first (helpers defined in the prompt)."""
    source: str


@dataclass(frozen=True, slots=True)
class GpuTests:
    """Tests of a GPU problem: inputs are made by the problem's own maker from these seeds.

    ``kind`` keeps the two apart: ``feedback`` inputs are of the same kind as the scoring ones, drawn afresh.
    """

    kind: Literal["feedback", "scoring"]
    name: str
    """Problem name in ``tasks.gpu``, without the suite prefix."""
    dtype: str
    seeds: tuple[int, ...]
    version: str = ""
    """SHA-256 of what makes the inputs, expected values and tolerances, so that a changed test is another test."""


FeedbackTests = ExampleTests | GpuTests
ScoringTests = PythonTests | GpuTests


@dataclass(frozen=True, slots=True)
class PublicProblem:
    """What the generator's side may know of a problem: exactly what is, or may be, in the prompt."""

    id: str
    """``<Suite>/<name>``, e.g. ``HumanEval/0`` or ``gpu/softmax``."""
    suite: str
    prompt: str
    entry_point: str
    dialect: Dialect = "python"
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A whole problem, for the trusted side only."""

    public: PublicProblem
    scoring: ScoringTests
    feedback: FeedbackTests
    reference: str
    """A whole program (prompt included where the suite completes prompts) that must pass."""
    limits: Limits
    alternatives: tuple[str, ...] = ()
    """Other names of this problem's id in published files, if any."""

    @property
    def id(self) -> str:
        """The problem's id, e.g. ``HumanEval/0``."""
        return self.public.id

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that determines a verdict on this problem, save the limits."""
        return digest(self.public, self.scoring, self.feedback, self.reference)


class Suite(Protocol):
    """A set of problems with one scoring rule."""

    @property
    def name(self) -> str:
        """The suite's name, e.g. ``humaneval``."""

    @property
    def problems(self) -> Sequence[Problem]:
        """All problems, in the suite's own order."""

    @property
    def max_tokens(self) -> int:
        """Default cap on a reply, small enough that the worst case stays cheap."""

    @property
    def digest(self) -> str:
        """SHA-256 over the problems' digests: two runs with the same digest saw the same suite."""
