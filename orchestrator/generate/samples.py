"""The model ``samples``: answers that exist already, read from a JSON Lines file and graded like any others."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["SampleAnswer", "SampleKind", "Samples", "SamplesError", "load_samples"]

SampleKind = Literal["completion", "solution", "reply"]
"""``completion`` is appended to the prompt, ``solution`` is a whole program, ``reply`` is a chat reply."""

_KINDS: tuple[SampleKind, ...] = ("completion", "solution", "reply")
_GZIP_MAGIC = b"\x1f\x8b"


class SamplesError(ValueError):
    """The file cannot serve as a model; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class SampleAnswer:
    """One line of the file."""

    kind: SampleKind
    text: str


class Samples:
    """The answers by problem. Line k of a ``task_id`` is sample k, from 0."""

    def __init__(self, path: str, digest: str, answers: Mapping[str, tuple[SampleAnswer, ...]]) -> None:
        self.path = path
        self.digest = digest
        """SHA-256 of the file as it lies on disk."""
        self._answers = answers

    def count(self, problem_id: str) -> int:
        """How many answers a problem has; 0 for one without."""
        return len(self._answers.get(problem_id, ()))

    def answer(self, problem_id: str, k: int) -> SampleAnswer:
        """Sample ``k`` (from 0) of a problem.

        Raises:
            SamplesError: the file has no such answer.
        """
        if not 0 <= k < self.count(problem_id):
            raise SamplesError(
                f"{self.path} has {_answers(self.count(problem_id))} for {problem_id}, so there is no sample {k}."
            )
        return self._answers[problem_id][k]

    def check(self, problem_ids: Collection[str], samples: int | None) -> None:
        """Refuse a plan that asks for more than the file holds.

        Args:
            problem_ids: the problems of the plan.
            samples: answers asked for of each; None asks for what there is, which is at least one.

        Raises:
            SamplesError: names the first problem that lacks answers, and how many others do.
        """
        wanted = 1 if samples is None else samples
        short = [problem_id for problem_id in problem_ids if self.count(problem_id) < wanted]
        if not short:
            return
        first = short[0]
        others = f" (and {len(short) - 1} other problems lack answers too)" if len(short) > 1 else ""
        if self.count(first) == 0:
            raise SamplesError(f"{self.path} has no answer for {first}, which was asked for{others}.")
        raise SamplesError(
            f"{self.path} has {_answers(self.count(first))} for {first}, fewer than the samples={wanted} "
            f"asked for{others}."
        )


def load_samples(path: str | Path, problem_ids: Collection[str], *, gpu_ids: Collection[str] = ()) -> Samples:
    """Read a file of answers, plain or gzipped (told by its content, not by its name).

    Each line is a JSON object with ``task_id`` and exactly one of ``completion``, ``solution`` and ``reply``;
    further fields are ignored, blank lines too.

    Args:
        path: the file.
        problem_ids: every id of the suite; :meth:`Samples.check` says whether those of a plan have answers.
        gpu_ids: those of GPU problems, which take no ``completion``.

    Raises:
        SamplesError: missing, unreadable or empty file, a line of another form, an unknown ``task_id``, or a
            completion for a GPU problem.
    """
    name = str(path)
    raw = _read(Path(path))
    known = frozenset(problem_ids)
    answers: dict[str, list[SampleAnswer]] = {}
    for number, line in enumerate(_lines(name, raw), start=1):
        if not line.strip():
            continue
        task_id, answer = _parse(name, number, line)
        if task_id not in known:
            raise SamplesError(f"{name}, line {number}: unknown task_id {task_id!r}{_nearest(task_id, known)}.")
        # Their prompts are English, so that prompt and completion together are no program.
        if answer.kind == "completion" and task_id in gpu_ids:
            raise SamplesError(
                f"{name}, line {number}: {task_id} has a completion, but gpu problems take solution or reply."
            )
        answers.setdefault(task_id, []).append(answer)
    if not answers:
        raise SamplesError(f"{name} is empty.")
    digest = hashlib.sha256(raw).hexdigest()
    return Samples(name, digest, {task_id: tuple(found) for task_id, found in answers.items()})


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SamplesError(f"The samples file {path} does not exist.") from error
    except OSError as error:
        raise SamplesError(f"The samples file {path} cannot be read: {error.strerror}.") from error


def _lines(name: str, raw: bytes) -> list[str]:
    if raw.startswith(_GZIP_MAGIC):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise SamplesError(f"{name} is not a whole gzip file: {error}.") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SamplesError(f"{name}, line {line}: not UTF-8 text.") from error
    # Only \n ends a line here: a JSON string may hold the other separators that `splitlines` knows.
    return text.split("\n")


def _parse(name: str, number: int, line: str) -> tuple[str, SampleAnswer]:
    where = f"{name}, line {number}"
    try:
        data: Any = json.loads(line)
    except ValueError as error:
        raise SamplesError(f"{where}: not JSON ({error}).") from error
    except RecursionError as error:
        raise SamplesError(f"{where}: not JSON that can be read (nested too deeply).") from error
    if not isinstance(data, dict):
        raise SamplesError(f"{where}: a JSON object is needed, not {_type_name(data)}.")
    task_id = data.get("task_id")
    if not isinstance(task_id, str):
        raise SamplesError(f"{where}: task_id is missing or no text.")
    given = [kind for kind in _KINDS if kind in data]
    if len(given) != 1:
        has = " and ".join(given) if given else "none of them"
        raise SamplesError(f"{where}: exactly one of completion, solution and reply is needed, it has {has}.")
    text = data[given[0]]
    if not isinstance(text, str):
        raise SamplesError(f"{where}: {given[0]} must be text, not {_type_name(text)}.")
    return task_id, SampleAnswer(given[0], text)


def _nearest(task_id: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(task_id, sorted(known), n=1, cutoff=0.5)
    return f", the nearest right name is {near[0]!r}" if near else ""


def _answers(count: int) -> str:
    return "1 answer" if count == 1 else f"{count} answers"


def _type_name(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
