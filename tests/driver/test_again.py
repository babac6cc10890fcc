"""Answers that were paid for are used again: other runs, other verdicts; and a key that is refused buys nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.generate.rehearsal.problems import write_problems
from orchestrator.generate.rehearsal.process import RehearsalServer
from orchestrator.generate.rehearsal.settings import RehearsalSettings
from tasks.registry import load_suite

from .commands import QUICK, outcome, rows, run

KEY = "sk-test-0123456789-not-a-real-key"


def provider(tmp_path: Path, **settings: object) -> RehearsalServer:
    """A server that stands in for the API itself: the driver takes it for real."""
    path = tmp_path / "problems.jsonl"
    write_problems(path, load_suite("humaneval").problems)
    fields = {"problems": str(path), "latency_low_s": 0.0, "latency_high_s": 0.02, **settings}
    return RehearsalServer(RehearsalSettings(**fields))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six problems with a key, whose replies went into the cache; the server is gone afterwards."""
    folder = tmp_path_factory.mktemp("bought")
    with provider(folder) as server:
        ended = run(
            folder,
            "+sweep=humaneval",
            "limit=6",
            "run.dir=first",
            "cache=readwrite",
            f"model.base_url={server.base_url}",
            *QUICK[:1],
            "display=plain",
            ANTHROPIC_API_KEY=KEY,
        )
        assert ended.code == 0, ended.out + ended.err
        assert server.counts().charged.output_tokens > 0
    assert "NO MODEL WAS CALLED" not in ended.out
    assert KEY not in ended.out + ended.err
    (folder / "base_url").write_text(server.base_url)
    return folder


def test_the_key_is_in_no_file_that_a_run_leaves(bought: Path) -> None:
    for path in bought.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_another_run_takes_what_was_bought_and_buys_nothing(bought: Path) -> None:
    # The server is gone: anything that is asked of it would fail, and its port answers nobody.
    ended = run(
        bought,
        "+sweep=humaneval",
        "limit=6",
        "run.dir=second",
        "cache=read",
        "tracking.enabled=false",
        f"model.base_url={(bought / 'base_url').read_text()}",
        *QUICK[:1],
        "display=plain",
        ANTHROPIC_API_KEY=KEY,
    )
    assert ended.code == 0, ended.out + ended.err
    assert outcome(bought / "second") == outcome(bought / "first")
    assert "replies were taken from the cache" in ended.out
    assert "spent" not in ended.out


def test_regrading_gives_new_verdicts_to_old_programs_without_a_key(bought: Path) -> None:
    before = bought / "first"
    same = run(bought, f"regrade={before}", "run.dir=same", "tracking.enabled=false", "display=plain")
    assert same.code == 0, same.out + same.err
    assert "0 of 18 verdicts of first changed" in same.out
    assert outcome(bought / "same") == outcome(before)

    # So little memory that no program can be loaded: every verdict that was a pass changes, and each is listed.
    tight = ["execute.limits.output_bytes=1000", "execute.limits.wall_s=0.001"]
    tighter = run(bought, f"regrade={before}", "run.dir=tight", "tracking.enabled=false", "display=plain", *tight)
    if tighter.code == 0:
        changed = json.loads((bought / "tight" / "changed.json").read_text())
        verdicts = {tuple(row[:3]): row[3] for row in rows(before, "verdict")}
        for change in changed:
            assert change["before"] == verdicts[change["cell"], change["problem"], change["sample"]]
            assert change["after"] != change["before"]
        assert changed
    else:
        # The references do not pass under such limits either, and nothing is judged by tests that cannot be passed.
        assert tighter.code == 1
        assert "invalid reference" in tighter.err


def test_a_key_that_is_refused_stops_at_once_with_the_apis_own_words(tmp_path: Path) -> None:
    with provider(tmp_path, refuse="authentication") as server:
        ended = run(
            tmp_path,
            "+sweep=humaneval",
            "limit=50",
            "run.dir=r",
            "tracking.enabled=false",
            f"model.base_url={server.base_url}",
            *QUICK[:1],
            "display=plain",
            ANTHROPIC_API_KEY=KEY,
        )
        sent = server.counts().requests
    assert ended.code == 1, ended.out + ended.err
    assert "401" in ended.out + ended.err or "authentication" in ended.out + ended.err
    assert "Traceback" not in ended.err
    assert KEY not in ended.out + ended.err
    assert sent <= 2
