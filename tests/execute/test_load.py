"""Verdicts with four times as many executors as cores are those of two, and nothing leaks or grows meanwhile."""

import pytest

from orchestrator.execute.executor import ExecutorSettings
from scripts.bench.grading_parts.stress import stress
from scripts.bench.grading_parts.workers import prepare
from tests.execute.programs import ADD


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_verdicts_do_not_depend_on_load() -> None:
    settings = ExecutorSettings()
    report = stress(prepare([ADD], settings), 600, settings)
    assert report["stress_hostile"] == 60
    assert report["stress_verdicts"]["passed"] >= 540
