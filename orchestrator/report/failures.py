"""The trials that a reader can open in the page: all of them in small runs, failures and a sample in big ones."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.rows import Row, is_graded, is_passed, natural
from orchestrator.core.summary import Summary
from orchestrator.report.load import Run
from orchestrator.report.trials import TrialKey, Turn, read_turns

__all__ = ["Browser", "browser_data", "top_reasons"]

MOST_LISTED = 4_000
"""Trials in the list: more would slow down the search that a reader types into."""
MOST_TEXTS = 2_000
"""Trials whose texts are read from disk for the page."""
TEXT_BUDGET = 3_200_000
"""Bytes, as escaped, of prompts, replies, programs and feedback in the page: with Plotly it stays under 10 MB."""
LONGEST = 12_000
"""Characters kept of one text."""


@dataclass(frozen=True, slots=True)
class Browser:
    """What the page's list of trials is made from."""

    data: dict[str, Any]
    """JSON for the page's script (see ``assets/report.js``)."""
    said: str
    """What was left out, as a sentence; empty when everything is there."""


def browser_data(run: Run, summary: Summary) -> Browser:
    """Choose the trials, read their texts and pack them so that equal texts are stored once."""
    ranked = _ranked(run.rows)
    listed = ranked[:MOST_LISTED]
    keys = [_key(row) for row in listed]
    turns = read_turns(run, keys[:MOST_TEXTS])
    texts = _Texts(TEXT_BUDGET)
    details: dict[str, list[dict[str, Any]]] = {}
    for i, key in enumerate(keys[:MOST_TEXTS]):
        # A trial without steps has an empty list; one whose texts had no room left has no entry.
        if texts.left > 0:
            details[str(i)] = [_turn(turn, texts) for turn in turns.get(key, [])]
    cells = [cell.id for cell in summary.cells]
    place = {name: i for i, name in enumerate(cells)}
    data = {
        "cells": [
            {"id": c.id, "label": c.label, "synthetic": c.synthetic, "oracle": c.feedback == "oracle"}
            for c in summary.cells
        ],
        "texts": texts.kept,
        "trials": [
            [
                place.get(cell, -1),
                problem,
                sample,
                str(row.get("verdict")),
                texts.add(row.get("reason"), always=True),
            ]
            for row, (cell, problem, sample) in zip(listed, keys, strict=True)
        ],
        "details": details,
    }
    return Browser(data, _said(run, listed, len(details)))


def top_reasons(rows: Iterable[Row], most: int = 12) -> list[tuple[str, str, int, str]]:
    """The commonest ways to fail: (verdict, reason, trials, one problem it happened on)."""
    counted: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], str] = {}
    for row in rows:
        if is_graded(row) and not is_passed(row):
            kind = (str(row.get("verdict")), str(row.get("reason") or "no reason was recorded")[:200])
            counted[kind] += 1
            example.setdefault(kind, str(row.get("problem")))
    return [(*kind, n, example[kind]) for kind, n in counted.most_common(most)]


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """Failures first, dealt out evenly over cells and verdicts, so that any cut keeps some of each kind."""
    groups: defaultdict[tuple[bool, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[(is_passed(row), str(row.get("cell")), str(row.get("verdict")))].append(row)
    ranked: list[tuple[bool, float, Row]] = []
    for (passed, _, _), group in groups.items():
        # The rank within its own group interleaves the groups, whatever their sizes.
        ranked += [(passed, i, row) for i, row in enumerate(group)]
    ranked.sort(key=lambda item: item[:2])
    chosen = [row for _, _, row in ranked[:MOST_LISTED]]
    with_texts, rest = chosen[:MOST_TEXTS], chosen[MOST_TEXTS:]
    return sorted(with_texts, key=_order) + sorted(rest, key=_order)


def _order(row: Row) -> tuple[list[Any], str, int]:
    return natural(str(row.get("problem"))), str(row.get("cell")), int(row.get("sample") or 0)


def _turn(turn: Turn, texts: _Texts) -> dict[str, Any]:
    prompt = turn.sent[0]["text"] if turn.sent else None
    packed = {
        "n": turn.turn,
        "prompt": texts.add(prompt) if turn.turn == 1 else None,
        "reply": texts.add(turn.reply),
        "program": texts.add(turn.program),
        "feedback": texts.add(turn.feedback),
        "tried": turn.feedback_verdict,
        "tried_why": texts.add(turn.feedback_reason),
        "scored": turn.scoring_verdict,
        "scored_why": texts.add(turn.scoring_reason),
        "model": turn.model_id,
        "request": turn.request_id,
        "stop": turn.stop_reason,
        "in": turn.input_tokens,
        "out": turn.output_tokens,
        "usd": turn.usd,
        "cpu_s": turn.cpu_s,
    }
    return {name: value for name, value in packed.items() if value is not None}


class _Texts:
    """Texts by number, equal ones once, up to a budget of bytes in the page."""

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.kept: list[str] = []
        self._places: dict[str, int] = {}

    def add(self, text: str | None, *, always: bool = False) -> int | None:
        """The number of ``text``; None for none. Past the budget a new text is replaced by a line saying so."""
        if not text:
            return None
        if len(text) > LONGEST:
            text = text[:LONGEST] + f"\n... ({len(text) - LONGEST:,} more characters: see steps.parquet)"
        if text not in self._places:
            if self.left <= 0 and not always:
                text = "(left out of this page: see steps.parquet)"
            if text not in self._places:
                self._places[text] = len(self.kept)
                self.kept.append(text)
                self.left -= _weight(text)
        return self._places[text]


def _weight(text: str) -> int:
    """Bytes that a text takes in the page: quotes, line ends and markup are escaped there."""
    escaped = json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
    return len(escaped) + 5 * sum(text.count(character) for character in "<>&")


def _said(run: Run, listed: Sequence[Row], with_texts: int) -> str:
    parts = []
    if len(listed) < len(run.rows):
        failed = sum(not is_passed(row) for row in run.rows)
        shown = sum(not is_passed(row) for row in listed)
        parts.append(
            f"The list holds {len(listed):,} of {len(run.rows):,} trials ({shown:,} of {failed:,} that did not "
            "pass), sampled evenly over cells and verdicts"
        )
    if with_texts < len(listed):
        parts.append(f"{with_texts:,} of them can be opened here")
    if not parts:
        return ""
    return "; ".join(parts) + ". The rest is in results.parquet and steps.parquet, or: --problem ID."


def _key(row: Row) -> TrialKey:
    return str(row.get("cell")), str(row.get("problem")), int(row.get("sample") or 0)
