"""Sizes on a card of 8 GB: what calibration may choose, and how many candidates are kept armed."""

from __future__ import annotations

import pytest

from orchestrator.execute.gpu.executor import memory_for_arrays, spares_for
from tasks.gpu.catalog import get, names
from tasks.gpu.problem import ArraySpec, GpuProblem

RTX_4060 = 8 << 30
LARGEST = 1e4
"""A scale that no calibration reaches on such a card: sizes are cut back to what fits."""


def input_bytes(problem: GpuProblem, memory: int, scale: float, dtype: str) -> int:
    shape = problem.shapes(memory, scale)[-1]
    return sum(spec.nbytes for spec in problem.inputs(shape, dtype) if isinstance(spec, ArraySpec))


@pytest.mark.parametrize("name", names())
def test_inputs_take_at_most_a_quarter_of_8_gb_whatever_the_reference_needs(name: str) -> None:
    problem, memory = get(name), memory_for_arrays(RTX_4060)
    assert memory <= RTX_4060 - (1 << 30)
    for dtype in problem.dtypes:
        assert 0 < input_bytes(problem, memory, 1.0, dtype) <= RTX_4060 / 4
        assert input_bytes(problem, memory, LARGEST, dtype) <= RTX_4060 / 4
    largest = problem.shapes(memory, LARGEST)[-1]
    # Two sets of buffers, fresh inputs and a copy of the output stand beside each other while a call is timed.
    held = 2 * problem.footprint(largest, problem.dtypes[0]) + input_bytes(
        problem, memory, LARGEST, problem.dtypes[0]
    )
    assert held < 0.55 * memory


def test_a_larger_card_gets_larger_sizes_where_memory_is_what_binds() -> None:
    problem = get("softmax")
    small, large = (input_bytes(problem, memory_for_arrays(m << 30), LARGEST, "fp32") for m in (8, 80))
    assert large > 5 * small


@pytest.mark.parametrize(("gib", "spares"), [(8, 1), (9.9, 1), (12, 2), (140, 2)])
def test_one_candidate_is_kept_armed_on_8_gb(gib: float, spares: int) -> None:
    assert spares_for(2, int(gib * 2**30)) == spares
    assert spares_for(1, int(gib * 2**30)) == 1
