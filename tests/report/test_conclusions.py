"""The lines at the end of a sweep."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.core.benefit import BenefitRow
from orchestrator.core.findings import Finding
from orchestrator.report.conclusions import claims_line, conclusions


def finding(subject: str, status: str, why: str = "") -> Finding:
    sentence = f"Not measured: {why}." if why else "Supported: because."
    return Finding(subject, "x", "y", status, sentence)  # type: ignore[arg-type]


def test_claims_are_counted_in_one_line_with_the_reasons_for_the_rest() -> None:
    found = [
        finding("Table 1, Claude: pass@1", "supported"),
        finding("Table 1, GPU: memory", "cannot tell"),
        finding("Table 1, hybrid: pass@1", "not measured", "no model was called; its synthetic figure is 83%"),
        finding("Workload, training", "not measured", "no card was there"),
        finding("Workload, game physics", "not measured", "no card was there"),
        finding("The hybrid can debug", "refuted"),
    ]
    benefit = [BenefitRow("s", "cost", "c", "n/a", "f", False), BenefitRow("s", "time", "c", "2 s", "f", True)]
    assert claims_line(found, benefit) == (
        "3 of 6 rows of the article measured: 1 supported, 1 refuted, 1 cannot tell; not measured: Table 1, "
        "hybrid: pass@1 because no model was called; 2 rows of the workloads because no card was there. "
        "Table 2: 1 of 2 figures computed, from synthetic replies"
    )
    told = claims_line(
        [finding("Workload, training", "not measured", "no card"), finding("Title", "not measured", "no card")]
    )
    assert "1 row of the workloads, 1 row of what it says" in told
    assert claims_line(found[:1]) == "1 of 1 rows of the article measured: 1 supported, 0 refuted, 0 cannot tell"


def test_only_the_articles_sweep_counts_claims(plain_run: Path, tmp_path: Path) -> None:
    (headline,) = conclusions(plain_run)
    assert headline.startswith("With $")
    copy = tmp_path / "run"
    copy.mkdir()
    for file in plain_run.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    plan = json.loads((copy / "plan.json").read_text())
    (copy / "plan.json").write_text(json.dumps(plan | {"sweep": "article"}))
    first, second = conclusions(copy)
    assert first == headline
    assert " rows of the article measured: " in second
    assert "\n" not in second
