"""What ``plan=true`` is told by an API, played by the rehearsal server behind a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.core.generation import GenerationRequest, Message, Usage
from orchestrator.generate.rehearsal import RehearsalServer, RehearsalSettings
from orchestrator.plan import load_plan
from orchestrator.plan.counting import TokenCounts, count_tokens
from orchestrator.plan.text import plan_text

KEY = "sk-test-plan"
NOBODY = "http://127.0.0.1:9"
WORDS = ["model=sonnet", "system=generate_only", "limit=3"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RehearsalServer]:
    problems = tmp_path_factory.mktemp("server") / "none.jsonl"
    problems.touch()
    settings = RehearsalSettings(problems=str(problems), api_key=KEY, known_models=("claude-sonnet-5-5",))
    with RehearsalServer(settings) as running:
        yield running


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def test_the_api_counts_and_nothing_is_bought(server: RehearsalServer, key: None) -> None:
    before = server.counts().count_tokens
    plan = load_plan([*WORDS, "samples=4", f"model.base_url={server.base_url}"])
    counts = count_tokens(plan)
    assert len(counts.counted) == counts.asked == 3
    assert counts.how == "counted by the API"
    counted = server.counts()
    assert counted.count_tokens - before == 3, "equal requests are counted once"
    assert (counted.requests, counted.charged) == (0, Usage())
    tokens = 4 * sum(counts.counted.values())
    assert f"{tokens:,} tokens in (counted by the API)" in " ".join(plan_text(plan, 200, counts).split())


def test_a_prefix_that_is_too_short_is_told_with_the_counted_number(server: RehearsalServer, key: None) -> None:
    plan = load_plan([*WORDS, "prompt.cache=true", f"model.base_url={server.base_url}"])
    counts = count_tokens(plan)
    (tokens,) = counts.prefixes.values()
    assert 0 < tokens < 1024
    text = " ".join(plan_text(plan, 300, counts).split())
    assert f"the system prompt has {tokens} tokens and claude-sonnet-5-5 caches nothing shorter than 512" in text


def test_a_cached_prefix_makes_first_answers_cheaper(server: RehearsalServer, key: None) -> None:
    words = [*WORDS, f"prompt.system={'word ' * 2000}", f"model.base_url={server.base_url}"]
    plans = [load_plan([*words, f"prompt.cache={cache}"]) for cache in ("true", "false")]
    cached, plain = (plan_text(plan, 300, count_tokens(plan)) for plan in plans)
    assert "caches nothing" not in cached
    low = [float(text.partition("$")[2].split()[0]) for text in (cached, plain)]
    assert low[0] < 0.5 * low[1]


def test_a_refused_key_is_one_sentence_and_exit_code_2(
    server: RehearsalServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-wrong")
    assert main(["plan=true", *WORDS, f"model.base_url={server.base_url}"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "invalid x-api-key" in said.err
    assert "req_rehearsal" in said.err
    assert "sk-wrong" not in said.err


def test_a_server_of_ones_own_need_not_be_able_to_count(
    server: RehearsalServer, key: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["plan=true", "model=haiku", "system=generate_only", "limit=3", f"model.base_url={server.base_url}"])
        == 0
    )
    assert "The API did not count all tokens: 404" in " ".join(capsys.readouterr().out.split())


def test_an_api_out_of_reach_leaves_the_estimate_and_says_so(key: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan=true", *WORDS, f"model.base_url={NOBODY}"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "(estimated from the texts)" in out
    assert "The API did not count all tokens: connection:" in out
    assert "Nothing was run and nothing was spent." in out


@pytest.mark.parametrize(
    "words",
    [["model=rehearsal"], ["model=sonnet"], ["model=local"], ["system=execute_only"]],
)
def test_without_a_key_or_a_model_nobody_is_asked(words: list[str]) -> None:
    counts = count_tokens(load_plan([*words, "limit=2"]))
    assert (counts.asked, counts.failure) == (0, "")


def test_a_key_that_lies_on_other_nodes_leaves_the_estimate() -> None:
    counts = count_tokens(load_plan([*WORDS, "cluster=address", "cluster.address=auto", "model.key_file=/no/key"]))
    assert (counts.asked, len(counts.counted), counts.how) == (3, 0, "estimated from the texts")
    assert "the key file /no/key cannot be read" in counts.failure


def test_what_was_not_counted_is_in_proportion() -> None:
    def request(text: str, model: str = "m") -> GenerationRequest:
        return GenerationRequest("a", model, "", (Message("user", text),), 10)

    counts = TokenCounts({request("x" * 100): 50}, asked=2)
    assert counts.input_tokens(request("y" * 10)) == 5
    assert counts.input_tokens(request("y" * 10, "another")) == 3
    assert counts.how == "1 of 2 requests counted by the API, the rest in proportion"


def test_the_time_at_limits_that_are_known(tmp_path: Path, key: None) -> None:
    rehearsed = load_plan(["model=rehearsal", "limit=100", "turns=3", "rehearsal.limits.requests_per_minute=10"])
    assert "9 min to 29 min at the limits of 10 requests a minute" in " ".join(plan_text(rehearsed, 200).split())
    words = ["system=generate_only", "limit=100", f"run.dir={tmp_path / 'runs' / 'new'}"]
    assert "how long they hold it is not known" in " ".join(plan_text(load_plan(words), 200).split())
    told = {"model": "claude-sonnet-5-5", "base_url": None, "per_minute": {"requests": 20.0}}
    folder = tmp_path / "runs" / "old"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"limits": [told]}))
    assert "4 min at the limits of 20 requests a minute (as the API told old)" in " ".join(
        plan_text(load_plan(words), 200).split()
    )
