"""HTML from Python with escaping that cannot be forgotten: only :class:`Html` goes into a page as it is."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Html", "json_script", "table", "tag"]

LONG = 40
"""Characters from which a cell keeps a width that reads well even where the table must scroll."""
VOID = frozenset({"input", "meta", "br"})


class Html(str):
    """Markup that is safe to put into a page. Every other string is escaped."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | None) -> Html:
    """One element. A trailing underscore in an attribute's name is dropped and other ones become hyphens."""
    pairs = [
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    if name in VOID:
        return Html(f"<{name}{''.join(pairs)}>")
    return Html(f"<{name}{''.join(pairs)}>{join(children)}</{name}>")


def join(children: Iterable[str | None]) -> Html:
    """Children one after the other, plain text escaped."""
    return Html("".join(c if isinstance(c, Html) else html.escape(c) for c in children if c is not None))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> Html:
    """A table that scrolls sideways by itself on a narrow screen; ``numbers`` are right-aligned columns."""
    right = set(numbers)

    def cells(name: str, values: Sequence[str]) -> Html:
        return join(tag(name, v, class_=_class(v, i in right)) for i, v in enumerate(values))

    head = tag("thead", tag("tr", cells("th", headings)))
    body = tag("tbody", *[tag("tr", cells("td", row)) for row in rows])
    return tag("div", tag("table", head, body), class_="scroll", tabindex="0")


def _class(text: str, right: bool) -> str | None:
    if right:
        return "num"
    return "long" if len(text) > LONG and not isinstance(text, Html) else None


def json_script(identifier: str, data: Any) -> Html:
    """Data for the page's script, in an element that a browser never runs.

    ``<`` is escaped so that no text in the data can end the element or open a comment in it.
    """
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A lone surrogate, which JSON may carry, cannot be written as UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return Html(f'<script type="application/json" id="{html.escape(identifier)}">{text}</script>')
