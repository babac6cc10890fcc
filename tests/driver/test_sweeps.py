"""The two sweeps about published claims, end to end: the whole article, and the claim behind it."""

from __future__ import annotations

import html
import socket
from pathlib import Path

from orchestrator.core.benefit import benefit_table
from orchestrator.core.claims import TABLE_1, WORKLOADS
from orchestrator.core.findings import findings
from orchestrator.plan.build import load_plan
from orchestrator.report import load_run
from orchestrator.track.tables import read_rows
from tests.driver.commands import QUICK, run, summary
from tests.driver.stand_in import local_server


def test_the_article_is_reproduced_and_says_what_it_could_not_measure(tmp_path: Path) -> None:
    done = run(tmp_path, "+sweep=article", "limit=2", "run.dir=out", *QUICK)
    assert done.code == 0, done.err
    assert "SYNTHETIC" in done.out
    cells = summary(tmp_path / "out")
    assert {(cell["suite"], cell["system"]) for cell in cells.values()} == {
        (suite, system) for suite in ("humaneval", "gpu") for system in ("generate_only", "execute_only", "hybrid")
    }
    assert {cell["graded"] for cell in cells.values()} == {2}
    # The reference programs pass on both suites: machine and tests are sound.
    assert {cell["passed"] for cell in cells.values() if cell["system"] == "execute_only"} == {2}

    ended = load_run(tmp_path / "out")
    found = findings(ended.evidence(ended.summary()))
    subjects = [finding.subject for finding in found]
    # Every row of Table 1 and every workload has a line, and a sentence that says why it is judged so.
    for system in (row.system for row in TABLE_1):
        assert any("Table 1" in subject and system in subject for subject in subjects), system
    assert sum(subject.startswith("Workload, ") for subject in subjects) == len(WORKLOADS)
    assert all(finding.sentence for finding in found)
    assert {"not measured", "cannot tell"} == {finding.status for finding in found}
    computed = {(row.system, row.quantity) for row in benefit_table(ended.evidence(ended.summary()))}
    assert {quantity for _, quantity in computed} == {"cost", "time per iteration", "scalability"}
    page = html.unescape((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "Not measured in this run" in page
    assert "Cost and benefit (the article's Table 2)" in page
    assert "Speed, on CPUs: no card was there" in page
    (line,) = [line for line in done.out.splitlines() if "rows of the article measured" in line]
    assert "because this was a rehearsal and no model was called" in line
    assert "because no card was there" in line

    steps = list(ended.steps(("kind", "slot", "lease_s", "verdict", "speedup", "problem", "resumed")))
    asked = [step for step in steps if step["kind"] == "generation"]
    assert {step["slot"] for step in asked} == {"generation-rehearsal-0"}
    assert all(step["lease_s"] > 0 for step in asked)
    # What a repair does to the speed of GPU programs can be followed turn by turn, and its roofline drawn.
    tried = [
        s for s in steps if s["kind"] == "feedback" and s["problem"].startswith("gpu/") and s["verdict"] == "passed"
    ]
    assert tried
    # Some calls are too short on a CPU for the clock: those have no speed.
    assert all(step["speedup"] is None or step["speedup"] > 0 for step in tried)
    timed = [row for row in ended.rows if row["problem"].startswith("gpu/") and row["verdict"] == "passed"]
    assert all(row["peak_bytes_per_s"] > 0 and row["least_bytes"] > 0 and row["dtype"] for row in timed)
    assert all(row.get("gpu") is None for row in timed)


def test_the_headline_puts_a_model_on_a_card_beside_claude(tmp_path: Path) -> None:
    plan = load_plan(["+sweep=humaneval", "limit=2", "model=rehearsal"])
    environment = {"ORCHESTRATOR_LOCAL_MODEL": "open-14b", "ORCHESTRATOR_LOCAL_USD_PER_HOUR": "0.36"}
    with local_server(tmp_path, plan.problems(plan.cells[0]), seed=7) as url:
        environment["ORCHESTRATOR_LOCAL_URL"] = url
        words = ("+sweep=headline", "limit=2", "run.dir=out", *QUICK)
        done = run(tmp_path, *words, ANTHROPIC_API_KEY="", **environment)
    assert done.code == 0, done.err
    cells = summary(tmp_path / "out")
    assert set(cells) == {
        f"{system}-{model}" for system in ("generate_only", "hybrid") for model in ("sonnet", "local")
    }
    for name, cell in cells.items():
        # No key stands for Claude here, so rehearsal does; the server on the card counts as a model.
        assert cell["synthetic"] is name.endswith("sonnet")
        assert cell["graded"] == 6, name
        # Single shot, best of three by public tests, and what an oracle would have picked: apart.
        assert set(cell["selected_at_k"]) == set(cell["pass_at_k"]) == {"3"}
    assert cells["hybrid-local"]["first_turn"] is not None
    # No key stood for Claude, so the sentence that would answer says that it does not.
    (sentence,) = [line for line in done.out.splitlines() if line.startswith("With $")]
    assert sentence.endswith("No model was called, so this answers nothing yet.")
    # A model on a card is paid by the time that the card was busy.
    assert cells["generate_only-local"]["api_usd"] > 0
    rows = read_rows(str(tmp_path / "out" / "results.parquet"), ["cell", "problem", "model_id"])
    asked = {name: {row["problem"] for row in rows if row["cell"] == name} for name in cells}
    assert len(set(map(frozenset, asked.values()))) == 1


def test_without_a_server_the_headline_says_what_to_start(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = run(tmp_path, "+sweep=headline", "limit=2", "run.dir=out", ORCHESTRATOR_LOCAL_URL=url)
    assert done.code == 1
    (sentence,) = [line for line in done.err.splitlines() if "run failed" in line]
    assert f"model=local has no server at {url}: start one" in sentence
    assert "llama-server" in sentence
    assert "Ray" not in done.out
    assert not (tmp_path / "out").exists()
