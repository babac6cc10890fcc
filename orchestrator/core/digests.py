"""Content digests: what determines a step names it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

__all__ = ["canonical_json", "digest", "to_plain"]


def to_plain(value: Any) -> Any:
    """Return ``value`` as JSON data: dataclasses become objects tagged with their type name.

    The tag keeps two different types with the same fields apart.

    Raises:
        TypeError: for anything that has no canonical form (sets, functions, tensors).
    """
    if value is None or (isinstance(value, str | bool | int | float) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"!": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [to_plain(v) for v in value]
    raise TypeError(f"no canonical form for {type(value).__name__}")


def canonical_json(value: Any) -> str:
    """Serialise ``value`` so that equal values give equal text (sorted keys, no spaces, ASCII)."""
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(*values: Any) -> str:
    """SHA-256 (hex, 64 characters) of the canonical JSON of ``values``."""
    return hashlib.sha256(canonical_json(list(values)).encode("ascii")).hexdigest()
