"""Verdict, reason and feedback lines from what was found."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.gpu import HOST_MEMORY, GpuMeasures
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu.family import Ending
from orchestrator.execute.gpu.findings import compiler_errors, conclude, measured_lines

NVRTC = """default_program(3): warning #177-D: variable "k" was declared but never referenced

default_program(14): error: identifier "INFINTY" is undefined
    acc top = INFINTY;
              ^

default_program(20): error: expected a ";"

2 errors detected in the compilation of "default_program"."""


def failed(**report: Any) -> dict[str, Any]:
    return {"phase": "run", "outcome": "failed", "report": report, "rounds": []}


@pytest.mark.parametrize(
    ("found", "killed", "ending", "verdict", "reason"),
    [
        ({"outcome": "passed", "phase": "time"}, "", None, Verdict.PASSED, ""),
        ({"outcome": "wrong", "reason": "at n=3: 1 of 3"}, "", None, Verdict.WRONG_ANSWER, "at n=3: 1 of 3"),
        ({"outcome": "rule", "reason": "wrote outside"}, "", None, Verdict.REJECTED, "wrote outside"),
        ({"outcome": "gone"}, "timeout (wall): 3 s", None, Verdict.TIMEOUT, "timeout (wall): 3 s"),
        ({"outcome": "gone"}, "memory: 9 MiB", None, Verdict.OUT_OF_MEMORY, "memory: 9 MiB"),
        ({"outcome": "gone"}, "", Ending(3, 0, 0), Verdict.ERROR, "exited with status 3 before"),
        ({"outcome": "gone"}, "", Ending(-11, 0, 0), Verdict.ERROR, "killed by SIGSEGV"),
        ({"outcome": "gone"}, "", Ending(139, 0, 0), Verdict.ERROR, "killed by SIGSEGV"),
        ({"outcome": "gone"}, "", Ending(128, 0, 0), Verdict.ERROR, "exited with status 128 before"),
        ({"outcome": "gone"}, "", Ending(128 + 99, 0, 0), Verdict.ERROR, "killed by signal 99"),
        ({"outcome": "gone"}, "", None, Verdict.INFRASTRUCTURE, "lost"),
        (failed(type="ValueError", message="no"), "", None, Verdict.ERROR, "ValueError: no"),
        (failed(phase="rule", type="LibraryCall", message="torch computed mm"), "", None, Verdict.REJECTED, "mm"),
        (
            failed(type="OutOfMemoryError", message="x", oom=True),
            "",
            None,
            Verdict.OUT_OF_MEMORY,
            "OutOfMemoryError",
        ),
        (failed(type="ValueError", message="no"), "timeout (wall): 3 s", None, Verdict.TIMEOUT, "timeout"),
    ],
)
def test_conclude(found: dict[str, Any], killed: str, ending: Ending | None, verdict: Verdict, reason: str) -> None:
    concluded = conclude(found, killed, ending, None)
    assert concluded.verdict is verdict
    assert reason in concluded.reason
    assert "\n" not in concluded.reason


def test_first_compiler_errors_without_warnings_or_source_echoes() -> None:
    errors = compiler_errors(NVRTC)
    assert errors == (
        'default_program(14): error: identifier "INFINTY" is undefined',
        'default_program(20): error: expected a ";"',
    )
    report = {"phase": "compile", "type": "CompileError", "message": NVRTC}
    concluded = conclude(failed(**report), "", None, None)
    assert (concluded.verdict, concluded.phase) == (Verdict.ERROR, "compile")
    assert concluded.reason == f"does not compile: {errors[0]}"
    assert concluded.lines == errors


@pytest.mark.parametrize("opening", ["at 4:8:\n", "at 4:8:"])
def test_triton_errors_are_the_place_and_what_is_wrong_there(opening: str) -> None:
    text = (
        f"{opening}def kernel(x, out, n, BLOCK: tl.constexpr):\n"
        "    row = tl.program_id(0)\n    at = row * BLOCK + tl.arange(0, BLOCK)\n"
        "    v = tl.laod(x + at, mask=at < n)\n        ^\n"
        "AttributeError(\"module 'triton.language' has no attribute 'laod'\")"
    )
    report = {
        "phase": "run",
        "type": "CompilationError",
        "message": text,
        "frames": ["line 14, in solve: kernel[g]"],
    }
    concluded = conclude(failed(**report), "", None, None)
    assert (concluded.verdict, concluded.phase) == (Verdict.ERROR, "compile")
    assert concluded.lines == (
        "line 4, column 8 of the kernel: v = tl.laod(x + at, mask=at < n)",
        "AttributeError(\"module 'triton.language' has no attribute 'laod'\")",
        "  line 14, in solve: kernel[g]",
    )


def test_compiler_output_is_bounded() -> None:
    assert len(compiler_errors("\n".join(f"f({i}): error: no" for i in range(1000)))) == 5
    assert all(len(line) <= 300 for line in compiler_errors("error: " + "x" * 10_000))
    inlined = "at 1:2:\ndef kernel():\n    ^\n" + "at 3:4:\n    x = y\n    ^\n" + "NameError: y\n" * 100
    assert compiler_errors(inlined) == ("line 3, column 4 of the kernel: x = y", *["NameError: y"] * 4)


def test_out_of_memory_says_what_was_asked_and_what_there_is() -> None:
    message = "CUDA out of memory. Tried to allocate 18.63 GiB. GPU 0 has a total capacity of 7.45 GiB"
    concluded = conclude(failed(type="OutOfMemoryError", message=message, oom=True), "", None, 8 * 10**9)
    text = "\n".join(concluded.lines)
    assert "asked for 18.63 GiB" in text
    assert "may use 7.45 GiB" in text


def test_out_of_memory_is_read_as_cupy_tells_it_and_where_nothing_is_told() -> None:
    message = "Out of memory allocating 512,000,512 bytes (allocated so far: 1,024 bytes)."
    concluded = conclude(failed(type="OutOfMemoryError", message=message, oom=True), "", None, None)
    assert concluded.lines == (
        f"Out of memory: OutOfMemoryError: {message}",
        "The allocation that failed asked for 512,000,512 bytes.",
    )
    assert len(conclude(failed(type="MemoryError", oom=True), "", None, None).lines) == 1


def test_measured_lines_name_the_bound() -> None:
    measures = GpuMeasures(
        name="card",
        uuid="u",
        time_s=4e-3,
        reference_time_s=2e-3,
        comparison="slower",
        roofline_share=0.25,
        bound="memory",
        peak_memory_bytes=3 << 30,
        compile_s=1.5,
    )
    text = "\n".join(measured_lines(measures, 8 << 30))
    for part in (
        "4.000 ms",
        "0.50 times",
        "slower",
        "25%",
        "the card's measured memory bandwidth",
        "3.00 GiB of 8.00 GiB",
        "1.5 s",
    ):
        assert part in text
    assert measured_lines(GpuMeasures("card", "u"), None) == ("Correct.",)


def test_without_a_card_no_line_speaks_of_one() -> None:
    measures = GpuMeasures(HOST_MEMORY, "", time_s=4e-3, roofline_share=0.25, bound="memory")
    text = "\n".join(measured_lines(measures, None))
    assert "25% of what this machine's measured memory bandwidth allows" in text
    assert "card" not in text


@pytest.mark.parametrize(
    ("time_s", "peak", "said"),
    [
        (1e-4, 1 << 30, ("0.100 ms.", "Peak card memory: 1.00 GiB.")),
        (99.94e-6, (1 << 30) - (1 << 20), ("99.9 us.", "Peak card memory: 1023.0 MiB.")),
        (2.5, 512, ("2500.000 ms.", "Peak card memory: 0.0 MiB.")),
    ],
)
def test_times_and_sizes_have_units_that_suit_them(time_s: float, peak: int, said: tuple[str, str]) -> None:
    lines = measured_lines(GpuMeasures("card", "u", time_s=time_s, peak_memory_bytes=peak), None)
    assert lines == (f"Correct. One call takes {said[0]}", said[1])


def test_what_arithmetic_binds_is_told_so_and_a_short_compilation_is_not_told() -> None:
    measures = GpuMeasures("card", "u", time_s=1e-3, roofline_share=0.5, bound="compute", compile_s=0.05)
    assert measured_lines(measures, None) == (
        "Correct. One call takes 1.000 ms.",
        "This is 50% of what the card's measured arithmetic rate allows; the task is bound by compute.",
    )


def test_of_an_exception_reason_and_frames_are_told_and_bounded() -> None:
    report = {"type": "ValueError", "message": "first\nsecond", "phase": "load", "frames": ["a", 3, "b"]}
    concluded = conclude(failed(**report), "", None, None)
    assert (concluded.reason, concluded.phase) == ("ValueError: first", "load")
    assert concluded.lines == ("ValueError: first", "  a", "  b")
    many = conclude(failed(type="E" * 1000, message="x" * 1000, frames=["f" * 1000] * 100), "", None, None)
    assert len(many.lines) == 14
    assert len(many.reason) == 300
    odd = conclude(failed(type="A\n  B", message="no"), "", None, None)
    assert odd.reason == "A B: no"
    bare = conclude(failed(type="KeyboardInterrupt", message=" \n"), "", None, None)
    assert bare.reason == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("PTXASError", "no"),
        ("RuntimeError", "PTXAS error: Internal Triton PTX codegen error"),
        ("RuntimeError", "NVRTC_ERROR_COMPILATION"),
    ],
)
def test_a_compiler_that_says_no_while_running_is_a_compile_error(kind: str, message: str) -> None:
    concluded = conclude(failed(type=kind, message=message), "", None, None)
    assert (concluded.verdict, concluded.phase) == (Verdict.ERROR, "compile")
    assert concluded.reason == f"does not compile: {message}"
