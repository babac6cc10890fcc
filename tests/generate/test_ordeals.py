"""The bench's count of what was bought again: it must see a repetition, and nothing where there is none."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scripts.bench.generation_parts.ordeals import bill, bought_again


def journal(folder: Path, *replies: tuple[str, int, int, float]) -> Path:
    path = folder / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE replies (problem, sample, turn, created)")
        connection.executemany("INSERT INTO replies VALUES (?,?,?,?)", replies)
        connection.execute("CREATE TABLE reservations (state, worst_nano, settled_nano)")
        connection.executemany(
            "INSERT INTO reservations VALUES (?,?,?)",
            [("settled", 9, 5), ("released", 9, None), ("unsettled", 9, None), ("reserved", 7, None)],
        )
    return path


def log(folder: Path, *admitted: tuple[str, float]) -> Path:
    path = folder / "log"
    lines = [{"event": "admitted", "step": step, "at": at} for step, at in admitted]
    lines.append({"event": "replied", "step": "p/0;0;1|m|a", "at": 99.0})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_retry_before_the_journal_is_none_and_one_after_it_is(tmp_path: Path) -> None:
    rows = journal(tmp_path, ("p/0", 0, 1, 10.0), ("p/0", 1, 1, 11.0))
    first = [("p/0;0;1|m|a", 1.0), ("p/0;0;1|m|a", 9.0), ("p/0;1;1|m|a", 2.0), ("p/0;2;1|m|a", 50.0)]
    assert bought_again(log(tmp_path, *first), rows) == 0
    assert bought_again(log(tmp_path, *first, ("p/0;1;1|m|a", 11.5), ("p/0;0;1|m|a", 30.0)), rows) == 2


def test_a_larger_cap_is_another_request(tmp_path: Path) -> None:
    rows = journal(tmp_path, ("p/0", 0, 1, 10.0), ("p/0", 0, 1, 20.0))
    asked = [("p/0;0;1|m|small", 1.0), ("p/0;0;1|m|large", 12.0)]
    assert bought_again(log(tmp_path, *asked), rows) == 0
    assert bought_again(log(tmp_path, *asked, ("p/0;0;1|m|small", 13.0)), rows) == 1
    assert bought_again(log(tmp_path, *asked, ("p/0;0;1|m|large", 21.0)), rows) == 1


def test_two_that_do_not_belong_together_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="p/7;0;1"):
        bought_again(log(tmp_path, ("p/0;0;1|m|a", 1.0)), journal(tmp_path, ("p/7", 0, 1, 10.0)))


def test_a_bill_counts_what_was_left_reserved_as_unsettled(tmp_path: Path) -> None:
    spent = bill(journal(tmp_path))
    assert (spent.settled * 10**9, spent.unsettled * 10**9) == (5, 16)
