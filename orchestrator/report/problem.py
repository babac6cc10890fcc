"""One problem in full in the terminal: prompt, replies, programs, errors and feedback of every trial."""

from __future__ import annotations

import difflib
import textwrap
from typing import TYPE_CHECKING, Any

from orchestrator.report import words
from orchestrator.report.errors import ReportError
from orchestrator.report.load import Run
from orchestrator.report.trials import Turn, read_turns

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_problem"]


def print_problem(console: Console, run: Run, problem: str) -> None:
    """Print everything that happened on ``problem`` in ``run``.

    Raises:
        ReportError: when the run has no such problem; the nearest names are in the text.
    """
    rows = [row for row in run.rows if row.get("problem") == problem]
    if not rows:
        known = sorted({str(row.get("problem")) for row in run.rows})
        near = difflib.get_close_matches(problem, known, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ReportError(f"{run.name} has no problem {problem!r}{hint}")
    turns = read_turns(run, [_key(row) for row in rows])
    prompt = next((t.sent[0]["text"] for found in turns.values() for t in found if t.sent), None)
    _rule(console, problem)
    _say(console, "prompt", prompt if prompt is not None else "(no model was asked)")
    for row in rows:
        key = _key(row)
        sample = f", sample {key[2]}" if any(_key(r)[2] for r in rows) else ""
        _rule(console, f"{key[0]}{sample}: {row.get('verdict')}")
        _say(console, "reason", str(row.get("reason") or ""))
        found = turns.get(key, [])
        if not found:
            _say(console, "steps", "none were recorded for this trial")
        for turn in found:
            _print_turn(console, turn, len(found))


def _print_turn(console: Console, turn: Turn, of: int) -> None:
    head = f"turn {turn.turn} of {of}" if of > 1 else "turn 1"
    details = [
        turn.model_id,
        None if turn.input_tokens is None else f"{turn.input_tokens} tokens in, {turn.output_tokens} out",
        None if turn.usd is None else words.dollars(turn.usd),
        None if turn.stop_reason in (None, "end_turn") else f"stopped: {turn.stop_reason}",
        turn.request_id,
    ]
    _say(console, head, " · ".join(d for d in details if d) or "no model was asked", inline=True)
    if turn.reply is not None:
        _say(console, "reply", turn.reply)
    _say(console, "program", turn.program if turn.program is not None else "(none)")
    if turn.feedback_verdict is not None:
        _say(console, "feedback tests", f"{turn.feedback_verdict} {turn.feedback_reason or ''}", inline=True)
    if turn.feedback:
        _say(console, "sent back", turn.feedback)
    if turn.scoring_verdict is not None:
        _say(console, "scoring tests", f"{turn.scoring_verdict} {turn.scoring_reason or ''}", inline=True)


def _rule(console: Console, title: str) -> None:
    from rich.rule import Rule
    from rich.text import Text

    console.print(Rule(Text(words.clean(title), style="bold"), align="left"))


def _say(console: Console, name: str, text: str, *, inline: bool = False) -> None:
    """Print as plain text, whatever it holds: no markup, no highlighting, no control characters."""
    from rich.text import Text

    if not text:
        return
    heading = Text(f"{name}: ", style="bold cyan")
    if inline:
        console.print(heading + Text(words.clean(text)), soft_wrap=True)
        return
    console.print(heading)
    console.print(Text(textwrap.indent(words.clean(text.rstrip("\n")), "  ")), soft_wrap=True)


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return str(row.get("cell")), str(row.get("problem")), int(row.get("sample") or 0)
