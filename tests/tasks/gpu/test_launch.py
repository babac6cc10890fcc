"""Launch lines of CUDA programs."""

from __future__ import annotations

import json

import pytest

from orchestrator.execute.gpu.wire import MESSAGE_BYTES
from tasks.gpu import get, names
from tasks.gpu.launch import Launch, LaunchError, parse_launch

SIZES = {"m": 100, "n": 7}


def test_all_that_a_program_can_say() -> None:
    source = """
// scratch: 8 * ceil_div(m, 32) + n % 4
  //launch:partial(grid=(ceil_div(m, 32)), block=(256), shared=4*256)
// launch: solve(grid=(max(m, n), min(m, n) - 2, 3), block=(8, 4, -1 + 2))
// repeat: m / n
extern "C" __global__ void solve() {}
"""
    plan = parse_launch(source, SIZES)
    assert plan.launches == (
        Launch("partial", (4, 1, 1), (256, 1, 1), 1024),
        Launch("solve", (100, 5, 3), (8, 4, 1), 0),
    )
    assert plan.scratch_bytes == 8 * 4 + 3
    assert plan.repeat == 14


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "no '// launch"),
        ("// launch: other(grid=(1), block=(1))", "called solve"),
        ("// launch: solve(grid=(1))", "both needed"),
        ("// launch: solve(grid=(1), block=(1025))", "1024 threads"),
        ("// launch: solve(grid=(1), block=(32, 33))", "1024 threads"),
        ("// launch: solve(grid=(0), block=(1))", "at least 1"),
        ("// launch: solve(grid=(1, 70000), block=(1))", "CUDA's limit"),
        ("// launch: solve(grid=(1, 1, 1, 1), block=(1))", "one to three"),
        ("// launch: solve(grid=(q), block=(1))", "unknown size 'q'"),
        ("// launch: solve(grid=(m / (n - 7)), block=(1))", "division by zero"),
        ("// launch: solve(grid=(m % (n - 7)), block=(1))", "division by zero"),
        ("// launch: solve(grid=(m ** m), block=(1))", "only integers"),
        ("// launch: solve(grid=(1.5), block=(1))", "only integers"),
        ("// launch: solve(grid=(True), block=(1))", "only integers"),
        ("// launch: solve(grid=(m.bit_length()), block=(1))", "only integers"),
        ("// launch: solve(grid=(__import__('os')), block=(1))", "only integers"),
        ("// launch: solve(grid=(abs(m)), block=(1))", "cannot call 'abs'"),
        ("// launch: solve(grid=(min()), block=(1))", "cannot call 'min'"),
        ("// launch: solve(grid=(1), block=(1), stream=(1))", "only grid, block and shared"),
        ("// launch: solve(grid=(1), block=(1), shared=-4)", "must not be negative"),
        ("// launch: solve((1), block=(1))", "not of the form"),
        ("// launch: solve", "not of the form"),
        ("// launch: solve(grid=(1), block=(1)", "cannot read"),
        (f"// launch: solve(grid=({'*'.join(['m'] * 20)}), block=(1))", "too large"),
        ("// launch: solve(grid=(1), block=(1))\n// repeat: 0", "repeat is 0"),
        ("// launch: solve(grid=(1), block=(1))\n// repeat: 2\n// repeat: 3", "more than one"),
        ("// launch: solve(grid=(1), block=(1))\n// scratch: 0 - 1", "scratch is -1"),
        (f"// launch: solve(grid=({'~' * 900}1), block=(1))", "nested too deeply"),
        (f"// launch: {'k' * 101}(grid=(1), block=(1))", "up to 100 ASCII letters"),
        ("// launch: k\u00e9rnel(grid=(1), block=(1))", "up to 100 ASCII letters"),
        (f"// launch: solve(grid=({'(' * 600}1{')' * 600}), block=(1))", "1000 characters"),
        # Minutes, if blanks are matched from each of them.
        (f"// launch: solve{' ' * 120_000}(grid=(1), block=(1))", "1000 characters"),
        ("// launch: solve(grid=(1), block=(1))\n" * 300, "more than 256"),
    ],
)
def test_lines_that_cannot_be_followed(lines: str, message: str) -> None:
    with pytest.raises(LaunchError) as caught:
        parse_launch(lines + '\nextern "C" __global__ void solve() {}', SIZES)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_kernels_fit_into_a_message_all_together() -> None:
    line = f"// launch: {'k' * 100}(grid=(2147483647, 65535, 65535), block=(1024), shared=1)\n"
    plan = parse_launch(line * 255 + "// launch: solve(grid=(1), block=(1))", SIZES)
    said = [[x.kernel, x.grid, x.block, x.shared_bytes] for x in plan.launches]
    assert len(json.dumps({"launches": said})) < MESSAGE_BYTES


def test_every_reference_can_be_launched_at_every_size() -> None:
    for name in names():
        problem = get(name)
        if "cuda" not in problem.references:
            continue
        for memory in (8 << 30, 141 << 30):
            for scale in (0.25, 1.0, 100.0):
                for shape in problem.shapes(memory, scale):
                    plan = parse_launch(problem.reference("cuda", "fp32"), dict(shape.dims))
                    assert plan.scratch_bytes <= memory // 4
                    assert all(launch.shared_bytes <= 48 << 10 for launch in plan.launches)
