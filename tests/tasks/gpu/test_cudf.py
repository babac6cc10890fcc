"""cuDF as one more reference: left out with a reason where it is missing; its programs' logic over pandas."""

from __future__ import annotations

import importlib.machinery
import sys

import pandas as pd
import pytest

from orchestrator.config.errors import ConfigError
from orchestrator.execute.gpu.rules import violation
from orchestrator.plan import load_plan
from tasks.gpu import cudf_references, get, load
from tasks.gpu.cudf_references import CUDF
from tests.tasks.gpu.running import run_cupy, wrong_outputs

ETL = ("deduplicate", "group_by", "hash_join", "rolling_window")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudf_references, "find_spec", lambda name: None)


@pytest.fixture
def with_cudf(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.machinery.ModuleSpec("cudf", None)
    monkeypatch.setattr(cudf_references, "find_spec", lambda name: spec)


@pytest.mark.usefixtures("without")
def test_where_it_is_missing_the_plan_says_so_and_goes_on() -> None:
    plan = load_plan(["+sweep=workloads", "axes.dialect=[torch,cudf]"])
    assert [cell.config.suite.dialect for cell in plan.cells] == ["torch"]
    notes = " ".join(plan.notes)
    for name in ETL:
        assert f"gpu/{name}" in notes
    assert "cuDF, which is not installed where this command runs" in notes
    assert load(dialect="cudf").problems == ()


@pytest.mark.usefixtures("with_cudf")
def test_where_it_is_installed_the_four_are_a_cell_of_their_own() -> None:
    plan = load_plan(["+sweep=workloads", "axes.dialect=[torch,cudf]"])
    (cell,) = [cell for cell in plan.cells if cell.config.suite.dialect == "cudf"]
    assert set(cell.problems) == {f"gpu/{name}" for name in ETL}
    assert cell.needs_gpu
    for problem in plan.problems(cell):
        assert problem.public.dialect == "cupy"
        assert "import cudf" in problem.reference
        assert violation(problem.reference, "cupy", "solve") is None


def test_no_model_is_asked_for_cudf() -> None:
    with pytest.raises(ConfigError, match="for system=execute_only"):
        load_plan(["+sweep=gpu", "suite.dialect=cudf"])


@pytest.mark.parametrize("name", ETL)
@pytest.mark.parametrize("dtype", ["fp64", "fp32"])
@pytest.mark.usefixtures("numpy_as_cupy")
def test_the_programs_compute_what_is_asked(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # cuDF has pandas' names and meaning for what is used here; that its own results agree only a card can show.
    monkeypatch.setitem(sys.modules, "cudf", pd)
    problem = get(name)
    for shape in problem.shapes(8 << 30)[:-1]:
        values = problem.make_inputs(11, shape, dtype)
        got = run_cupy(CUDF[name].lstrip(), problem, shape, dtype, values)
        assert wrong_outputs(problem, dtype, got, problem.cpu_reference(*values)) == [], shape
