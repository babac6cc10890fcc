"""Terminals that cannot show every character."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.core.streams import print_what_fits
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
