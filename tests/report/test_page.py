"""The page as text: self-contained, escaped, small, and saying what it left out."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pyarrow.parquet as pq
import pytest

from orchestrator.report import failures, write_report
from orchestrator.report.failures import browser_data, top_reasons
from orchestrator.report.load import load_run
from orchestrator.report.markup import Html, json_script, table, tag
from tests.report.fabricate import HOSTILE, fabricate_run


def embedded(page: str, identifier: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{identifier}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture(scope="module")
def plain_page(plain_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report([plain_run], tmp_path_factory.mktemp("page") / "r.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile_page(hostile_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report([hostile_run], tmp_path_factory.mktemp("page") / "r.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_anywhere(plain_page: str) -> None:
    own = re.sub(r"<script>.*?</script>", "", plain_page, flags=re.DOTALL)
    assert not re.search(r"<(?:link|script|img|iframe)[^>]+(?:src|href)=", own)
    assert "http" not in re.sub(r"http-equiv", "", own)
    assert "default-src 'none'" in html.unescape(own)


def test_scripts_are_ours_alone(hostile_page: str) -> None:
    # Two that run, both named in the policy by their digest, and two that only hold data.
    policy = html.unescape(re.search(r'content="(default-src[^"]*)"', hostile_page)[1])  # type: ignore[index]
    scripts = re.search(r"script-src ([^;]*);", policy)[1].split()  # type: ignore[index]
    assert [s.split("-")[0] for s in scripts] == ["'sha256", "'sha256"]
    assert len(re.findall(r"<script>", re.sub(r"<script>.*?</script>", "<script>", hostile_page, flags=re.S))) == 2
    assert hostile_page.count('type="application/json"') == 2


def test_hostile_text_is_escaped_everywhere(hostile_page: str) -> None:
    assert "<img src=x" not in hostile_page
    assert "</script><script>window" not in hostile_page
    assert "<!--<script>" not in re.sub(r"<script>.*?</script>", "", hostile_page, flags=re.DOTALL)
    assert "&lt;img src=x" in hostile_page
    texts = embedded(hostile_page, "trials")["texts"]
    assert any(HOSTILE in text for text in texts)


def test_every_figure_is_one_that_plotly_takes(
    plain_page: str, hostile_page: str, gpu_run: Path, tmp_path: Path
) -> None:
    gpu_page = write_report([gpu_run], tmp_path / "r.html").read_text(encoding="utf-8")
    names = set()
    for page in (plain_page, hostile_page, gpu_page):
        for chart in embedded(page, "charts"):
            go.Figure({"data": chart["data"], "layout": chart["layout"]})
            names.add(chart["id"])
            assert f'id="chart-{chart["id"]}"' in page
    assert names == {
        "rates", "differences", "pareto", "headline", "month", "turns", "times", "memory", "speedups", "shares",
        "roofline", "speed-turns",
        "verdicts", "flight", "slots",
    }  # fmt: skip


def test_a_synthetic_band_lies_across_every_chart(plain_page: str, hostile_page: str) -> None:
    def bands(page: str) -> list[bool]:
        return [
            any("SYNTHETIC" in str(a.get("text")) for a in chart["layout"].get("annotations", []))
            and any(s.get("xref") == "paper" and s["x1"] == 1 for s in chart["layout"].get("shapes", []))
            for chart in embedded(page, "charts")
        ]

    assert all(bands(hostile_page))
    assert not any(bands(plain_page))
    assert 'class="banner"' in hostile_page
    assert 'class="banner"' not in plain_page


def test_the_questions_are_answered(plain_page: str) -> None:
    text = re.sub(
        r"<[^>]+>", " ", re.sub(r"<script.*?</script>|<style>.*?</style>", "", plain_page, flags=re.DOTALL)
    )
    text = " ".join(text.split())
    assert "Which system solved most? hybrid · sonnet" in text
    assert "Is the difference real? yes" in text
    assert "What did a solved problem cost? $0.0060 with hybrid · sonnet" in text
    assert "Why did a problem fail?" in text
    assert "python -m orchestrator +sweep=humaneval" in text
    assert "0123456789abcdef0123456789abcdef01234567" in text
    assert "partial (no user namespace)" in text
    assert "genai-prices 0.2.3, 2026-11-01" in text


def test_small_runs_are_whole(plain_run: Path) -> None:
    run = load_run(plain_run)
    browser = browser_data(run, run.summary())
    assert browser.said == ""
    assert len(browser.data["trials"]) == len(run.rows)
    assert len(browser.data["details"]) == len(run.rows)


def test_big_runs_are_sampled_evenly_and_say_so(plain_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MOST_LISTED", 40)
    monkeypatch.setattr(failures, "MOST_TEXTS", 12)
    run = load_run(plain_run)
    browser = browser_data(run, run.summary())
    listed = browser.data["trials"]
    assert len(listed) == 40
    failed = {str(r["verdict"]) for r in run.rows} - {"passed"}
    # Every kind of failure is there, even among the few whose texts are.
    assert failed <= {verdict for _, _, _, verdict, _ in listed}
    assert len(browser.data["details"]) == 12
    assert "40 of 492 trials" in browser.said
    assert "12 of them can be opened" in browser.said


def test_the_budget_of_text_is_kept(plain_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "TEXT_BUDGET", 3000)
    monkeypatch.setattr(failures, "LONGEST", 60)
    run = load_run(plain_run)
    browser = browser_data(run, run.summary())
    texts = browser.data["texts"]
    assert len(texts) == len(set(texts))
    assert any("more characters" in text for text in texts)
    assert 0 < len(browser.data["details"]) < len(run.rows)
    assert "can be opened here" in browser.said


def test_reasons_are_counted(plain_run: Path) -> None:
    found = top_reasons(load_run(plain_run).rows)
    assert [n for _, _, n, _ in found] == sorted((n for _, _, n, _ in found), reverse=True)
    assert found[0][:2] == ("wrong_answer", "assert candidate([1, 2, 3]) == 6")
    assert sum(n for _, _, n, _ in found) == 28


def test_an_unfinished_run_has_a_page(tmp_path: Path) -> None:
    run = fabricate_run(tmp_path / "run", problems=3, ours=1.0)
    page = write_report([run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "nothing was graded" in page


def test_an_old_run_has_a_page(tmp_path: Path) -> None:
    missing = ("api_usd", "execute_s", "peak_memory_bytes", "started_at", "ended_at", "slot", "reason", "feedback")
    run = fabricate_run(tmp_path / "run", problems=5, missing=missing)
    (run / "plan.json").write_text(json.dumps({"cells": []}))
    page = write_report([run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert {chart["id"] for chart in embedded(page, "charts")} == {"rates", "differences", "turns", "verdicts"}


def test_markup_escapes_all_but_html() -> None:
    assert tag("p", "<b>", Html("<i>x</i>"), title='"<') == '<p title="&quot;&lt;">&lt;b&gt;<i>x</i></p>'
    assert "<script" not in table(["<script>"], [["<script>"]])
    script = json_script("x", {"a": "</script><!--\u2028&"})
    assert script.count("<") == 2
    assert json.loads(re.sub(r"<[^>]*>", "", script)) == {"a": "</script><!--\u2028&"}
    assert json_script("x", "\ud800").encode("utf-8")


def test_texts_that_are_no_text_are_survived(tmp_path: Path) -> None:
    run = fabricate_run(tmp_path / "run", problems=2, systems=("generate_only",))
    steps = pq.read_table(run / "steps.parquet")
    broken = steps.set_column(steps.schema.get_field_index("messages"), "messages", [["not json"] * steps.num_rows])
    pq.write_table(broken, run / "steps.parquet")
    page = write_report([run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "not json" in embedded(page, "trials")["texts"]
