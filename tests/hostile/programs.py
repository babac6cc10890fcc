"""The corpus: one program a file, with the verdict it must get and why in its first lines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.core.verdicts import Verdict

__all__ = ["HostileProgram", "read_corpus"]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class HostileProgram:
    """One file of the corpus."""

    name: str
    """``attacks/...`` or ``honest/...``."""
    verdicts: frozenset[Verdict]
    """Usually one; more where the machine or the moment decides which of several right ones it is."""
    why: str
    source: str

    @property
    def slow(self) -> bool:
        """Whether it takes more than a few seconds to judge."""
        return self.name.startswith("attacks/slow_")

    @property
    def honest(self) -> bool:
        """Whether it must pass."""
        return self.name.startswith("honest/")


@cache
def read_corpus() -> tuple[HostileProgram, ...]:
    """All programs, in the order of their names (some look for what the one before left behind).

    Raises:
        ValueError: for a file without the two lines that every file begins with.
    """
    return tuple(_read(path) for path in sorted(_HERE.glob("attacks/*.txt")) + sorted(_HERE.glob("honest/*.txt")))


def _read(path: Path) -> HostileProgram:
    head, _, source = path.read_text(encoding="utf-8").partition("\n\n")
    lines = [line.removeprefix("#").strip() for line in head.split("\n")]
    if not lines[0].startswith("verdict: ") or not lines[1].startswith("why: "):
        raise ValueError(f"{path.name} must begin with `# verdict: ...` and `# why: ...`")
    words = lines[0].removeprefix("verdict: ").split(" or ")
    return HostileProgram(
        name=f"{path.parent.name}/{path.stem}",
        verdicts=frozenset(Verdict(word) for word in words),
        why=" ".join(lines[1:]).removeprefix("why: "),
        source=source,
    )
