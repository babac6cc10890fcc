"""Each claim gets the word that the evidence allows, and no stronger one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.claims import TABLE_1, TABLE_2, WORKLOADS, claimed_system, is_claimed_card
from orchestrator.core.comparison import compare
from orchestrator.core.figures import in_seconds
from orchestrator.core.findings import (
    Evidence,
    Finding,
    findings,
    gap_finding,
    rate_finding,
    time_finding,
)
from orchestrator.core.rows import by_cell
from orchestrator.core.statistics import wilson
from orchestrator.core.summary import Rate, summarise


def rate(k: int, n: int) -> Rate:
    return Rate(k / n, *wilson(k, n), problems=n, method="wilson")


def trials(cell: str, system: str, verdicts: list[str], **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "cell": cell, "system": system, "suite": "humaneval", "suite_digest": "d", "problem": f"HumanEval/{i}",
            "sample": 0, "verdict": v, "model": "sonnet", "model_id": "claude-sonnet-5-5", **more,
        }
        for i, v in enumerate(verdicts)
    ]  # fmt: skip


def judge(rows: list[dict[str, Any]]) -> dict[str, Finding]:
    found = findings(Evidence(summarise(rows, []), by_cell(rows)))
    return {f.subject: f for f in found}


@pytest.mark.parametrize(
    ("k", "n", "claimed", "status"),
    [
        (137, 164, 0.83, "supported"),
        (110, 164, 0.83, "refuted"),
        (17, 20, 0.83, "cannot tell"),
        (164, 164, 0.91, "refuted"),
    ],
)
def test_rates(k: int, n: int, claimed: float, status: str) -> None:
    finding = rate_finding("x", claimed, rate(k, n), f"{k}/{n}")
    assert finding.status == status
    assert f"{k}/{n}" in finding.sentence
    if status == "cannot tell":
        assert finding.sentence.startswith(f"Cannot tell with n = {n}")


def test_gap_at_all() -> None:
    def gap(gained: int, lost: int, same: int) -> Finding:
        a = trials("a", "generate_only", ["error"] * gained + ["passed"] * (lost + same))
        b = trials("b", "hybrid", ["passed"] * gained + ["error"] * lost + ["passed"] * same)
        paired = compare(a, b)
        assert paired is not None
        return gap_finding("x", None, paired)

    assert gap(14, 1, 149).status == "supported"
    assert gap(1, 14, 149).status == "refuted"
    assert gap(2, 0, 18).status == "cannot tell"
    assert "n = 20" in gap(2, 0, 18).sentence


def test_a_gap_is_not_judged_where_much_was_graded_for_one_only() -> None:
    rows = trials("a", "generate_only", ["error"] * 30 + ["passed"] * 134)
    rows += trials("b", "hybrid", ["passed"] * 120)
    found = [f for name, f in judge(rows).items() if "beats Claude alone" in name]
    assert [f.status for f in found] == ["cannot tell", "cannot tell"]
    assert all("44 more problems were graded for one of the two only" in f.sentence for f in found)


def test_gap_of_a_claimed_size() -> None:
    def gap(gained: int, lost: int, same: int) -> str:
        a = trials("a", "generate_only", ["error"] * gained + ["passed"] * (lost + same))
        b = trials("b", "hybrid", ["passed"] * gained + ["error"] * lost + ["passed"] * same)
        paired = compare(a, b)
        assert paired is not None
        return gap_finding("x", 0.08, paired).status

    assert gap(14, 1, 149) == "supported"
    assert gap(40, 0, 124) == "refuted"
    assert gap(5, 2, 60) == "cannot tell"
    # More than nothing, but as well 22 points as 8.
    assert gap(8, 0, 50) == "cannot tell"
    # One flip the other way among twenty problems does not rule out that twelve in a hundred go this way.
    assert gap(0, 1, 19) == "cannot tell"


def test_a_rate_of_unequal_samples_is_not_written_as_a_quotient() -> None:
    rows = trials("a", "generate_only", ["passed", "error"] * 10)
    rows += [row | {"sample": 1} for row in rows if row["verdict"] == "error"]
    finding = judge(rows)["Table 1, Claude (generate_only · sonnet): pass@1"]
    assert finding.measured.startswith("10/30 passed, mean over problems = 50.0% (")


def test_times_are_judged_only_in_the_same_setting() -> None:
    values = [0.7 + 0.001 * i for i in range(30)]
    assert time_finding("x", 0.7, values, in_seconds, None).status == "supported"
    assert time_finding("x", 7.0, values, in_seconds, None).status == "refuted"
    assert time_finding("x", 0.7, values, in_seconds, "on another card").status == "cannot tell"
    assert time_finding("x", 0.7, [], in_seconds, None).status == "not measured"


def test_the_article_supported() -> None:
    first = ["passed"] * 137 + ["error"] * 27
    final = ["passed"] * 149 + ["error"] * 15
    rows = trials("a", "generate_only", first)
    rows += [row | {"first_turn_verdict": v} for row, v in zip(trials("b", "hybrid", final), first, strict=True)]
    found = judge(rows)
    assert found["Table 1, Claude (generate_only · sonnet): pass@1"].status == "supported"
    assert found["Table 1, hybrid (hybrid · sonnet): pass@1"].status == "supported"
    assert found["Table 1, hybrid beats Claude alone (hybrid · sonnet): at all"].status == "supported"
    assert found["Table 1, hybrid beats Claude alone (hybrid · sonnet): 83% to 91%"].status == "supported"
    debug = found["The hybrid can debug execution errors as they happen"]
    assert (debug.status, debug.measured) == ("supported", "12 of 27 mended")
    assert found["The hybrid can validate run-time performance"].status == "not measured"


def test_a_rehearsal_supports_nothing() -> None:
    rows = trials("a", "generate_only", ["passed"] * 137 + ["error"] * 27, synthetic=True)
    rows += trials("b", "hybrid", ["passed"] * 149 + ["error"] * 15, synthetic=True, first_turn_verdict="error")
    found = judge(rows)
    about_models = [f for name, f in found.items() if "pass@1" in name or "beats" in name or "hybrid can" in name]
    assert len(about_models) >= 5
    assert {f.status for f in about_models} == {"not measured"}
    assert found["Table 1, hybrid (hybrid · sonnet): execution time per problem"].status == "not measured"
    assert "rehearsal" in found["Table 1, hybrid beats Claude alone"].sentence


def test_another_model_is_not_claude() -> None:
    rows = trials("a", "generate_only", ["passed"] * 137 + ["error"] * 27, model="local", model_id="qwen")
    finding = judge(rows)["Table 1, Claude (generate_only · local): pass@1"]
    assert finding.status == "cannot tell"
    assert "local" in finding.sentence


def test_the_title_needs_a_local_model_beside_claude() -> None:
    claude = trials("a", "generate_only", ["passed"] * 120 + ["error"] * 44)
    assert judge(claude)['Title: a "$500 GPU" beats Claude Sonnet'].status == "not measured"
    local = trials("l", "generate_only", ["passed"] * 150 + ["error"] * 14, model="local", model_id="qwen")
    found = judge(claude + local)
    (title,) = [f for name, f in found.items() if name.startswith("Title")]
    assert title.status == "supported"
    assert "generate_only · local" in title.subject
    assert "Which card" in title.sentence


@pytest.mark.parametrize(("model", "model_id"), [("haiku", "claude-haiku-4-5"), ("local", "qwen")])
def test_claims_about_sonnet_are_not_judged_by_another_model(model: str, model_id: str) -> None:
    other = {"model": model, "model_id": model_id}
    rows = trials("a", "generate_only", ["passed"] * 137 + ["error"] * 27, **other)
    rows += trials("b", "hybrid", ["passed"] * 149 + ["error"] * 15, **other)
    found = judge(rows)
    about = [f for name, f in found.items() if "pass@1" in name or "beats Claude alone" in name]
    assert len(about) == 4
    assert {f.status for f in about} == {"cannot tell"}
    assert all(f"this is {model}" in f.sentence for f in about)


def test_the_title_is_about_sonnet_and_not_about_other_claudes() -> None:
    haiku = trials(
        "h", "generate_only", ["error"] * 60 + ["passed"] * 104, model="haiku", model_id="claude-haiku-4-5"
    )
    local = trials("l", "generate_only", ["error"] * 20 + ["passed"] * 144, model="local", model_id="qwen")
    sonnet = trials("s", "generate_only", ["passed"] * 164)
    (title,) = [f for name, f in judge(haiku + local).items() if name.startswith("Title")]
    assert title.status == "not measured"
    (title,) = [f for name, f in judge(haiku + local + sonnet).items() if name.startswith("Title")]
    assert title.status == "refuted"
    assert "sonnet" in title.subject


def test_the_title_is_not_supported_by_an_oracle() -> None:
    sonnet = trials("s", "generate_only", ["error"] * 60 + ["passed"] * 104)
    own = {"model": "local", "model_id": "qwen"}
    oracle = trials("o", "hybrid", ["passed"] * 164, feedback="oracle", **own)
    (title,) = [f for name, f in judge(sonnet + oracle).items() if name.startswith("Title")]
    assert (title.status, "oracle" in title.sentence) == ("not measured", True)
    local = trials("l", "generate_only", ["error"] * 90 + ["passed"] * 74, **own)
    (title,) = [f for name, f in judge(sonnet + oracle + local).items() if name.startswith("Title")]
    assert title.status == "refuted"


def test_what_was_not_graded_is_not_a_failure_to_mend() -> None:
    final = ["passed"] * 4 + ["error"] * 2 + ["infrastructure"] * 3 + ["not_run"]
    rows = trials("b", "hybrid", final, first_turn_verdict="error")
    debug = judge(rows)["The hybrid can debug execution errors as they happen"]
    assert (debug.measured, "upper bound" in debug.sentence) == ("4 of 6 mended", False)
    debug = judge([row | {"feedback": "oracle"} for row in rows])[
        "The hybrid can debug execution errors as they happen"
    ]
    assert "upper bound" in debug.sentence


def test_oracle_feedback_is_called_an_upper_bound() -> None:
    rows = trials("a", "generate_only", ["error"] * 30 + ["passed"] * 134)
    rows += trials("b", "hybrid", ["passed"] * 164, feedback="oracle")
    found = judge(rows)
    assert "upper bound" in found["Table 1, hybrid beats Claude alone (hybrid · sonnet): at all"].sentence


def test_hardware_claims_need_the_articles_card() -> None:
    verdicts = ["passed"] * 40
    base = {"model": None, "model_id": None, "execute_s": 0.71, "peak_memory_bytes": 2_100_000_000}
    here = judge(trials("e", "execute_only", verdicts, gpu="NVIDIA GeForce RTX 4060", **base))
    assert here["Table 1, GPU (execute_only): execution time per problem"].status == "supported"
    assert here["Table 1, GPU (execute_only): memory"].status == "supported"
    there = judge(trials("e", "execute_only", verdicts, gpu="NVIDIA H100", **base))
    assert there["Table 1, GPU (execute_only): execution time per problem"].status == "cannot tell"
    assert "H100" in there["Table 1, GPU (execute_only): memory"].sentence
    few = judge(trials("e", "execute_only", verdicts[:3], gpu="NVIDIA GeForce RTX 4060", **base))
    assert few["Table 1, GPU (execute_only): memory"].status == "cannot tell"
    # Ten samples each of three problems say as little about other problems.
    many = [row | {"sample": i} for i in range(10) for row in trials("e", "execute_only", verdicts[:3], **base)]
    again = judge([row | {"gpu": "NVIDIA GeForce RTX 4060"} for row in many])
    assert again["Table 1, GPU (execute_only): memory"].sentence.startswith("Cannot tell with n = 3")


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        ("NVIDIA GeForce RTX 4060", True),
        ("NVIDIA GeForce RTX 4060 Ti", False),
        ("NVIDIA GeForce RTX 4060 Laptop GPU", False),
        ("NVIDIA GeForce RTX 5060 Ti", False),
    ],
)
def test_the_articles_card_is_one_card(name: str, is_it: bool) -> None:
    assert is_claimed_card(name) is is_it


def test_workloads() -> None:
    row = {
        "cell": "e", "system": "execute_only", "suite": "gpu", "problem": "gpu/gram", "verdict": "passed",
        "gpu": "NVIDIA GeForce RTX 4060", "cpu_speedup": 100.0,
    }  # fmt: skip
    assert judge([row])["Workload, matrix product"].status == "refuted"
    assert judge([row | {"cpu_speedup": 5.5}])["Workload, matrix product"].status == "supported"
    other = judge([row | {"gpu": "NVIDIA H100"}])["Workload, matrix product"]
    assert (other.status, "100 times" in other.measured) == ("cannot tell", True)
    assert judge([row | {"verdict": "error"}])["Workload, matrix product"].status == "not measured"
    assert "100 times" in judge([row | {"problem": "gpu/cloth"}])["Workload, game physics"].measured


def test_workloads_name_problems_that_exist() -> None:
    from tasks.gpu import problems

    known = {file.stem for file in Path(problems.__file__).parent.glob("*.py")}
    assert {name for workload in WORKLOADS for name in workload.problems} <= known


def test_every_claim_is_answered_even_by_an_empty_run() -> None:
    found = judge([])
    assert {f.status for f in found.values()} == {"not measured"}
    assert len(found) == len(TABLE_1) + 1 + 1 + 3 + len(WORKLOADS)


def test_the_claims_themselves() -> None:
    hybrid = claimed_system("hybrid")
    assert hybrid is not None
    assert (hybrid.pass_at_1, hybrid.execute_s, hybrid.memory_bytes) == (0.91, 0.9, 3_300_000_000)
    assert [row.usd for row in TABLE_2] == [150.0, 500.0, 650.0]
    assert claimed_system("other") is None
