"""Message Batches as the real SDK sees them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import MessageBatch

from orchestrator.core.generation import Usage
from tests.generate.rehearsal.parts import (
    MODEL,
    Running,
    ask,
    code,
    passes,
    reply_text,
    serving,
    usage_of,
    write_human_eval,
)


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_human_eval(tmp_path_factory.mktemp("rehearsal") / "problems.jsonl")


@pytest.fixture(scope="module")
def running(problems: str) -> Iterator[Running]:
    with serving(problems, broken_share=0.0, batch_delay_s=0.3) as server:
        yield server


def entry(number: int, attempt: int = 0, **more: Any) -> Any:
    params = {
        "model": MODEL,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "Write it."}],
        "metadata": {"user_id": f"HumanEval/{number % 164};{number // 164};0;{attempt}"},
        **more,
    }
    return {"custom_id": f"c{number}-{attempt}", "params": params}


def ended(running: Running, batch: MessageBatch) -> MessageBatch:
    deadline = time.monotonic() + 30
    while batch.processing_status != "ended" and time.monotonic() < deadline:
        time.sleep(0.05)
        batch = running.client.messages.batches.retrieve(batch.id)
    assert batch.processing_status == "ended"
    return batch


def results(running: Running, batch: MessageBatch) -> dict[str, Any]:
    return {line.custom_id: line.result for line in running.client.messages.batches.results(batch.id)}


def test_a_batch_runs_its_course(running: Running) -> None:
    before = running.server.counts()
    batch = running.client.messages.batches.create(requests=[entry(i) for i in range(10)])
    assert batch.processing_status == "in_progress"
    assert batch.request_counts.to_dict() == {
        "processing": 10,
        "succeeded": 0,
        "errored": 0,
        "expired": 0,
        "canceled": 0,
    }
    assert batch.results_url is None
    assert batch.ended_at is None
    assert (batch.expires_at - batch.created_at).total_seconds() == 24 * 3600
    with pytest.raises(anthropic.AnthropicError, match="finished processing"):
        running.client.messages.batches.results(batch.id)
    batch = ended(running, batch)
    assert batch.request_counts.succeeded == 10
    assert batch.request_counts.processing == 0
    assert batch.ended_at is not None
    found = results(running, batch)
    assert set(found) == {f"c{i}-0" for i in range(10)}
    message = found["c2-0"].message
    assert passes("HumanEval/2", code(reply_text(message)))
    assert message.usage.service_tier == "batch"
    # The same answer, at the same tokens, as a single request gets.
    single = running.client.messages.create(**ask("HumanEval/2;0;0;0"))
    assert reply_text(single) == reply_text(message)
    assert usage_of(single) == usage_of(message)
    charged = Usage()
    for result in found.values():
        charged = charged + Usage(**usage_of(result.message))
    after = running.server.counts()
    assert after.batch_charged == before.batch_charged + charged
    assert after.batch_entries["succeeded"] == before.batch_entries.get("succeeded", 0) + 10
    assert after.repeated == before.repeated + 1


def test_what_expired_or_failed_is_not_charged_and_mostly_works_when_asked_again(problems: str) -> None:
    with serving(problems, batch_delay_s=0.05, batch_expired_share=0.2, batch_errored_share=0.2) as running:
        create = running.client.messages.batches.create
        first = results(running, ended(running, create(requests=[entry(i) for i in range(200)])))
        kinds = Counter(result.type for result in first.values())
        failed = [int(name[1:].split("-")[0]) for name, result in first.items() if result.type != "succeeded"]
        again = results(running, ended(running, create(requests=[entry(i, attempt=1) for i in failed])))
        counts = running.server.counts()
    assert 20 <= kinds["expired"] <= 60
    assert 20 <= kinds["errored"] <= 60
    assert kinds["succeeded"] + kinds["expired"] + kinds["errored"] == 200
    errored = next(result for result in first.values() if result.type == "errored")
    assert errored.error.type == "error"
    assert errored.error.error.type == "api_error"
    assert sum(result.type == "succeeded" for result in again.values()) > len(failed) // 3
    told = Usage()
    for result in [*first.values(), *again.values()]:
        if result.type == "succeeded":
            told = told + Usage(**usage_of(result.message))
    assert counts.batch_charged == told
    assert counts.charged == Usage()


def test_a_bad_entry_fails_alone_and_says_why(running: Running) -> None:
    bad = [
        entry(0, max_tokens=0),
        {**entry(1), "params": {**entry(1)["params"], "metadata": {}}},
        {**entry(2), "params": {**entry(2)["params"], "stream": True}},
        entry(3),
    ]
    found = results(running, ended(running, running.client.messages.batches.create(requests=bad)))
    assert {name: result.type for name, result in found.items()} == {
        "c0-0": "errored",
        "c1-0": "errored",
        "c2-0": "errored",
        "c3-0": "succeeded",
    }
    for name, words in (("c0-0", "max_tokens"), ("c1-0", "user_id"), ("c2-0", "stream")):
        assert found[name].error.error.type == "invalid_request_error"
        assert words in found[name].error.error.message


def test_cancelling_keeps_what_was_done_and_drops_the_rest(problems: str) -> None:
    with serving(problems, batch_delay_s=3.0) as running:
        batch = running.client.messages.batches.create(requests=[entry(i) for i in range(300)])
        time.sleep(0.9)
        batch = running.client.messages.batches.cancel(batch.id)
        assert batch.processing_status == "canceling"
        assert batch.cancel_initiated_at is not None
        batch = ended(running, batch)
        found = results(running, batch)
        with pytest.raises(anthropic.BadRequestError, match="already ended"):
            running.client.messages.batches.cancel(batch.id)
        counts = running.server.counts()
    kinds = Counter(result.type for result in found.values())
    assert set(kinds) == {"succeeded", "canceled"}
    assert (kinds["succeeded"], kinds["canceled"]) == (
        batch.request_counts.succeeded,
        batch.request_counts.canceled,
    )
    assert counts.batch_entries == dict(kinds)


def test_batches_are_listed_newest_first_over_pages(problems: str) -> None:
    with serving(problems) as running:
        made = [running.client.messages.batches.create(requests=[entry(i)]).id for i in range(5)]
        assert [batch.id for batch in running.client.messages.batches.list(limit=2)] == made[::-1]
        page = running.client.messages.batches.list(limit=2)
        assert page.has_more
        assert (page.first_id, page.last_id) == (made[4], made[3])
        before = running.client.messages.batches.list(limit=2, before_id=made[2])
        assert [batch.id for batch in before.data] == [made[4], made[3]]
        with pytest.raises(anthropic.BadRequestError, match="limit"):
            running.client.messages.batches.list(limit=0)
        with pytest.raises(anthropic.NotFoundError):
            running.client.messages.batches.list(after_id="msgbatch_none")


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([], "at least one"),
        ([{**entry(0), "custom_id": "HumanEval/0"}], "custom_id"),
        ([{**entry(0), "custom_id": "x" * 65}], "custom_id"),
        ([entry(0), entry(0)], "Duplicate"),
        ([{"custom_id": "a"}], "params"),
    ],
)
def test_a_bad_batch_is_refused_whole(running: Running, requests: list[Any], words: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=words):
        running.client.messages.batches.create(requests=requests)


def test_a_batch_above_the_limit_is_refused(problems: str) -> None:
    with serving(problems, batch_most_requests=3) as running:
        running.client.messages.batches.create(requests=[entry(i) for i in range(3)])
        with pytest.raises(anthropic.APIStatusError, match="at most 3") as refused:
            running.client.messages.batches.create(requests=[entry(i) for i in range(4)])
    assert refused.value.status_code == 413


def test_an_unknown_batch_is_not_found(running: Running) -> None:
    for call in (running.client.messages.batches.retrieve, running.client.messages.batches.cancel):
        with pytest.raises(anthropic.NotFoundError):
            call("msgbatch_none")


def test_batches_outlive_the_server_where_it_has_a_place_for_them(problems: str, tmp_path: Path) -> None:
    state = str(tmp_path / "batches.jsonl")
    with serving(problems, batch_delay_s=0.2, batch_state=state) as running:
        done = ended(running, running.client.messages.batches.create(requests=[entry(7)]))
        kept = running.client.messages.batches.create(requests=[entry(i) for i in range(4)])
        dropped = running.client.messages.batches.create(requests=[entry(5)])
        # Within the same moment nothing of it was done yet.
        running.client.messages.batches.cancel(dropped.id)
    with serving(problems, batch_delay_s=0.2, batch_state=state) as running:
        found = results(running, ended(running, kept))
        assert {result.type for result in found.values()} == {"succeeded"}
        assert len(found) == 4
        cancelled = ended(running, dropped)
        assert cancelled.cancel_initiated_at is not None
        assert set(results(running, done)) == {"c7-0"}
        # What an earlier server charged is not charged again.
        assert running.server.counts().batch_entries["succeeded"] == 4
        new = running.client.messages.batches.create(requests=[entry(6)])
        assert new.id not in (done.id, kept.id, dropped.id)
    assert all(json.loads(line)["id"] for line in Path(state).read_text().splitlines())
