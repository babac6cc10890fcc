from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.generate.samples import SampleAnswer, SamplesError, load_samples

IDS = ("HumanEval/0", "HumanEval/1", "HumanEval/2")


def write(tmp_path: Path, *lines: Any) -> Path:
    path = tmp_path / "samples.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def line(task: int, text: str = "    return 1\n", kind: str = "completion") -> dict[str, str]:
    return {"task_id": f"HumanEval/{task}", kind: text}


def test_line_k_of_a_task_is_its_sample_k(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        line(1, "first"),
        line(0, "def f(): ...", "solution"),
        {**line(1, "second", "reply"), "model": "ignored"},
        "",
        line(1, "third"),
    )
    samples = load_samples(path, IDS)
    assert [samples.count(task_id) for task_id in IDS] == [1, 3, 0]
    assert [samples.answer("HumanEval/1", k) for k in range(3)] == [
        SampleAnswer("completion", "first"),
        SampleAnswer("reply", "second"),
        SampleAnswer("completion", "third"),
    ]
    assert samples.answer("HumanEval/0", 0) == SampleAnswer("solution", "def f(): ...")
    assert samples.digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["samples.jsonl.gz", "samples.jsonl"])
def test_gzip_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress((json.dumps(line(0)) + "\n" + json.dumps(line(0, "b"))).encode()))
    samples = load_samples(path, IDS)
    assert samples.count("HumanEval/0") == 2
    assert samples.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_odd_but_right_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    text = "one\u2028two\x85three"
    raw = json.dumps(line(0, text), ensure_ascii=False) + "\r\n" + json.dumps(line(0, ""))
    path.write_bytes(b"\xef\xbb\xbf" + raw.encode())
    samples = load_samples(path, IDS)
    assert samples.answer("HumanEval/0", 0).text == text
    assert samples.answer("HumanEval/0", 1).text == ""


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is empty"),
        (["", "  "], "is empty"),
        ([line(0), "{not json"], "line 2: not JSON"),
        ([line(0), "[1]"], "line 2: a JSON object is needed, not an array"),
        (["3"], "line 1: a JSON object is needed, not a number"),
        ([{"completion": "x"}], "line 1: task_id is missing"),
        ([{"task_id": 3, "completion": "x"}], "line 1: task_id is missing or no text"),
        ([line(0), line(11)], "line 2: unknown task_id 'HumanEval/11', the nearest right name is 'HumanEval/1'"),
        ([{"task_id": "zzz", "completion": "x"}], "line 1: unknown task_id 'zzz'."),
        ([{**line(0), "solution": "x"}], "line 1: exactly one of .* it has completion and solution"),
        ([{"task_id": "HumanEval/0"}], "line 1: exactly one of .* it has none of them"),
        ([{"task_id": "HumanEval/0", "reply": None}], "line 1: reply must be text, not null"),
        ([{"task_id": "HumanEval/0", "reply": {"text": "x"}}], "line 1: reply must be text, not an object"),
        (["[" * 200_000], "line 1: not JSON"),
    ],
)
def test_a_bad_file_gets_one_sentence(tmp_path: Path, lines: list[Any], words: str) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(SamplesError, match=words) as refused:
        load_samples(path, IDS)
    message = str(refused.value)
    assert str(path) in message
    assert message.endswith(".")
    assert "\n" not in message


def test_a_completion_of_a_gpu_problem_is_refused_by_its_line(tmp_path: Path) -> None:
    lines = [{"task_id": "gpu/softmax", kind: "x"} for kind in ("solution", "reply")]
    ids = (*IDS, "gpu/softmax")
    whole = load_samples(write(tmp_path, *lines, line(0)), ids, gpu_ids=ids[-1:])
    assert whole.count("gpu/softmax") == 2
    path = write(tmp_path, line(0), *lines, {"task_id": "gpu/softmax", "completion": "x"})
    with pytest.raises(SamplesError) as refused:
        load_samples(path, ids, gpu_ids=ids[-1:])
    assert str(refused.value) == (
        f"{path}, line 4: gpu/softmax has a completion, but gpu problems take solution or reply."
    )


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SamplesError, match=r"none\.jsonl does not exist"):
        load_samples(tmp_path / "none.jsonl", IDS)
    with pytest.raises(SamplesError, match="cannot be read: Is a directory"):
        load_samples(tmp_path, IDS)
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"x" * 1000)[:-9])
    with pytest.raises(SamplesError, match="not a whole gzip file"):
        load_samples(broken, IDS)
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(json.dumps(line(0)).encode() + b"\n\xe4\n")
    with pytest.raises(SamplesError, match="line 2: not UTF-8"):
        load_samples(latin, IDS)


def test_a_plan_that_asks_for_more_than_there_is_is_refused(tmp_path: Path) -> None:
    samples = load_samples(write(tmp_path, line(0), line(0), line(1)), IDS)
    samples.check(IDS[:2], None)
    samples.check(IDS[:2], 1)
    samples.check(IDS[:1], 2)
    samples.check([], 5)
    with pytest.raises(SamplesError, match="no answer for HumanEval/2, which was asked for"):
        samples.check(IDS, None)
    with pytest.raises(SamplesError, match="1 answer for HumanEval/1, fewer than the samples=2 asked for"):
        samples.check(IDS[:2], 2)
    with pytest.raises(SamplesError, match=r"2 answers for HumanEval/0.*2 other problems lack answers"):
        samples.check(IDS, 3)
    with pytest.raises(SamplesError, match="no sample 2"):
        samples.answer("HumanEval/0", 2)
    with pytest.raises(SamplesError, match="0 answers"):
        samples.answer("HumanEval/2", 0)
    with pytest.raises(SamplesError, match="no sample -1"):
        samples.answer("HumanEval/0", -1)


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, orchestrator.generate.samples; "
        "print(sorted({'anthropic', 'ray', 'torch', 'mlflow', 'aiohttp', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
