"""An account's limits as known before a run: a rehearsal's are configured, others were told to earlier runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.plan.folders import PLAN_FILE
from orchestrator.plan.model import Cell, Plan

__all__ = ["KnownLimits", "known_limits"]

_FAMILIES = {
    "requests_per_minute": "requests",
    "input_tokens_per_minute": "input-tokens",
    "output_tokens_per_minute": "output-tokens",
}


@dataclass(frozen=True, slots=True)
class KnownLimits:
    """Limits of one model."""

    per_minute: Mapping[str, float]
    """By header family: ``requests``, ``input-tokens``, ``output-tokens``. Empty: there are none."""
    source: str
    """Who said so."""


def known_limits(cell: Cell, plan: Plan) -> KnownLimits | None:
    """The limits that the cell's model is asked under; None where nobody has said yet.

    A real account tells its limits with its replies. A run records them, so they are looked for in this plan's own
    folder (a resumed run) and in those beside it, the latest first.
    """
    if cell.synthetic:
        configured = asdict(cell.config.rehearsal.limits)
        limits = {_FAMILIES[name]: float(value) for name, value in configured.items() if value is not None}
        return KnownLimits(limits, "the rehearsal's configuration")
    model = cell.config.model
    wanted = (model.id, model.base_url)
    for folder in _latest_first(plan.run_dir):
        for entry in _recorded(folder):
            if (entry.get("model"), entry.get("base_url")) == wanted and entry.get("per_minute"):
                return KnownLimits(dict(entry["per_minute"]), f"as the API told {folder.name}")
    return None


def _latest_first(own: Path) -> list[Path]:
    """Folders that hold a run: the plan's own, then its neighbours."""
    stamped = []
    for file in own.parent.glob(f"*/{PLAN_FILE}"):
        try:
            stamped.append((file.parent == own, file.stat().st_mtime, file.parent))
        except OSError:
            # It went away while we looked.
            continue
    return [folder for *_, folder in sorted(stamped, reverse=True)]


def _recorded(folder: Path) -> list[dict[str, Any]]:
    try:
        recorded = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = recorded.get("limits") if isinstance(recorded, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
