"""Reads the corpus: one file a program, with the verdict that it must get in its header.

Header lines are comments at the top of the file::

    # verdict: wrong_answer | charged
    # problem: softmax
    # dialect: torch
    # dtype: fp32
    # devices: cpu, gpu
    # limits: wall_s=4
    # why: one sentence.

Several verdicts mean any of them. ``charged`` is no verdict of the program's own: it may pass, but not with a time
that is better than the work takes. ``limits`` is optional.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.verdicts import Verdict

__all__ = ["CHARGED", "Case", "read_corpus"]

CHARGED = "charged"
_FIELD = re.compile(r"^(?:#|//) (verdict|problem|dialect|dtype|devices|limits|why): (.+)$")
_MORE = re.compile(r"^(?:#|//)      (.+)$")


@dataclass(frozen=True)
class Case:
    """One program of the corpus."""

    name: str
    """``bad/zeros`` or ``odd/joined_thread``."""
    source: str
    verdicts: frozenset[str]
    problem: str
    dialect: str
    dtype: str
    devices: frozenset[str]
    why: str
    limits: dict[str, float] = field(default_factory=dict)


def read_corpus() -> list[Case]:
    """All programs, bad ones first; those of one problem stand together, so that it is opened once.

    Raises:
        ValueError: for a header that is not complete.
    """
    here = Path(__file__).parent
    found = [_read(path) for path in sorted([*here.glob("bad/*"), *here.glob("odd/*")]) if path.is_file()]
    return sorted(found, key=lambda case: (case.dialect, case.dtype, case.problem, case.name))


def _read(path: Path) -> Case:
    source = path.read_text(encoding="utf-8")
    fields: dict[str, str] = {}
    last = ""
    for line in source.splitlines():
        matched, more = _FIELD.match(line), _MORE.match(line)
        if matched:
            last = matched[1]
            fields[last] = matched[2].strip()
        elif more and last == "why":
            fields["why"] += " " + more[1].strip()
        else:
            break
    missing = {"verdict", "problem", "dialect", "dtype", "devices", "why"} - set(fields)
    if missing:
        raise ValueError(f"{path.name}: header lacks {', '.join(sorted(missing))}")
    verdicts = frozenset(v.strip() for v in fields["verdict"].split("|"))
    unknown = verdicts - {CHARGED, *(v.value for v in Verdict)}
    if unknown:
        raise ValueError(f"{path.name}: no such verdict {unknown}")
    limits = {}
    for part in fields.get("limits", "").split(","):
        if part.strip():
            key, value = part.split("=")
            limits[key.strip()] = float(value)
    return Case(
        name=f"{path.parent.name}/{path.stem}",
        source=source,
        verdicts=verdicts,
        problem=fields["problem"],
        dialect=fields["dialect"],
        dtype=fields["dtype"],
        devices=frozenset(d.strip() for d in fields["devices"].split(",")),
        why=fields["why"],
        limits=limits,
    )
