"""Programs that are right but for one step left out, or done in less than the precision asked for, are wrong."""

from __future__ import annotations

import pytest

from tasks.gpu import get
from tests.tasks.gpu.running import run_torch, wrong_outputs

MEMORY = 8 << 30
# The order of the values in float32, the values themselves as they are.
_FLOAT32_TOP_K = """
    values, indices = out
    indices.copy_(torch.sort(x.float(), dim=1, descending=True, stable=True).indices[:, :k])
    values.copy_(x.gather(1, indices))
"""
SHORTCUTS = [
    ("asian_option", "fp32", "(rate - volatility**2 / 2) * dt", "0.0"),
    *(("layer_norm", dtype, "bias, eps)", "bias, 0.0)") for dtype in ("fp64", "fp32", "bf16", "fp16")),
    ("particle_collisions", "fp32", "alpha=dt * stiffness", "alpha=1.0"),
    ("top_k", "fp64", "torch.topk(x, k, dim=1, largest=True, sorted=True, out=out)", _FLOAT32_TOP_K),
    # Distances in TF32's digits (which float16 has), or in float32.
    ("kmeans_step", "fp32", "torch.addmm(half_norms, part,", "torch.addmm(half_norms, part.half().float(),"),
    ("kmeans_step", "fp64", "torch.addmm(half_norms, part,", "torch.addmm(half_norms, part.float().double(),"),
    *(("rmsnorm_rotary", dtype, " + eps)", ")") for dtype in ("fp32", "bf16", "fp16")),
]
"""Problem, dtype, what the torch reference says, and what the shortcut has instead."""


@pytest.mark.parametrize(("name", "dtype", "said", "instead"), SHORTCUTS)
def test_a_shortcut_is_wrong(name: str, dtype: str, said: str, instead: str) -> None:
    problem = get(name)
    source = problem.reference("torch", dtype)
    assert said in source
    found = []
    for shape in problem.shapes(MEMORY)[:-1]:
        values = problem.make_inputs(31, shape, dtype)
        got = run_torch(source.replace(said, instead), problem, shape, dtype, values)
        found += wrong_outputs(problem, dtype, got, problem.cpu_reference(*values))
    assert found != []
