"""The tools' pass with a stand-in for the tool: what its process may do, and that it is gone afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from orchestrator.core.problems import GpuTests, Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu import tools
from orchestrator.execute.gpu.findings import Finding
from orchestrator.execute.gpu.session import Session
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from orchestrator.execute.gpu.toolbox import FILES, LOG
from orchestrator.execute.sandbox import process
from tasks.gpu.catalog import get

PASSED = Finding(Verdict.PASSED, "", "time")
STAND_IN = f"""#!{sys.executable}
import json, os, socket, sys, threading
said = []
def tried(name, work):
    try:
        said.append(f"{{name}} {{work()}}")
    except OSError as error:
        said.append(f"{{name}} refused {{error.errno}}")
def loopback():
    server = socket.create_server(("127.0.0.1", 0))
    line = socket.create_connection(server.getsockname(), 2)
    server.accept()[0].sendall(b"worked")
    return line.recv(9).decode()
def named():
    socket.socket(socket.AF_UNIX).bind("here.sock")
    return "worked"
def pipe():
    os.mkfifo("pipe")
    return "worked"
def node():
    os.mknod("node", 0o20600, os.makedev(1, 3))
    return "worked"
def names_threads():
    # As the driver does it, in a process that did not exist when the rules were made.
    child = os.fork()
    if child == 0:
        try:
            with open(f"/proc/self/task/{{os.getpid()}}/comm", "w") as name:
                name.write("driver")
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
def kernel(path):
    os.close(os.open(path, os.O_WRONLY))
    return "open"
def outside():
    return socket.create_connection(("192.0.2.1", 80), 2)
tried("loopback", loopback)
tried("named", named)
tried("pipe", pipe)
tried("node", node)
tried("names", names_threads)
tried("sysctl", lambda: kernel("/proc/sys/kernel/core_pattern"))
tried("sysrq", lambda: kernel("/proc/sysrq-trigger"))
tried("init", lambda: kernel("/proc/1/mem"))
tried("share", lambda: kernel("/proc/1/autogroup"))
tried("outside", outside)
tried("project", lambda: open({os.path.abspath(tools.__file__)!r}).read()[:10])
tried("child", lambda: os.waitstatus_to_exitcode(os.system("exit 7")))
case = json.load(open("case.json"))
said.append(f"case {{case['dialect']}} {{len(case['inputs'])}} {{sorted(os.listdir('.'))}}")
with open({LOG!r}, "w") as log:
    log.write("========= COMPUTE-SANITIZER\\n" + "".join(f"said {{x}}\\n" for x in said))
    log.write("========= ERROR SUMMARY: 0 errors\\n")
if "hang" in open("program_source").read():
    threading.Event().wait()
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    settings = GpuExecutorSettings(
        device="cpu", isolation="none", spares=1, scratch_dir=str(tmp_path_factory.mktemp("tools"))
    )
    made = Session(settings, None)
    yield made
    made.close()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called compute-sanitizer, first on PATH."""
    folder = tmp_path / "toolkit" / "bin"
    folder.mkdir(parents=True)
    made = folder / "compute-sanitizer"
    made.write_text(STAND_IN)
    made.chmod(0o755)
    # Programs that root starts as another user must get there.
    for above in (tmp_path, *list(tmp_path.parents)[:2]):
        above.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return made


def files_for(problem: Problem, program: str) -> list[bytes]:
    known = get("softmax")
    return tools.order_files(known, known.shapes(1 << 30)[0], "fp32", program, "torch", profile=False)


def test_the_tools_process_reaches_itself_and_nobody_else(
    session: Session, stand_in: Path, problem: Problem
) -> None:
    del stand_in
    if session.tier == "bare":
        pytest.skip(f"no namespaces here: {session.tiers}")
    mine = set(process.descendants(os.getpid()))
    looked = tools.run_tool(session, "sanitizer", files_for(problem, "x"), 60.0, 1 << 34)
    assert (looked.status, looked.why) == (0, ""), looked
    said = dict(line.removeprefix("said ").split(" ", 1) for line in looked.report.splitlines() if "said" in line)
    assert said["loopback"] == "worked"
    assert said["named"] == "worked"
    assert said["child"] == "7"
    assert said["pipe"] == "worked"
    assert said["node"].startswith("refused")
    assert said["names"] == "0"
    assert [said[path].split()[0] for path in ("sysctl", "sysrq", "init", "share")] == ["refused"] * 4
    assert said["outside"].startswith("refused")
    assert said["project"].startswith("refused")
    assert all(name in said["case"] for name in FILES)
    assert set(process.descendants(os.getpid())) <= mine


def test_a_tool_that_hangs_is_ended_with_its_program(session: Session, stand_in: Path, problem: Problem) -> None:
    del stand_in
    if session.tier == "bare":
        pytest.skip(f"no namespaces here: {session.tiers}")
    mine = set(process.descendants(os.getpid()))
    looked = tools.run_tool(session, "sanitizer", files_for(problem, "hang"), 2.0, 1 << 34)
    assert looked.why == "not done after 2 s"
    assert set(process.descendants(os.getpid())) <= mine


def test_a_family_without_end_is_ended(
    session: Session, stand_in: Path, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    del stand_in
    if session.tier == "bare":
        pytest.skip(f"no namespaces here: {session.tiers}")
    mine = set(process.descendants(os.getpid()))
    # The process that runs the tool, and the tool: one more than are allowed.
    monkeypatch.setattr(tools, "_MOST_PROCESSES", 1)
    looked = tools.run_tool(session, "sanitizer", files_for(problem, "hang"), 60.0, 1 << 34)
    assert looked.why == "more than 1 processes"
    assert set(process.descendants(os.getpid())) <= mine


def test_lines_for_the_model_name_the_size(session: Session, stand_in: Path, problem: Problem) -> None:
    del stand_in
    if session.tier == "bare":
        pytest.skip(f"no namespaces here: {session.tiers}")
    tests = cast(GpuTests, problem.feedback)
    kinds = {"tools": ("sanitizer",), "memory_bytes": 1 << 30, "wall_s": 60.0, "host_bytes": 1 << 34}
    lines = tools.look(session, tests, "x", "torch", finding=PASSED, **kinds)  # type: ignore[arg-type]
    assert lines == ("On an input of its own (rows=3, cols=5001), compute-sanitizer (memcheck): clean, 0 errors.",)
    compiled = Finding(Verdict.ERROR, "does not compile", "compile")
    assert tools.look(session, tests, "x", "torch", finding=compiled, **kinds) == ()  # type: ignore[arg-type]


def test_a_tool_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "_USUAL", str(tmp_path))
    told = tools.missing(["sanitizer", "ncu"])
    assert "compute-sanitizer and ncu" in told
    assert "CUDA_HOME" in told
    assert tools.missing([]) == ""
    (tmp_path / "bin").mkdir()
    made = tmp_path / "bin" / "ncu"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    assert tools.missing(["ncu"]) == ""


class _Card:
    """What a session says of its card."""

    def __init__(self, used: int, on_card: frozenset[int] | None) -> None:
        self._used, self._on_card = used, on_card

    def used(self) -> int:
        return self._used

    def on_card(self) -> frozenset[int] | None:
        return self._on_card


@pytest.mark.parametrize(
    ("before", "now", "occupied"),
    [
        (frozenset({1, 2}), _Card(9 << 30, frozenset({1, 2})), False),
        (frozenset({1, 2}), _Card(9 << 30, frozenset({2})), False),
        (frozenset({1, 2}), _Card(1 << 30, frozenset({1, 2, 3})), True),
        (None, _Card((1 << 30) + (64 << 20), None), False),
        (None, _Card(2 << 30, None), True),
        (frozenset({1, 2}), _Card(2 << 30, None), True),
    ],
)
def test_a_card_is_at_rest_when_nobody_new_is_on_it(
    before: frozenset[int] | None, now: _Card, occupied: bool
) -> None:
    assert tools._occupied(now, 1 << 30, before) is occupied  # type: ignore[arg-type]
