"""The command itself: exit codes, sentences, and texts that stay texts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.report.__main__ import main
from tests.report.fabricate import fabricate_run


def test_a_run_prints_its_table(plain_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(plain_run)]) == 0
    assert "138/164" in capsys.readouterr().out


def test_claims_are_judged_one_by_one(plain_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(plain_run), "--claims"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "supported Table 1, Claude (generate_only · sonnet): pass@1 (claimed: 83%)" in shown
    assert "Not measured: no correct program of it was timed on a card in this run." in shown
    assert "generate_only · sonnet, cost: $4.76 a month (claimed: $150 a month of API)" in shown


def test_two_runs_print_the_verdict_first(plain_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(plain_run), str(plain_run)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "no difference shown"


def test_gate(plain_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weaker = fabricate_run(tmp_path / "weaker", skill=-0.3)
    few = fabricate_run(tmp_path / "few", problems=5)
    assert main([str(plain_run), str(weaker)]) == 0
    assert main([str(plain_run), str(weaker), "--gate"]) == 1
    assert main([str(weaker), str(plain_run), "--gate"]) == 0
    assert main([str(few), str(few), "--gate"]) == 3


def test_a_long_claim_goes_on_beside_its_status(
    plain_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main([str(plain_run), "--claims"]) == 0
    claims = capsys.readouterr().out.split("\nCost and benefit")[0].splitlines()
    first = next(i for i, line in enumerate(claims) if "Table 1" in line)
    for line in claims[first:]:
        assert line[:13].strip() in ("", "supported", "refuted", "cannot tell", "not measured"), line


def test_problem_shows_everything(plain_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(plain_run), "--problem", "HumanEval/6"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "Complete the function for HumanEval/6",
        "generate_only-sonnet: error",
        "Here is the function.",
        "# turn 1 of HumanEval/6",
        "TypeError: unsupported operand",
        "turn 1 of 3",
        "turn 3 of 3",
        "sent back",
        "scoring tests: passed",
        "execute_only: passed",
    ):
        assert part in shown, part


def test_a_reply_cannot_drive_the_terminal(hostile_run: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.report", str(hostile_run), "--problem", "HumanEval/1"]
    done = subprocess.run(
        command, capture_output=True, check=True, env={"TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    )
    assert b"\x1b]0;" not in done.stdout
    assert b"\x1b[2J" not in done.stdout
    assert b"\x07" not in done.stdout
    assert "[bold red]markup[/]" in done.stdout.decode()


def test_html(plain_run: Path, hostile_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "page.html"
    assert main([str(plain_run), str(hostile_run), "--html", str(out)]) == 0
    assert str(out) in capsys.readouterr().out.replace("\n", "")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_html_goes_into_the_run_by_default(tmp_path: Path) -> None:
    run = fabricate_run(tmp_path / "run", problems=3)
    assert main([str(run), "--html"]) == 0
    assert (run / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere"], "is not a folder"),
        (["RUN", "--problem", "HumanEval/9999"], "did you mean"),
        (["RUN", "--problem", "x", "--html"], "--problem shows one problem"),
        (["RUN", "--gate"], "--gate compares two runs"),
        (["RUN", "RUN", "--claims"], "--claims judges one run"),
        (["RUN", "--cells", "a,b"], "--cells names one cell"),
        (["RUN", "RUN", "--cells", "a"], "two ids with a comma"),
        (["RUN", "RUN", "RUN"], "Two runs are compared at a time"),
        (["RUN", "--html", "RUN"], "is a folder"),
        (["RUN", "--html", "/proc/no/page.html"], "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    arguments: list[str], said: str, plain_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(plain_run) if a == "RUN" else a for a in arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
