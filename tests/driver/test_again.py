"""Answers that were paid for are used again: other runs, other verdicts; and a key that is refused buys nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .commands import QUICK, outcome, rows, run
from .provider import Provider

PLAIN = ("cluster.num_cpus=2", "generate.stream=false", "display=plain")
KEY = "sk-test-0123456789-not-a-real-key"


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six problems with a key, whose replies went into the cache; the server is gone afterwards."""
    folder = tmp_path_factory.mktemp("bought")
    with Provider() as server:
        ended = run(
            folder,
            "+sweep=humaneval",
            "limit=6",
            "run.dir=first",
            "cache=readwrite",
            f"model.base_url={server.base_url}",
            *PLAIN,
            ANTHROPIC_API_KEY=KEY,
        )
        assert ended.code == 0, ended.out + ended.err
        assert server.asked == 6
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
        *PLAIN,
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

    # One recorded verdict is changed by hand, as if the judge had been wrong then: the change is found and listed.
    cells = {row[0] for row in rows(before, "verdict")}
    assert len(cells) == 3
    forged = bought / "forged"
    shutil.copytree(before, forged)
    table = pq.read_table(forged / "results.parquet")
    wrong = pa.array(["wrong_answer", *table.column("verdict").to_pylist()[1:]])
    table = table.set_column(table.schema.get_field_index("verdict"), "verdict", wrong)
    pq.write_table(table, forged / "results.parquet")
    again = run(bought, f"regrade={forged}", "run.dir=again", "tracking.enabled=false", "display=plain")
    assert again.code == 0, again.out + again.err
    assert "1 of 18 verdicts of forged changed" in again.out
    (change,) = json.loads((bought / "again" / "changed.json").read_text())
    assert (change["before"], change["after"]) == ("wrong_answer", "passed")


def test_tables_that_lie_elsewhere_are_regraded_from_there(tmp_path: Path) -> None:
    words = ("suite=humaneval", "system=generate_only", "model=rehearsal", "limit=2", "tracking.enabled=false")
    first = run(tmp_path, *words, "run.dir=first", f"run.results_uri=file://{tmp_path}/tables", *QUICK)
    assert first.code == 0, first.out + first.err
    assert not (tmp_path / "first" / "results.parquet").exists()
    again = run(tmp_path, "regrade=first", "run.dir=again", "tracking.enabled=false", "display=plain")
    assert again.code == 0, again.out + again.err
    assert len(rows(tmp_path / "again")) == 2


def test_a_key_that_is_refused_stops_at_once_with_the_apis_own_words(tmp_path: Path) -> None:
    with Provider(refuse=True) as server:
        ended = run(
            tmp_path,
            "+sweep=humaneval",
            "limit=50",
            "run.dir=r",
            "tracking.enabled=false",
            f"model.base_url={server.base_url}",
            *PLAIN,
            ANTHROPIC_API_KEY=KEY,
        )
        sent = server.asked
    assert ended.code == 1, ended.out + ended.err
    assert "401" in ended.out + ended.err or "authentication" in ended.out + ended.err
    assert "Traceback" not in ended.err
    assert KEY not in ended.out + ended.err
    assert sent == 0
