"""compute-sanitizer and ncu on a program that was already judged: more feedback, never another verdict or time.

A pass of its own after the verdict: the program runs once more in a fresh, confined process, on inputs that are
made for this alone, under the tool. What the tool says becomes a few lines for the model. A program that forges a
report in its own folder misleads nobody but its author.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu import programs, tool_runner, wire
from orchestrator.execute.gpu.cases import derive, launches_for
from orchestrator.execute.gpu.family import Child
from orchestrator.execute.gpu.rest import SLACK_BYTES, wait_for_rest
from orchestrator.execute.gpu.session import Session
from orchestrator.execute.gpu.tool_texts import ncu_arguments, ncu_lines, sanitizer_arguments, sanitizer_lines
from orchestrator.execute.gpu.toolbox import LOG
from orchestrator.execute.sandbox import process
from tasks.gpu.launch import LaunchError
from tasks.gpu.problem import ArraySpec, ScalarSpec

if TYPE_CHECKING:
    from orchestrator.core.problems import GpuTests
    from orchestrator.execute.gpu.findings import Finding
    from tasks.gpu.problem import GpuProblem, Shape

__all__ = ["TOOLS", "Looked", "find", "look", "missing"]

TOOLS: Final = {"sanitizer": "compute-sanitizer", "ncu": "ncu"}
"""Name in the configuration -> the program."""
_USUAL = "/usr/local/cuda"
"""Where the toolkit puts itself."""
_MOST_S: Final = 120.0
"""For one tool on one program, its start and the import of torch included; shorter limits hold."""
_PROFILED_BYTES: Final = 64 << 20
"""ncu sees a call whose inputs and outputs take at most this: larger ones take the host seconds to make."""
_TICK_S: Final = 0.05
_MOST_PROCESSES: Final = 1024
"""A program's family under a tool, the tool's own parts included."""
_RAN: Final = frozenset({Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.ERROR, Verdict.REJECTED})


@dataclass(frozen=True, slots=True)
class Looked:
    """What a tool came to."""

    status: int | None
    """Its exit status; None: it was ended, or did not start."""
    report: str
    why: str = ""
    """Why it was ended or did not start."""
    output: str = ""
    """What was printed, for whoever looks for the reason."""


def find(tool: str) -> str | None:
    """Where a tool stands: on PATH, in CUDA_HOME or in the usual places of the toolkit."""
    name = TOOLS[tool]
    homes = [os.environ.get("CUDA_HOME", ""), os.environ.get("CUDA_PATH", ""), _USUAL]
    folders = [os.path.join(home, "bin") for home in homes if home]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


def missing(tools: Sequence[str]) -> str:
    """One sentence on the tools that are asked for and not there; empty if none is missing."""
    lacking = [TOOLS[tool] for tool in tools if find(tool) is None]
    if not lacking:
        return ""
    return (
        f"execute.tools asks for {' and '.join(lacking)}, found neither on PATH nor in CUDA_HOME:"
        " install the CUDA toolkit's tools there or leave them out of execute.tools"
    )


def look(
    session: Session,
    tests: GpuTests,
    program: str,
    dialect: str,
    *,
    tools: Sequence[str],
    finding: Finding,
    memory_bytes: int,
    wall_s: float,
    host_bytes: int,
) -> tuple[str, ...]:
    """Have the tools look at a program that was judged; returns lines for the model.

    Args:
        session: whose zygote forks the process.
        tests: the feedback tests; their seeds are not used.
        program: its source.
        dialect: of the program.
        tools: names out of :data:`TOOLS`; ncu looks only at programs that are right.
        finding: what was concluded of the program.
        memory_bytes: card memory that sizes are chosen for.
        wall_s: the program's own limit, which holds for each tool, at most two minutes.
        host_bytes: most resident memory.
    """
    from tasks.gpu.catalog import get

    if finding.verdict not in _RAN or finding.phase in ("compile", "load"):
        return ()
    problem, lines = get(tests.name), []
    small = problem.shapes(memory_bytes)[-2]
    profiled = problem.shapes(min(memory_bytes, 6 * _PROFILED_BYTES))[-1]
    for tool in tools:
        if tool == "ncu" and finding.verdict is not Verdict.PASSED:
            continue
        shape = profiled if tool == "ncu" else small
        try:
            files = order_files(problem, shape, tests.dtype, program, dialect, profile=tool == "ncu")
        except LaunchError:
            continue
        looked = run_tool(session, tool, files, min(wall_s, _MOST_S), host_bytes)
        if looked.why:
            lines.append(f"{TOOLS[tool]} came to no result: {looked.why}.")
            continue
        text = sanitizer_lines if tool == "sanitizer" else ncu_lines
        sizes = ", ".join(f"{name}={size}" for name, size in shape.dims.items())
        said = text(looked.report, looked.status)
        lines += [f"On an input of its own ({sizes}), {said[0]}", *said[1:]]
    return tuple(lines)


def order_files(
    problem: GpuProblem, shape: Shape, dtype: str, program: str, dialect: str, *, profile: bool
) -> list[bytes]:
    """What the confined process is given: in the order of :data:`.toolbox.FILES`.

    Raises:
        LaunchError: the program's launch lines can't be followed.
    """
    seed = derive("tool", os.urandom(16).hex(), problem.name)
    arrays: dict[str, Any] = {}
    inputs: list[dict[str, Any]] = []
    for spec, value in zip(problem.inputs(shape, dtype), problem.make_inputs(seed, shape, dtype), strict=True):
        if isinstance(spec, ScalarSpec):
            inputs.append({"scalar": value})
        else:
            arrays[spec.name] = value
            inputs.append({"name": spec.name, "element": spec.element, "host": spec.host})
    outputs = [
        {"shape": spec.shape, "element": spec.element}
        for spec in problem.outputs(shape, dtype)
        if isinstance(spec, ArraySpec)
    ]
    case = {
        "dialect": dialect,
        "entry_point": "solve",
        "inputs": inputs,
        "outputs": outputs,
        "launches": launches_for(problem, shape, dtype, dialect, program),
        "profile": profile,
    }
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return [
        Path(str(tool_runner.__file__)).read_bytes(),
        Path(str(programs.__file__)).read_bytes(),
        program.encode("utf-8", "surrogateescape"),
        json.dumps(case).encode(),
        packed.getvalue(),
    ]


def run_tool(session: Session, tool: str, files: Sequence[bytes], wall_s: float, host_bytes: int) -> Looked:
    """Run a tool on what ``files`` hold, in a confined process of its own, and wait until that is gone.

    Raises:
        FamilyError: the zygote is gone, or the process does not go away.
        CardQuarantined: the card's memory does not come back.
    """
    path = find(tool)
    if path is None:
        return Looked(None, "", missing([tool]))
    if session.tier == "bare":
        return Looked(None, "", "it needs a network namespace of its own, which this machine does not give")
    arguments = sanitizer_arguments(LOG) if tool == "sanitizer" else ncu_arguments(LOG)
    environment = {"NV_COMPUTE_PROFILER_DISABLE_STOCK_FILE_DEPLOYMENT": "1"}
    if tool == "sanitizer":
        # Out of torch's pool, a write past one array lands in another and is no error to anybody.
        environment["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    order = {"command": [path, *arguments, sys.executable, "tool_runner.py"], "environment": environment}
    bounds = session.bounds()
    bounds["read"] = [*bounds["read"], *sorted({_prefix(path), _prefix(os.path.realpath(path))})]
    session.settle()
    used, others = session.used(), session.on_card()
    child = session.family.spawn("tool", session.tier, {}, bounds)
    fds = [wire.memory_file(data) for data in files]
    try:
        wire.send(child.chan, order, fds)
        return _wait(session, child, wall_s, host_bytes)
    except OSError:
        return Looked(None, "", "its process did not start", child.output()[-2000:])
    finally:
        for fd in fds:
            os.close(fd)
        session.family.end(child, "looked at")
        _rest(session, used, others)


def _wait(session: Session, child: Child, wall_s: float, host_bytes: int) -> Looked:
    limit = time.monotonic() + wall_s
    while not child.inbox:
        if child.ending is not None:
            return Looked(None, "", f"its process ended with status {child.ending.code}", child.output()[-2000:])
        if time.monotonic() > limit:
            return Looked(None, "", f"not done after {wall_s:g} s", child.output()[-2000:])
        family = (child.pid, *process.descendants(child.pid, _MOST_PROCESSES))
        if len(family) > _MOST_PROCESSES:
            return Looked(None, "", f"more than {_MOST_PROCESSES} processes", child.output()[-2000:])
        resident = sum(process.resident_bytes(one) or 0 for one in family)
        if resident > host_bytes:
            return Looked(None, "", f"{resident >> 20} MiB of host memory", child.output()[-2000:])
        session.family.turn(_TICK_S)
        session.look()
    answer = child.inbox.popleft()
    return Looked(answer.get("status"), str(answer.get("report", "")), output=child.output()[-2000:])


def _rest(session: Session, used: int, others: frozenset[int] | None) -> None:
    """Wait until nobody is on the card who was not there before the tool.

    Where the driver does not tell processes apart, its sum of memory must be back. It is no sign elsewhere: the
    driver keeps memory of its own for a profiler that has gone.

    Raises:
        CardQuarantined: that does not come about.
    """

    def meanwhile() -> None:
        session.family.turn(_TICK_S)
        session.look()

    wait_for_rest(
        lambda: "the card is still in use" if _occupied(session, used, others) else "",
        meanwhile,
        "a tool was ended",
    )


def _occupied(session: Session, used: int, others: frozenset[int] | None) -> bool:
    now = session.on_card()
    if others is None or now is None:
        return session.used() > used + SLACK_BYTES
    return not now <= others


def _prefix(path: str) -> str:
    """The folder that an installed program's folder lies in."""
    return os.path.dirname(os.path.dirname(path))
