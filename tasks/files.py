"""Reads the files that suites come in: JSONL, gzipped or not, and JSON arrays."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.suite import SuiteError

__all__ = ["Record", "open_records", "read_lines"]


class Record:
    """One problem of a file, with the words to complain about it."""

    def __init__(self, data: Mapping[str, Any], path: Path, line: int) -> None:
        self.data = data
        self.path = path
        self.line = line

    def error(self, sentence: str) -> SuiteError:
        """An error that says where it is."""
        return SuiteError(f"{self.path}, line {self.line}: {sentence}")

    def text(self, key: str, default: str | None = None) -> str:
        """A field that must be text.

        Raises:
            SuiteError: if it is missing without a default, or is something else.
        """
        value = self.data.get(key, default)
        if value is None:
            raise self.error(f"`{key}` is missing; it must be text")
        if not isinstance(value, str):
            raise self.error(f"`{key}` is {_kind(value)}; it must be text")
        return value

    def identifier(self, key: str) -> str:
        """A field that must be a Python name."""
        value = self.text(key)
        if not value.isidentifier():
            raise self.error(f"`{key}` is {value!r}; it must be the name of a function, such as `add`")
        return value

    def items(self, key: str, default: list[Any] | None = None) -> list[Any]:
        """A field that must be a list."""
        value = self.data.get(key, default)
        if value is None:
            raise self.error(f"`{key}` is missing; it must be a list")
        if not isinstance(value, list):
            raise self.error(f"`{key}` is {_kind(value)}; it must be a list")
        return value

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        """A field that must be a list of texts."""
        values = self.items(key, default)
        for value in values:
            if not isinstance(value, str):
                raise self.error(f"`{key}` holds {_kind(value)}; it must be a list of texts")
        return values

    def number(self, key: str, default: float) -> float:
        """A field that must be a number of at least 0."""
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise self.error(f"`{key}` is {value!r}; it must be a number of at least 0")
        return float(value)


def open_records(path: str | Path) -> list[Record]:
    """All records of a file.

    Raises:
        SuiteError: where the file cannot be read, is empty, or holds a line that is not a JSON object.
    """
    records = []
    for found in read_lines(path):
        if isinstance(found, SuiteError):
            raise found
        records.append(found)
    if not records:
        raise SuiteError(f"{path} holds no problem; it must hold one JSON object a line")
    return records


def read_lines(path: str | Path) -> Iterator[Record | SuiteError]:
    """Yield each line's record, or what is wrong with it; blank lines are passed over.

    Raises:
        SuiteError: where the file itself cannot be read.
    """
    path = Path(path)
    text = _read(path)
    if text.lstrip()[:1] == "[":
        yield from _array(path, text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as problem:
            yield SuiteError(f"{path}, line {number}: not JSON ({problem}); a line must be one JSON object")
            continue
        if isinstance(data, dict):
            yield Record(data, path, number)
        else:
            yield SuiteError(f"{path}, line {number}: {_kind(data)}; a line must be one JSON object")


def _array(path: Path, text: str) -> Iterator[Record | SuiteError]:
    """The elements of a JSON array (the published form of sanitized MBPP), numbered from 1."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        yield SuiteError(f"{path} is not JSON ({problem}); it must hold one JSON object a line")
        return
    for number, element in enumerate(data, 1):
        if isinstance(element, dict):
            yield Record(element, path, number)
        else:
            yield SuiteError(f"{path}, element {number}: {_kind(element)}; it must be a JSON object")


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8")
    except FileNotFoundError:
        raise SuiteError(f"{path} does not exist; suite.path must name a file") from None
    except IsADirectoryError:
        raise SuiteError(f"{path} is a folder; suite.path must name a file") from None
    except UnicodeDecodeError:
        raise SuiteError(f"{path} is not UTF-8 text; it must hold one JSON object a line") from None
    except (OSError, EOFError) as problem:
        raise SuiteError(f"{path} cannot be read: {problem}") from None


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else names[type(value)]
