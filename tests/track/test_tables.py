"""Parquet tables, written in parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.tables import RESULTS, STEPS
from orchestrator.track import tables
from orchestrator.track.tables import TableWriter, open_filesystem, read_rows


def test_rows_come_back_in_order_whatever_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_A_PART", 7)
    writer = TableWriter(str(tmp_path / "new"), "results.parquet", RESULTS)
    for number in range(50):
        writer.write({"cell": "c", "sample": number, "api_usd": None})
    path = writer.close()
    rows = read_rows(path, ["cell", "sample", "api_usd"])
    assert rows == [{"cell": "c", "sample": n, "api_usd": None} for n in range(50)]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["results.parquet"]


def test_every_column_is_there_with_its_type_when_there_is_no_row(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = TableWriter(str(tmp_path), "steps.parquet", STEPS).close()
    schema = pq.read_schema(path)
    assert schema.names == [column.name for column in STEPS]
    assert str(schema.field("usd").type) == "double"


def test_a_time_is_the_same_statistic_in_both_tables() -> None:
    (result,), (step,) = ([c.meaning for c in table if c.name == "gpu_time_s"] for table in (RESULTS, STEPS))
    for meaning in (result, step):
        assert "seconds of one call, lower quartile over the rounds" in meaning


def test_hostile_text_does_not_break_the_file(tmp_path: Path) -> None:
    writer = TableWriter(str(tmp_path), "steps.parquet", STEPS)
    writer.write({"reply": "a\ud800b\x00c"})
    assert read_rows(writer.close(), ["reply"]) == [{"reply": "a\\ud800b\x00c"}]


def test_an_unknown_column_is_an_error_and_not_lost_in_silence(tmp_path: Path) -> None:
    writer = TableWriter(str(tmp_path), "results.parquet", RESULTS)
    with pytest.raises(KeyError, match="tokens"):
        writer.write({"tokens": 1})


def test_a_uri_is_a_place_too_and_a_bad_one_is_named(tmp_path: Path) -> None:
    writer = TableWriter(f"file://{tmp_path}/x", "results.parquet", RESULTS)
    writer.write({"cell": "c"})
    assert read_rows(writer.close(), ["cell"]) == [{"cell": "c"}]
    with pytest.raises(ValueError, match="gopher://there"):
        open_filesystem("gopher://there")
