"""The terminal table: what stands in it, and that it fits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.core.summary import Summary, summarise
from orchestrator.report.load import load_run
from orchestrator.report.table import terminal_table
from tests.report.fabricate import fabricate_run


def text(summary: Summary, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(terminal_table(summary))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_it_has_the_articles_form(plain_run: Path, width: int) -> None:
    shown = text(load_run(plain_run).summary(), width)
    lines = [line for line in shown.splitlines() if line.strip().startswith(("generate_only", "hybrid"))]
    solved = [line.split() for line in lines[:2]]
    assert solved[0] == ["generate_only", "sonnet", "138/164", "84.1%", "77.8-88.9", "83%", "164/164"]
    assert solved[1][:4] == ["hybrid", "sonnet", "162/164", "98.8%"]
    assert solved[1][5:] == ["91%", "84.1%", "92.3%", "164/164"]
    assert "0.9 s" in shown
    assert "3.3 GB" in shown
    assert "…" not in shown
    assert "SYNTHETIC" not in shown
    assert max(map(len, shown.splitlines())) <= width


def test_no_number_is_cut_short_in_a_narrow_terminal(plain_run: Path) -> None:
    lines = text(load_run(plain_run).summary(), 60).splitlines()
    assert not any("…" in line for line in lines)
    at = next(i for i, line in enumerate(lines) if line.startswith(" hybrid"))
    # 162/164 and 98.8% go on in the line below.
    digits = ["".join(c for c in line if c.isdigit()) for line in lines[at : at + 2]]
    assert sorted("".join(digits)) == sorted("".join(c for c in _solved(plain_run) if c.isdigit()))


def _solved(run: Path) -> str:
    """The line of hybrid in a wide terminal."""
    lines = text(load_run(run).summary(), 120).splitlines()
    return next(line for line in lines if line.startswith(" hybrid"))


def test_a_rehearsal_cannot_be_missed(hostile_run: Path) -> None:
    shown = text(load_run(hostile_run).summary())
    assert shown.index("SYNTHETIC: no model was called") < shown.index("What was solved")
    assert "sonnet*" in shown
    assert "infrastructure" in shown
    assert "not_run" in shown


def test_unknown_dollars_are_na(tmp_path: Path) -> None:
    shown = text(load_run(fabricate_run(tmp_path / "r", problems=5, priced=False)).summary())
    assert "n/a" in shown
    assert "no known price" in shown
    assert "$0" not in shown


@pytest.mark.parametrize("width", [80, 120])
def test_samples_bring_pass_at_k(gpu_run: Path, width: int) -> None:
    shown = text(load_run(gpu_run).summary(), width)
    assert "pass@3 selected@3 turn 1 mended" in " ".join(shown.split())
    assert "…" not in shown
    assert "fast_1.5" in shown
    assert "failures as 0" in shown
    # The article's Table 1 is about HumanEval: beside another suite its figures would mislead.
    assert "83%" not in shown


def test_oracle_feedback_is_marked(tmp_path: Path) -> None:
    shown = text(load_run(fabricate_run(tmp_path / "r", problems=5, feedback="oracle")).summary())
    assert "hybrid (oracle)" in shown
    assert "upper bound" in shown


def test_names_cannot_style_the_table() -> None:
    row: dict[str, Any] = {"cell": "c", "system": "[red]x\x1b[31m", "problem": "p", "verdict": "passed"}
    out = io.StringIO()
    Console(file=out, width=120, force_terminal=True, color_system="truecolor").print(
        terminal_table(summarise([row], []))
    )
    assert "[red]x" in out.getvalue()
    assert "\x1b[31m" not in out.getvalue()


def test_an_empty_run_has_a_table() -> None:
    shown = text(summarise([], [{"id": "c", "system": "hybrid", "planned": 3}]))
    assert "0/3" in shown
    assert "3 not_run of 3" in shown
