"""Terminals that cannot show every character, or are gone."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.core.streams import Output, print_what_fits
from orchestrator.report.__main__ import main as report
from tasks.validate import main as validate
from tests.report.fabricate import fabricate_run


def ascii_terminal(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """A terminal that shows ASCII only, in place of standard output; its ``buffer`` holds what was printed."""
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    return terminal


def printed(terminal: io.TextIOWrapper) -> bytes:
    assert isinstance(terminal.buffer, io.BytesIO)
    return terminal.buffer.getvalue()


def test_what_an_encoding_lacks_is_printed_as_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = ascii_terminal(monkeypatch)
    print_what_fits()
    print("hybrid · sonnet")
    assert printed(terminal) == b"hybrid ? sonnet\n"


def test_the_claims_of_a_run_are_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = fabricate_run(tmp_path / "run", problems=3)
    terminal = ascii_terminal(monkeypatch)
    assert report([str(run), "--claims"]) == 0
    assert b"generate_only ? sonnet" in printed(terminal)


@pytest.mark.parametrize("command", [main, report, validate])
def test_no_command_ends_because_of_a_character(
    command: Callable[[list[str]], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = ascii_terminal(monkeypatch)
    with contextlib.suppress(SystemExit):
        command(["--help"])
    assert terminal.errors == "replace"


class _Pipe:
    """A pipe in place of a standard stream; ``leave`` closes its reading end."""

    def __init__(self) -> None:
        self._reading, writing = os.pipe()
        self.stream = os.fdopen(writing, "w")

    def read(self) -> str:
        return os.read(self._reading, 1 << 16).decode()

    def leave(self) -> None:
        os.close(self._reading)


def standard_pipes(monkeypatch: pytest.MonkeyPatch) -> tuple[_Pipe, _Pipe]:
    """In place of standard output and standard error."""
    out, err = _Pipe(), _Pipe()
    monkeypatch.setattr(sys, "stdout", out.stream)
    monkeypatch.setattr(sys, "stderr", err.stream)
    return out, err


def test_what_nobody_reads_any_more_goes_to_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = standard_pipes(monkeypatch)
    output, left = Output(), []
    output.watch(lambda: left.append(1))
    print("first", file=output, flush=True)
    assert out.read() == "first\n"
    out.leave()
    print("second", file=output, flush=True)
    print("third", file=output, flush=True)
    assert err.read() == "second\nthird\n"
    assert left == [1]
    # Python flushes the lost stream once more at exit.
    out.stream.flush()
    out.stream.close()


def test_with_both_gone_nothing_is_raised_and_who_asks_later_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pipes = standard_pipes(monkeypatch)
    output, left = Output(), []
    for pipe in pipes:
        pipe.leave()
    print("anything", file=output, flush=True)
    output.watch(lambda: left.append(1))
    print("more", file=output, flush=True)
    assert left == [1]
    assert not output.isatty()
    for pipe in pipes:
        pipe.stream.close()


def test_a_terminal_that_is_gone_is_no_reader_that_left(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        output, left = Output(), []
        output.watch(lambda: left.append(1))
        assert output.isatty()
        os.close(mine)
        print("anything", file=output, flush=True)
        assert not output.isatty()
        assert left == []
