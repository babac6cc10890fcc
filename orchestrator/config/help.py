"""The text of ``--help``: what can be run, what can be chosen, which keys people set most."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.config.groups import GROUPS, describe, options

__all__ = ["help_text"]

_INTRODUCTION: Final = """\
Measures what a model, a GPU and the two together solve, and at what cost: the model writes programs, Ray actors \
run them in a sandbox, what fails goes back, and a table says how many problems each system solved, with its \
uncertainty and its price."""

_EXAMPLES: Final = (
    ("+sweep=humaneval", "the three-way comparison; without ANTHROPIC_API_KEY it is a rehearsal and costs nothing"),
    ("+sweep=humaneval plan=true", "what it would do and cost; nothing is run"),
    ("+sweep=humaneval system=hybrid limit=20", "one system of the sweep, 20 problems"),
    ("+sweep=humaneval 'axes.model=[sonnet,haiku]' samples=5", "two models, five tries a problem"),
    ("+sweep=humaneval budget.usd=5", "stop buying at five dollars"),
    ("model=samples model.path=answers.jsonl", "grade answers that exist already"),
    (
        "+sweep=gpu hardware=rtx4060 'axes.dialect=[torch,triton]'",
        "GPU programs on nodes labelled gpu-class=rtx4060",
    ),
    ("resume=runs/humaneval-20260101-120000", "go on with a run that was stopped; nothing is bought twice"),
    ("regrade=runs/humaneval-20260101-120000", "judge its programs anew; no model is asked"),
)

_TITLES: Final = {
    "sweep": "Sweeps (+sweep=NAME)",
    "model": "Models (model=NAME)",
    "system": "Systems (system=NAME)",
    "suite": "Suites (suite=NAME)",
    "hardware": "Hardware (hardware=NAME)",
    "cluster": "Clusters (cluster=NAME)",
    "prompt": "Prompts (prompt=NAME)",
    "rates": "Rates (rates=NAME)",
}

_KEYS: Final = (
    ("samples=1", "independent tries a problem, for pass@k"),
    ("turns=3", "most rounds of generate and execute of a hybrid trial"),
    ("limit=null", "only the first so many problems"),
    ("problems=null", "only these ids: 'problems=[HumanEval/0,HumanEval/7]'"),
    ("feedback=public", "public, or oracle: feedback from the scoring tests, an upper bound marked as such"),
    ("seed=0", "of tests that draw at random, and of rehearsals"),
    ("model.effort=null", "low, medium, high, xhigh or max"),
    ("budget.usd=10", "most dollars for replies; also budget.cell_usd and budget.trial_usd"),
    ("generate.mode=messages", "messages, or batch: half the price, slower"),
    ("generate.in_flight=100", "most requests at once"),
    ("execute.device=auto", "cpu, gpu or auto"),
    ("execute.limits.cpu_s=null", "CPU seconds a program may use; also wall_s and memory_bytes"),
    ("execute.tools=[]", "GPU feedback: 'execute.tools=[sanitizer,ncu]', after verdict and time"),
    ("isolation.require=partial", "full, partial or none: refuse to run with less"),
    ("cluster.address=null", "HOST:PORT of a running Ray cluster, or auto on one of its nodes"),
    ("run.dir=null", "where files go; by default runs/<sweep>-<time>"),
    ("tracking.uri=null", "an MLflow store or server; by default mlflow.db in this folder"),
    ("cache=off", "read, write or readwrite: share replies between runs"),
    ("preflight=on", "only: check the cluster and stop; off: skip the check"),
    ("plan=false", "true: print cells, trials, requests and cost, and stop"),
    ("display=auto", "rich or plain"),
)

_FLAGS: Final = (
    ("--help, -h", "this text"),
    ("--version", "the package's version"),
    ("--cfg job", "print the whole configuration and stop: every key there is"),
    ("--config-dir DIR", "a folder of your own with model/, suite/, hardware/, sweep/, ... beside ours"),
)


def help_text(folders: Sequence[Path], width: int | None = None) -> str:
    """The help, wrapped to ``width`` columns (the terminal's by default).

    Args:
        folders: where configuration files are; what the user's own folder adds is listed too.
        width: columns; 40 is the least.
    """
    columns = max(40, min(width or shutil.get_terminal_size((100, 24)).columns, 110))
    parts = [
        _wrapped(
            "Usage: python -m orchestrator [FLAG] [+sweep=NAME] [KEY=VALUE ...] ['axes.KEY=[A,B]' ...]",
            columns,
            hanging="  ",
        ),
        _wrapped(_INTRODUCTION, columns),
        _section(
            "Examples", [(f"python -m orchestrator {words}", text) for words, text in _EXAMPLES], columns, True
        ),
        "\n".join(
            [
                "Axes",
                _wrapped(
                    "An axis maps a key to a list, and every combination is one cell of the run: "
                    "'axes.turns=[1,3]', 'axes.model.effort=[low,high]', 'axes.hardware=[rtx4060,l4]'. "
                    "Combinations that are the same work are one cell. Setting a key that is an axis of the "
                    "sweep narrows it: system=hybrid.",
                    columns,
                    "  ",
                ),
            ]
        ),
    ]
    for group in GROUPS:
        found = options(group, folders)
        parts.append(_section(_TITLES[group], [(name, describe(file)) for name, file in found.items()], columns))
    parts.append(_section("Keys set most, with defaults", _KEYS, columns))
    parts.append(_section("Flags", _FLAGS, columns))
    last = (
        "Exit codes: 0 done, 1 the run failed, 2 configuration, 3 budget used up, 130 interrupted.",
        "Afterwards: python -m orchestrator.report RUN [OTHER RUN ...] [--html] [--problem ID] [--claims] [--gate]",
    )
    parts.append("\n".join(_wrapped(line, columns, hanging="  ") for line in last))
    return "\n\n".join(parts) + "\n"


def _section(title: str, rows: Sequence[tuple[str, str]], columns: int, below: bool = False) -> str:
    """A titled list of names and texts, side by side where there is room, else one below the other."""
    margin = max((len(name) for name, _ in rows), default=0) + 4
    lines = [title]
    for name, text in rows:
        if below or margin > columns // 2:
            lines.append(f"  {name}")
            lines.append(_wrapped(text, columns, " " * 6))
        else:
            body = textwrap.wrap(text, columns - margin) or [""]
            lines.append(f"  {name:<{margin - 2}}{body[0]}".rstrip())
            lines.extend(" " * margin + line for line in body[1:])
    return "\n".join(lines)


def _wrapped(text: str, columns: int, indent: str = "", hanging: str = "") -> str:
    return textwrap.fill(
        text, columns, initial_indent=indent, subsequent_indent=indent + hanging, break_on_hyphens=False
    )
