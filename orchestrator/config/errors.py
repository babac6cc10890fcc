"""What a wrong command line gets: one sentence that names the key, the value and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["ConfigError", "did_you_mean", "show"]


class ConfigError(Exception):
    """A run was asked for that cannot be made. Its text is one sentence for the user; nothing was spent."""


def did_you_mean(wrong: str, known: Iterable[str], *, most: int = 12) -> str:
    """Say what was probably meant: the nearest of ``known``, or all of them where they are few.

    Returns:
        A clause that starts with ``; ``, or an empty string where nothing helps.
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if not near:
        # The same word in another place (``effort`` for ``model.effort``), or in another case.
        tails = {name.rsplit(".", 1)[-1].lower(): name for name in reversed(names)}
        near = difflib.get_close_matches(wrong.rsplit(".", 1)[-1].lower(), tails, n=1, cutoff=0.7)
        near = [tails[tail] for tail in near]
    if near:
        return f"; did you mean {near[0]}?"
    if 0 < len(names) <= most:
        return f"; there is {', '.join(sorted(names))}"
    return ""


def show(value: object) -> str:
    """``value`` as it would be typed on the command line, cut to a length that fits a sentence."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, list):
        text = "[" + ",".join(show(item) for item in value) + "]"
    else:
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
