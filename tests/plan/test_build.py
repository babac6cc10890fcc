from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.errors import ConfigError
from orchestrator.plan import load_plan
from tasks.registry import load_suite


def answers(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"model.path={path}"


def answer(problem: str) -> dict[str, Any]:
    return {"task_id": problem, "completion": "    return 1\n"}


def test_the_main_sweep() -> None:
    plan = load_plan(["+sweep=humaneval"])
    assert plan.name == "humaneval"
    assert [(cell.id, cell.trials) for cell in plan.cells] == [
        ("generate_only-sonnet", 164),
        ("execute_only", 164),
        ("hybrid-sonnet", 164),
    ]
    assert plan.trial_count == 492
    assert len(plan.suites) == 1
    assert plan.run_dir.parent == Path.cwd() / "runs"
    assert plan.run_dir.name.startswith("humaneval-")
    assert list(Path.cwd().iterdir()) == []


def test_without_a_key_rehearsal_stands_in_and_the_model_keeps_its_name() -> None:
    generating, executing, hybrid = load_plan(["+sweep=humaneval", "limit=1"]).cells
    for cell in (generating, hybrid):
        assert cell.model is not None
        assert (cell.model.name, cell.model.id, cell.model.kind) == ("sonnet", "claude-sonnet-5-5", "rehearsal")
        assert cell.synthetic
        assert cell.stand_in
    assert executing.model is None
    assert not executing.synthetic


def test_with_a_key_the_model_itself_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-real-key")
    plan = load_plan(["+sweep=humaneval", "limit=1"])
    assert not plan.synthetic
    assert not any(cell.stand_in for cell in plan.cells)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "  ")
    assert load_plan(["limit=1"]).synthetic
    (tmp_path / "key").write_text("not-a-real-key")
    assert not load_plan(["limit=1", "model.key_file=key"]).synthetic


def test_another_server_is_named_by_the_configuration_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://gateway.example")
    assert load_plan(["limit=1"]).synthetic
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-real-key")
    with pytest.raises(ConfigError, match=r"ANTHROPIC_BASE_URL=https://gateway.example .* model\.base_url="):
        load_plan(["limit=1"])
    given = load_plan(["limit=1", "model.base_url=https://gateway.example"]).cells[0]
    assert given.config.model.base_url == "https://gateway.example"
    assert load_plan(["limit=1", "system=execute_only"]).trial_count == 1
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://api.anthropic.com/")
    assert not load_plan(["limit=1"]).synthetic


def test_rehearsal_by_name_is_synthetic_and_stands_in_for_nobody() -> None:
    (cell,) = load_plan(["model=rehearsal", "limit=1"]).cells
    assert cell.synthetic
    assert not cell.stand_in


@pytest.mark.parametrize("words", [["model=local"], ["system=execute_only"]])
def test_what_needs_no_key_is_not_synthetic(words: list[str]) -> None:
    assert not load_plan([*words, "limit=1"]).synthetic


def test_problems_and_limit_pick_in_the_suites_order() -> None:
    (cell,) = load_plan(["problems=[HumanEval/7,HumanEval/0,HumanEval/3]", "limit=2", "samples=3"]).cells
    assert cell.problems == ("HumanEval/0", "HumanEval/3")
    assert cell.sample_counts == (3, 3)


def test_trials_are_counted_and_references_need_no_second_try() -> None:
    plan = load_plan(["+sweep=humaneval", "limit=2", "samples=2"])
    assert [cell.trials for cell in plan.cells] == [4, 2, 4]
    assert plan.trial_count == 10


def test_limits_and_caps_of_a_cell() -> None:
    (cell,) = load_plan(["limit=1"]).cells
    assert cell.max_tokens == load_suite("humaneval").max_tokens
    assert load_plan(["limit=1", "suite.max_tokens=99"]).cells[0].max_tokens == 99
    assert load_plan(["limit=1", "suite.max_tokens=99", "model.max_tokens=7"]).cells[0].max_tokens == 7


def test_what_needs_a_gpu() -> None:
    assert not load_plan(["limit=1"]).cells[0].needs_gpu
    assert load_plan(["limit=1", "suite=gpu"]).cells[0].needs_gpu
    assert load_plan(["limit=1", "hardware=l4"]).cells[0].needs_gpu
    assert load_plan(["limit=1", "execute.device=gpu"]).cells[0].needs_gpu
    assert not load_plan(["limit=1", "suite=gpu", "execute.device=cpu"]).cells[0].needs_gpu


def test_a_file_of_answers_says_how_many_samples_there_are(tmp_path: Path) -> None:
    path = answers(tmp_path / "a.jsonl", [answer("HumanEval/0"), answer("HumanEval/0"), answer("HumanEval/1")])
    words = ["model=samples", path, "problems=[HumanEval/0,HumanEval/1]"]
    (cell,) = load_plan(words).cells
    assert cell.sample_counts == (2, 1)
    assert cell.answers_digest is not None
    assert load_plan([*words, "samples=1"]).cells[0].sample_counts == (1, 1)
    in_sweep = load_plan(["+sweep=humaneval", *words])
    assert [(each.id, each.sample_counts) for each in in_sweep.cells] == [
        ("generate_only-samples", (2, 1)),
        ("execute_only", (1, 1)),
    ]


@pytest.mark.parametrize(
    ("lines", "words", "fragments"),
    [
        ([answer("HumanEval/0")], [], ["HumanEval/1"]),
        ([answer("HumanEval/0")], ["limit=1", "samples=2"], ["HumanEval/0", "samples=2"]),
        ([answer("HumanEval/0"), answer("HumanEvil/1")], ["limit=1"], ["line 2", "HumanEvil/1"]),
        ([{"task_id": "HumanEval/0"}], ["limit=1"], ["line 1", "completion"]),
        ([], ["limit=1"], ["empty"]),
    ],
)
def test_answers_that_will_not_do(
    tmp_path: Path, lines: list[dict[str, Any]], words: list[str], fragments: list[str]
) -> None:
    path = answers(tmp_path / "a.jsonl", lines)
    with pytest.raises(ConfigError) as caught:
        load_plan(["model=samples", path, *words])
    for fragment in ("model.path", *fragments):
        assert fragment in str(caught.value)


def test_a_gpu_problem_takes_a_whole_program_and_no_completion(tmp_path: Path) -> None:
    words = ["suite=gpu", "model=samples", "problems=[gpu/softmax]"]
    path = answers(tmp_path / "a.jsonl", [{"task_id": "gpu/softmax", "solution": "def solve(): ..."}])
    assert load_plan([*words, path]).trial_count == 1
    path = answers(tmp_path / "b.jsonl", [{"task_id": "gpu/softmax", "completion": "    return x"}])
    with pytest.raises(ConfigError, match=r"model\.path: .*b\.jsonl, line 1: .*take solution or reply"):
        load_plan([*words, path])


def test_answers_that_are_no_json_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"task_id": \n')
    with pytest.raises(ConfigError, match="line 1"):
        load_plan(["model=samples", f"model.path={tmp_path / 'a.jsonl'}"])
    with pytest.raises(ConfigError, match=r"none\.jsonl"):
        load_plan(["model=samples", f"model.path={tmp_path / 'none.jsonl'}"])


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["problems=[HumanEval/164]"], ["HumanEval/164", "did you mean HumanEval/"]),
        (["problems=[humaneval/3]"], ["humaneval/3", "HumanEval/"]),
        (["problems=[]"], ["problems=[]"]),
        (["suite.problems=[]"], ["suite.problems=[] selects no problem"]),
        (["suite.problems=[gpu/softmax]"], ["suite.problems", "gpu/softmax"]),
        (["samples=null"], ["samples=null"]),
        (["model.id=claude-nonsense-9"], ["claude-nonsense-9", "price"]),
        (["suite=mbpp", "suite.path=/no/such/file.jsonl"], ["suite=mbpp", "/no/such/file.jsonl"]),
        (["suite=custom"], ["suite.path=FILE"]),
        (["resume=a", "regrade=b"], ["resume", "regrade"]),
    ],
)
def test_what_cannot_be_planned_is_refused(words: list[str], fragments: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_plan(words)
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize("named", ["~/mine.jsonl", "mine.jsonl"])
def test_a_suites_file_is_found_from_home_or_from_here(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = {
        "task_id": "mbpp/2",
        "text": "Write one.",
        "code": "def one():\n    return 1\n",
        "test_list": ["assert one() == 1"],
    }
    (tmp_path / "mine.jsonl").write_text(json.dumps(problem) + "\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    plan = load_plan(["suite=mbpp", f"suite.path={named}", "system=execute_only"])
    assert plan.trial_count == 1
    assert plan.cells[0].config.suite.path == str(tmp_path / "mine.jsonl")


def test_a_price_in_the_configuration_will_do() -> None:
    words = ["model.id=claude-nonsense-9", "model.price.input_per_mtok=1", "model.price.output_per_mtok=2"]
    assert load_plan([*words, "limit=1"]).trial_count == 1


def test_problems_of_one_suite_leave_the_others_out_and_say_so() -> None:
    plan = load_plan(["system=execute_only", "axes.suite=[humaneval,gpu]", "problems=[HumanEval/0]"])
    assert [cell.suite.name for cell in plan.cells] == ["humaneval"]
    assert any("gpu" in note for note in plan.notes)


def test_the_digest_tells_identical_plans() -> None:
    words = ["+sweep=humaneval", "limit=3"]
    same = load_plan(words).digest
    assert (
        load_plan([*words, "budget.usd=1", "display=plain", "execute.slots=1", "generate.in_flight=5"]).digest
        == same
    )
    for change in (
        "limit=4",
        "seed=1",
        "turns=2",
        "model=haiku",
        "samples=2",
        "execute.limits.cpu_s=3",
        "execute.tools=[sanitizer]",
        "system=hybrid",
    ):
        rest = ["+sweep=humaneval"] if change == "limit=4" else words
        assert load_plan([*rest, change]).digest != same, change


def test_the_articles_workloads_are_problems_of_the_gpu_suite() -> None:
    (cell,) = load_plan(["+sweep=workloads"]).cells
    assert cell.system == "execute_only"
    assert cell.needs_gpu
    assert {"gpu/gram", "gpu/atb", "gpu/train_linear"} <= {*cell.problems}
    article = load_plan(["+sweep=article"])
    assert [(each.axes["suite"], each.system) for each in article.cells if each.axes["suite"] == "workloads"] == [
        ("workloads", "generate_only"),
        ("workloads", "execute_only"),
        ("workloads", "hybrid"),
    ]
    assert all(each.problems == cell.problems for each in article.cells if each.axes["suite"] == "workloads")


@pytest.mark.parametrize("name", [problem.id for problem in load_suite("gpu").problems])
def test_every_gpu_problem_composes_with_every_dtype_or_is_left_out_with_a_sentence(name: str) -> None:
    plan = load_plan(["+sweep=gpu", "system=execute_only", "axes.dtype=[fp64,fp32,fp16]", f"problems=[{name}]"])
    has = {cell.config.suite.dtype for cell in plan.cells if name in cell.problems}
    assert "fp32" in has
    for dtype in {"fp64", "fp32", "fp16"} - has:
        assert any(name in note and note.endswith(f"not in {dtype}") for note in plan.notes), dtype


def test_the_articles_workloads_in_every_precision() -> None:
    plan = load_plan(["+sweep=workloads", "axes.dtype=[fp64,fp32,fp16]"])
    assert [cell.config.suite.dtype for cell in plan.cells] == ["fp64", "fp32", "fp16"]
    wide, usual, narrow = plan.cells
    assert len(wide.problems) == len(usual.problems) == 14
    assert set(narrow.problems) == {"gpu/gram", "gpu/atb"}
    (note,) = plan.notes
    assert "gpu/train_linear" in note
    assert note.endswith("because the suite has them in fp64, fp32, not in fp16")


def test_a_problem_that_no_cell_has_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"no problem of any suite.*fp64, fp32, not in fp16"):
        load_plan(["+sweep=gpu", "suite.dtype=fp16", "problems=[gpu/cloth]"])
    with pytest.raises(ConfigError, match="gpu/clth is no problem of gpu; did you mean gpu/cloth"):
        load_plan(["+sweep=gpu", "suite.dtype=fp16", "problems=[gpu/clth]"])


@pytest.mark.parametrize("words", [[], ["problems=[gpu/atb]"], ["system=execute_only"]])
def test_a_dtype_and_dialect_that_no_problem_has_are_named_and_what_is_there(words: list[str]) -> None:
    pair = ["suite.dtype=bf16", "suite.dialect=cupy"]
    with pytest.raises(ConfigError) as caught:
        load_plan(["suite=gpu", *pair, *words])
    sentence = str(caught.value)
    assert sentence.startswith(f"suite=gpu: no problem comes in {' with '.join(pair)}; cupy has fp64, fp32, fp16")
    assert "null" not in sentence
    # Beside another cell it is a note.
    plan = load_plan(["suite=gpu", *pair[:1], "axes.dialect=[torch,cupy]", *words])
    assert any(
        "gpu/atb" in note and note.endswith("fp64, fp32, fp16 with cupy, not in bf16") for note in plan.notes
    )
