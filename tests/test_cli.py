from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import main

HEAVY = ("ray", "torch", "mlflow", "anthropic", "scipy")

BAD = [
    (["+sweep=humanevil"], ["sweep=humanevil", "humaneval"]),
    (["+sweep=humaneval", "model=sonet"], ["model=sonet", "sonnet"]),
    (["+sweep=humaneval", "problems=[HumanEval/9999]"], ["HumanEval/9999"]),
    (["+sweep=humaneval", "sampels=3"], ["sampels", "samples"]),
    (["+sweep=humaneval", "samples=0"], ["samples=0", "1 or more"]),
    (["+sweep=humaneval", "samples=many"], ["samples=many", "whole number"]),
    (["+sweep=humaneval", "budget.usd=-1"], ["budget.usd=-1", "0 or more"]),
    (["+sweep=humaneval", "limit=0"], ["limit=0"]),
    (["+sweep=humaneval", "model.id=claude-nonsense-9"], ["claude-nonsense-9", "price"]),
    (["+sweep=humaneval", "suite.dialect=triton"], ["suite.dialect=triton", "suite=gpu"]),
    (["+sweep=humaneval", "run.dir=/proc/run"], ["run.dir=/proc/run", "read-only"]),
    (["+sweep=humaneval", "tracking.uri=nowhere"], ["tracking.uri=nowhere", "sqlite:///"]),
    (["+sweep=humaneval", "system=hybrid", "axes.system=[hybrid]"], ["system", "keep one"]),
    (["+sweep=humaneval", "system=hybrid", "model=samples", "model.path=x"], ["system=hybrid", "model=samples"]),
    (["model=samples", "model.path=none.jsonl"], ["none.jsonl"]),
    (["model=samples", "model.path=empty.jsonl"], ["empty.jsonl", "empty"]),
    (["model=samples", "model.path=bad.jsonl"], ["bad.jsonl", "line 2"]),
    (["model=samples", "model.path=unknown.jsonl"], ["line 1", "HumanEvil/0"]),
    (["model=samples", "model.path=one.jsonl"], ["one.jsonl", "HumanEval/1"]),
    (["resume=nowhere"], ["nowhere", "no run's folder"]),
    (["-m", "model=sonnet,haiku"], ["-m", "axes.model=[sonnet,haiku]"]),
    (["isolation.require=absolute"], ["isolation.require=absolute", "full"]),
    (["feedback=secret"], ["feedback=secret", "oracle"]),
    (["cache=always"], ["cache=always", "readwrite"]),
    (["display=curses"], ["display=curses", "rich"]),
    (["preflight=maybe"], ["preflight=maybe", "only"]),
    (["generate.deadline_s=nan"], ["generate.deadline_s=nan is no finite number; it must be a number above 0"]),
    (["generate.deadline_s=inf"], ["generate.deadline_s=inf is no finite number; it must be a number above 0"]),
    (["prompt.first='{prompt:{x}}'"], ["prompt.first", "{prompt:{x}}", "write {prompt}"]),
    (["tracking.uri=http://["], ["tracking.uri=http://[", "http://127.0.0.1:5000"]),
    (["model=rehearsal", "rehearsal.log=/proc/x"], ["rehearsal.log=/proc/x ", "read-only"]),
    *(([f"{key}=~nouser/x"], [f"{key}=~nouser/x", "from /"]) for key in ("run.dir", "resume", "regrade")),
    (["model=samples", "model.path=~nouser/x"], ["model.path=~nouser/x", "from /"]),
    (["model.key_file=~nouser/x"], ["model.key_file=~nouser/x", "from /"]),
    (["--config-dir", "~nouser/x"], ["--config-dir=~nouser/x", "from /"]),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    good = '{"task_id": "HumanEval/0", "completion": "    return 1"}\n'
    (tmp_path / "one.jsonl").write_text(good)
    (tmp_path / "bad.jsonl").write_text(good + "{]\n")
    (tmp_path / "unknown.jsonl").write_text(good.replace("HumanEval", "HumanEvil"))
    return tmp_path


@pytest.mark.parametrize(("words", "fragments"), BAD)
def test_bad_input_gets_one_sentence_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], fragments: list[str]
) -> None:
    before = sorted(folder.iterdir())
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"orchestrator: [^\n]+\n", printed.err)
    for fragment in fragments:
        assert fragment in printed.err
    assert sorted(folder.iterdir()) == before


def test_nothing_heavy_is_loaded_for_a_configuration_error(folder: Path) -> None:
    """The 2 seconds that an error may take would go to importing these alone."""
    script = (
        "import sys\n"
        "from orchestrator.cli import main\n"
        "commands = ['samples=0', '+sweep=humaneval model.id=claude-nonsense-9', 'problems=[HumanEval/999]',\n"
        "            'model=samples model.path=bad.jsonl']\n"
        "codes = [main(command.split()) for command in commands]\n"
        f"print(codes, [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[2, 2, 2, 2] []"


def test_the_module_is_the_command(folder: Path) -> None:
    command = [sys.executable, "-m", "orchestrator"]
    wrong = subprocess.run([*command, "samples=0"], capture_output=True, text=True, timeout=60)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Traceback" not in wrong.stderr
    right = subprocess.run([*command, "+sweep=smoke", "plan=true"], capture_output=True, text=True, timeout=60)
    assert right.returncode == 0
    assert "3 cells, 15 trials" in right.stdout
    # No outputs/, no multirun/, no log: only what the fixture wrote.
    assert {file.suffix for file in folder.iterdir()} == {".jsonl"}


def test_help_version_and_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in ("humaneval", "headline", "sonnet", "execute_only", "mbpp", "rtx4060"):
        assert name in text
    assert main(["--version"]) == 0
    assert re.fullmatch(r"orchestrator \d+\.\d+\.\d+\n", capsys.readouterr().out)
    assert main(["--cfg", "job", "+sweep=humaneval", "system=hybrid", "axes.turns=[1,2]"]) == 0
    shown = capsys.readouterr().out
    assert "axes:\n  turns:\n  - 1\n  - 2\n" in shown
    assert "claude-sonnet-5-5" in shown


def test_a_reader_that_leaves_is_no_error(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_plan_is_printed_and_nothing_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.iterdir())
    assert main(["+sweep=humaneval", "plan=true", "limit=3"]) == 0
    text = capsys.readouterr().out
    assert "3 cells, 9 trials" in text
    assert "nothing was spent" in " ".join(text.split())
    assert sorted(folder.iterdir()) == before
