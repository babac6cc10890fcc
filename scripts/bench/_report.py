"""What every bench prints: a table for people, then one JSON object as the last line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

__all__ = ["print_report"]


def print_report(
    title: str, header: Sequence[str], rows: Sequence[Sequence[object]], result: Mapping[str, object]
) -> None:
    """Print a table with aligned columns, then ``result`` as one line of JSON."""
    table = [[str(cell) for cell in header], *[[_text(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    print(title)
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(json.dumps(dict(result), sort_keys=True))


def _text(cell: object) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
