"""Content digests: what determines a step names it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

__all__ = ["canonical_json", "digest", "to_plain"]

# Every step names itself by a digest, so these are asked first and by identity: most values are one of them.
_PLAIN: Final = frozenset({type(None), str, bool, int, float})


def to_plain(value: Any) -> Any:
    """Return ``value`` as JSON data: dataclasses become objects tagged with their type name.

    The tag keeps two different types with the same fields apart.

    Raises:
        TypeError: for anything that has no canonical form (sets, functions, tensors).
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    names = _fields(kind)
    if names is not None:
        return {"!": kind.__name__, **{name: to_plain(getattr(value, name)) for name in names}}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [to_plain(v) for v in value]
    raise TypeError(f"no canonical form for {type(value).__name__}")


@functools.cache
def _fields(kind: type) -> tuple[str, ...] | None:
    """The names of a dataclass's fields; None for any other type."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def canonical_json(value: Any) -> str:
    """Serialise ``value`` so that equal values give equal text (sorted keys, no spaces, ASCII)."""
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(*values: Any) -> str:
    """SHA-256 (hex, 64 characters) of the canonical JSON of ``values``."""
    return hashlib.sha256(canonical_json(list(values)).encode("ascii")).hexdigest()
