"""The PNGs that trackers show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.report import ReportError, main_plots_png
from tests.report.fabricate import fabricate_run

AMBER = np.array([234, 179, 8]) / 255


def test_the_main_plots(plain_run: Path, tmp_path: Path) -> None:
    written = main_plots_png(plain_run, tmp_path / "out")
    assert [path.name for path in written] == [
        "headline.png", "pass_at_1.png", "pareto.png", "turns.png", "verdicts.png",
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_a_plot_without_data_is_not_made(tmp_path: Path) -> None:
    run = fabricate_run(tmp_path / "run", problems=4, systems=("execute_only",))
    assert [path.name for path in main_plots_png(run, tmp_path)] == ["pass_at_1.png"]


def test_synthetic_plots_carry_the_band(hostile_run: Path, plain_run: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    # The colour that amber at 28% makes of white.
    band = 1 - 0.28 * (1 - AMBER)
    for run, banded in ((hostile_run, True), (plain_run, False)):
        for path in main_plots_png(run, tmp_path / run.name):
            pixels = imread(path)[..., :3]
            share = (np.abs(pixels - band).max(axis=2) < 0.02).mean()
            assert (share > 0.03) == banded, path


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError):
        main_plots_png(tmp_path, tmp_path)
