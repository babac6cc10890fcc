"""Every hostile GPU program gets its verdict, leaves nothing, and does not change the next one's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from orchestrator.core.execution import Execution
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu import rules
from orchestrator.execute.sandbox import process
from tests.hostile.gpu.bench import Bench
from tests.hostile.gpu.corpus import CHARGED, Case, read_corpus

CORPUS = read_corpus()
FASTEST_HONEST = 1.5
"""A program that is charged for its work may not come out this many times faster than the reference, which is the
same library call; the rest is noise."""

SHOWN_BY_RUNNING = {
    *("bad/write_before_buffer", "bad/library_by_copy", "bad/library_by_arithmetic", "bad/library_after_a_while"),
    "bad/computes_on_the_host",
}
"""Programs whose text breaks no rule that can be read off it."""


def on(device: str) -> list[Case]:
    """The programs that make sense on ``device``; without a card only torch runs."""
    return [c for c in CORPUS if device in c.devices and (device == "gpu" or c.dialect == "torch")]


def named(cases: list[Case]) -> dict:
    return {"argvalues": cases, "ids": [c.name for c in cases]}


def right(case: Case, done: Execution, timed: bool) -> bool:
    """Whether the verdict is one of those that the header allows.

    Args:
        case: what was judged.
        done: how.
        timed: False without a card, where calls take microseconds and times mean nothing.
    """
    if CHARGED in case.verdicts and done.verdict is Verdict.PASSED:
        speedup = done.gpu.speedup if done.gpu is not None else None
        return not timed or (speedup is not None and speedup <= FASTEST_HONEST)
    return done.verdict.value in case.verdicts


def check(bench: Bench, case: Case) -> None:
    bench.settle(case)
    before, baseline = bench.traces(), bench.card_bytes()
    done = bench.judge(case)
    assert right(case, done, bench.device == "gpu"), f"{done.verdict}: {done.reason} ({done.gpu})"
    if done.verdict is not Verdict.PASSED:
        assert done.reason
        assert "\n" not in done.reason
    following = bench.honest(case)
    assert following.verdict is Verdict.PASSED, f"after it: {following.reason}"
    assert bench.traces() <= before
    assert bench.rests_at(baseline)


@pytest.fixture(scope="module")
def host_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    mine = set(process.descendants(os.getpid()))
    scratch = tmp_path_factory.mktemp("hostile")
    bench = Bench("cpu", scratch, timing_budget_s=0.02, min_rounds=2, max_rounds=2)
    yield bench
    bench.close()
    assert set(process.descendants(os.getpid())) <= mine, "processes are left"
    assert not [path for path in scratch.rglob("*") if path.is_file()], "files are left"


@pytest.mark.parametrize("case", **named(on("cpu")))
def test_without_a_card(host_bench: Bench, case: Case) -> None:
    check(host_bench, case)


@pytest.fixture(scope="module")
def card_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    mine = set(process.descendants(os.getpid()))
    scratch = tmp_path_factory.mktemp("hostile")
    # Sizes as for a card of 16 GiB: rounds on gigabytes would take most of the time and show nothing more.
    short = {"timing_budget_s": 0.1, "min_rounds": 5, "max_rounds": 12, "energy_window_s": 0.0}
    bench = Bench("gpu", scratch, memory_cap_bytes=16 << 30, **short)
    yield bench
    bench.close()
    assert set(process.descendants(os.getpid())) <= mine, "processes are left"


@pytest.mark.gpu
@pytest.mark.parametrize("case", **named(on("gpu")))
def test_on_a_card(card_bench: Bench, case: Case) -> None:
    check(card_bench, case)


@pytest.mark.parametrize(
    "case", **named([c for c in CORPUS if c.verdicts == {"rejected"} and c.dialect != "torch"])
)
def test_other_languages_are_seen_without_a_card(case: Case) -> None:
    if case.name in SHOWN_BY_RUNNING:
        assert rules.violation(case.source, case.dialect, "solve") is None
        return
    assert rules.violation(case.source, case.dialect, "solve")


def test_no_honest_program_breaks_a_rule() -> None:
    for case in CORPUS:
        if case.verdicts == {"passed"}:
            assert rules.violation(case.source, case.dialect, "solve") is None, case.name


def test_the_corpus_is_large_enough() -> None:
    bad = [c for c in CORPUS if c.name.startswith("bad/")]
    odd = [c for c in CORPUS if c.name.startswith("odd/")]
    assert len(bad) >= 30
    assert len(odd) >= 10
    assert all("passed" not in c.verdicts for c in bad)
    assert all(c.verdicts == {"passed"} for c in odd)
    assert {v for c in bad for v in c.verdicts} >= {
        *("wrong_answer", "error", "timeout", "out_of_memory", "rejected", CHARGED)
    }
