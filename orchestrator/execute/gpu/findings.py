"""From what the referee found and how the process ended to a verdict, a reason and feedback lines."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.gpu import HOST_MEMORY, GpuMeasures
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu.family import Ending

__all__ = ["Finding", "compiler_errors", "conclude", "measured_lines"]

_COMPILER_ERRORS: Final = 5
_LINE: Final = 300
_LINES: Final = 14
_SIZES: Final = re.compile(r"Tried to allocate ([0-9.]+ [KMGT]?i?B)|Out of memory allocating ([0-9,]+ bytes)")
_ERROR_LINE: Final = re.compile(r"error\s*:|error:|: error|catastrophic error", re.IGNORECASE)
_PLACE: Final = re.compile(r"\s*at (\d+):(\d+):")
_COMPILER_TYPES: Final = (
    "CompilationError",
    "CompileTimeAssertionFailure",
    "UnsupportedLanguageConstruct",
    "PTXASError",
    "CompileException",
)
"""Exceptions by which Triton and CuPy say that a kernel does not compile."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is concluded of one program."""

    verdict: Verdict
    reason: str
    phase: str
    """``compile``, ``load``, ``run``, ``check`` or ``time``: where it ended."""
    lines: tuple[str, ...] = field(default=())
    """For the model, most telling first; only of feedback inputs."""


def conclude(found: dict[str, Any], killed: str, ending: Ending | None, usable: int | None) -> Finding:
    """Decide.

    Args:
        found: the referee's answer to ``judge``.
        killed: why the executor ended the program (``timeout ...`` or ``memory ...``); empty if it did not.
        ending: how the process ended by itself; None if it lived until it was judged.
        usable: card memory that a program may use: the card's, or less where that is enforced; None without a card.
    """
    phase, outcome = str(found.get("phase", "load")), found.get("outcome")
    if outcome == "passed":
        return Finding(Verdict.PASSED, "", phase)
    if outcome == "wrong":
        return Finding(Verdict.WRONG_ANSWER, found["reason"], "check", (f"Wrong result {found['reason']}.",))
    if outcome == "rule":
        return Finding(Verdict.REJECTED, found["reason"], "check", (f"Not allowed: {found['reason']}.",))
    if killed.startswith("timeout"):
        return Finding(Verdict.TIMEOUT, killed, phase, (f"Stopped: {killed}.",))
    if killed.startswith("memory"):
        return Finding(Verdict.OUT_OF_MEMORY, killed, phase, (f"Stopped: {killed}.",))
    if outcome == "failed":
        return _failed(found["report"], phase, usable)
    return _gone(phase, ending)


def _failed(report: dict[str, Any], phase: str, usable: int | None) -> Finding:
    where = str(report.get("phase", phase))
    kind, text = _line(str(report.get("type", "Error"))), str(report.get("message", ""))
    first = _line(text.strip().splitlines()[0]) if text.strip() else ""
    if where == "rule":
        return Finding(Verdict.REJECTED, first[:_LINE], "run", (f"Not allowed: {first}.",))
    frames = tuple(_line(f"  {frame}") for frame in report.get("frames", ()) if isinstance(frame, str))
    if report.get("oom"):
        asked = _SIZES.search(text)
        size = next((g for g in asked.groups() if g), None) if asked else None
        lines = [f"Out of memory: {kind}: {first}"]
        if size is not None:
            lines.append(f"The allocation that failed asked for {size}.")
        if usable:
            lines.append(f"A program may use {_size(usable)} of card memory, its inputs and outputs included.")
        return Finding(Verdict.OUT_OF_MEMORY, f"{kind}: {first}"[:_LINE], where, (*lines, *frames)[:_LINES])
    if where == "compile" or kind in _COMPILER_TYPES or _looks_compiled(text):
        errors = compiler_errors(text)
        head = errors[0] if errors else first
        return Finding(Verdict.ERROR, f"does not compile: {head}"[:_LINE], "compile", (*errors, *frames)[:_LINES])
    reason = f"{kind}: {first}" if first else kind
    return Finding(Verdict.ERROR, reason[:_LINE], where, (reason, *frames)[:_LINES])


def _gone(phase: str, ending: Ending | None) -> Finding:
    if ending is None:
        return Finding(Verdict.INFRASTRUCTURE, "the program was lost before it was judged", phase)
    if ending.code < 0 or ending.code > 128:
        number = -ending.code if ending.code < 0 else ending.code - 128
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        reason = f"killed by {name}"
    else:
        reason = f"exited with status {ending.code} before the result was there"
    return Finding(Verdict.ERROR, reason, phase, (f"The program {reason}.",))


def compiler_errors(text: str) -> tuple[str, ...]:
    """The first errors of a compiler's output, warnings and summaries left out."""
    lines = [_line(line) for line in text.splitlines() if line.strip()]
    carets = [number for number, line in enumerate(lines) if line.strip() == "^"]
    if carets and _PLACE.match(lines[0]):
        # Triton shows the kernel down to the place, then says what is wrong there; the innermost place counts.
        *_, where = (place for line in lines[: carets[-1]] if (place := _PLACE.match(line)))
        at = f"line {where[1]}, column {where[2]} of the kernel: "
        return (f"{at}{lines[carets[-1] - 1].strip()}"[:_LINE], *lines[carets[-1] + 1 :][: _COMPILER_ERRORS - 1])
    errors = [line for line in lines if _ERROR_LINE.search(line)]
    return tuple((errors or lines)[:_COMPILER_ERRORS])


def measured_lines(measures: GpuMeasures, memory_bytes: int | None) -> tuple[str, ...]:
    """What a model should know of a correct program: time, against what, and what bounds it."""
    if measures.time_s is None:
        return ("Correct.",)
    lines = [f"Correct. One call takes {_duration(measures.time_s)}."]
    if measures.reference_time_s is not None and measures.speedup is not None:
        lines.append(
            f"The reference program takes {_duration(measures.reference_time_s)} on the same inputs: "
            f"{measures.speedup:.2f} times its speed ({measures.comparison})."
        )
    if measures.roofline_share is not None:
        what = "memory bandwidth" if measures.bound == "memory" else "arithmetic rate"
        whose = "this machine's" if measures.name == HOST_MEMORY else "the card's"
        lines.append(
            f"This is {measures.roofline_share:.0%} of what {whose} measured {what} allows; "
            f"the task is bound by {measures.bound}."
        )
    if measures.peak_memory_bytes is not None:
        card = f" of {_size(memory_bytes)}" if memory_bytes else ""
        lines.append(f"Peak card memory: {_size(measures.peak_memory_bytes)}{card}.")
    if measures.compile_s is not None and measures.compile_s > 0.1:
        lines.append(f"Compiling and tuning took {measures.compile_s:.1f} s, which is not part of the time.")
    return tuple(lines)


def _looks_compiled(text: str) -> bool:
    return "PTXAS" in text or "nvrtc" in text.lower() or "CompilationError" in text[:200]


def _line(text: str) -> str:
    flat = " ".join(text.split()) if "\n" in text else text.rstrip()
    return flat[:_LINE]


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 1 << 30 else f"{count / 2**20:.1f} MiB"


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.1f} us"
