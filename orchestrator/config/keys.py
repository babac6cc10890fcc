"""The keys that a configuration has, read from the schema: for nearest names and for types in plain words."""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache
from typing import Any

from orchestrator.config.schema import Config

__all__ = ["field_type", "known_keys", "plain_type", "section", "takes_text"]


@cache
def known_keys() -> dict[str, Any]:
    """Every key in dotted form with its annotated type, sections left out (``model.effort``, not ``model``)."""
    return dict(_walk(Config, ""))


def field_type(key: str) -> Any:
    """The annotated type of ``key``, or None where the schema has no such key.

    Keys inside a free mapping (``hardware.labels.gpu-class``) have the type of its values.
    """
    keys = known_keys()
    if key in keys:
        return keys[key]
    head, _, _ = key.rpartition(".")
    while head:
        if typing.get_origin(keys.get(head)) is dict:
            return typing.get_args(keys[head])[1]
        head, _, _ = head.rpartition(".")
    return None


def section(key: str) -> bool:
    """Whether ``key`` names a whole section (``model``, ``execute.limits``)."""
    return any(known.startswith(key + ".") for known in known_keys())


def takes_text(key: str) -> bool:
    """Whether any text is of ``key``'s type."""
    annotation = field_type(key)
    return annotation is str or str in typing.get_args(annotation)


def plain_type(annotation: Any) -> str:
    """A type in words that a user knows: ``a whole number or null``."""
    if annotation is None or annotation is type(None):
        return "null"
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(plain_type(part) for part in typing.get_args(annotation))
    if origin is list:
        return "a list [a,b]"
    if origin is dict:
        return "a mapping {a:b}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Any: "anything"}
    return words.get(annotation, "a section of keys")


def _walk(cls: type, prefix: str) -> typing.Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        parts = [part for part in typing.get_args(hint) if dataclasses.is_dataclass(part)]
        inner = hint if dataclasses.is_dataclass(hint) else parts[0] if parts else None
        if isinstance(inner, type):
            yield from _walk(inner, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hint
