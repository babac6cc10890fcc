import re
import subprocess
import sys

import pytest

from orchestrator.execute.boxes import Standing
from orchestrator.execute.preflight import IsolationRefused, describe, preflight
from orchestrator.execute.sandbox import escapes
from orchestrator.execute.settings import ExecutorSettings, Mechanism

FULL = Standing(
    namespaces=True, refused="", landlock=7, seccomp=True, uid=1000, size_bytes=1 << 24, resident_bytes=1 << 23
)


def test_what_stands_is_what_it_says() -> None:
    report = preflight()
    assert report.level >= 1
    assert report.text == "full" or re.fullmatch(r"partial \(.+\)", report.text)
    tried = f"escapes tried: {len(escapes.names())}, refused: "
    assert any(line.startswith(tried) for line in report.lines)
    # Nothing that was tried is open where the mechanisms stand.
    assert "can " not in report.text


@pytest.mark.parametrize(
    ("without", "opened"),
    [
        ({"namespaces"}, set()),
        ({"seccomp"}, {"use keyrings", "enter new namespaces", "make shared memory segments"}),
        ({"namespaces", "landlock"}, {"read another's file", "read the accounts"}),
    ],
    ids=str,
)
def test_attempts_find_what_is_left_open(without: set[Mechanism], opened: set[str]) -> None:
    report = preflight(ExecutorSettings(isolation="none", without=frozenset(without)))
    for name in without:
        assert f"no {'Landlock' if name == 'landlock' else name}" in report.text
    # So an attempt that is refused above is refused by something, and not because it cannot work.
    for name in opened:
        assert f"can {name}" in report.text


@pytest.mark.parametrize(
    ("change", "text", "level"),
    [
        ({}, "full", 2),
        ({"namespaces": False, "refused": "not permitted"}, "partial (no namespaces)", 1),
        ({"landlock": 0}, "partial (no Landlock)", 1),
        ({"seccomp": False}, "none (no seccomp)", 0),
        ({"namespaces": False, "landlock": 0}, "none (no namespaces, no Landlock)", 0),
    ],
)
def test_levels(change: dict[str, object], text: str, level: int) -> None:
    standing = Standing(
        **{**{name: getattr(FULL, name) for name in FULL.__dataclass_fields__}, **change}  # type: ignore[arg-type]
    )
    report = describe(standing, {})
    assert (report.text, report.level) == (text, level)
    for wanted, needed in (("full", 2), ("partial", 1), ("none", 0)):
        if level >= needed:
            report.require(wanted)
        else:
            with pytest.raises(IsolationRefused, match=re.escape(text)):
                report.require(wanted)


def test_an_escape_that_works_is_not_full() -> None:
    report = describe(FULL, {"open a UDP socket": "made one"})
    assert (report.text, report.level) == ("partial (can open a UDP socket)", 1)
    assert "  open: open a UDP socket: made one" in report.lines


def test_why_namespaces_were_refused_is_said() -> None:
    standing = Standing(False, "Operation not permitted", 7, True, 0, 1, 1)
    lines = describe(standing, {}).lines
    assert "namespaces (user, PID, network, mount, IPC): no (Operation not permitted)" in lines
    assert "candidates run as: root without capabilities" in lines


def test_it_can_be_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.execute.preflight"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("isolation: ")
    assert "seccomp: yes" in done.stdout
