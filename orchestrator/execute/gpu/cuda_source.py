"""The headers that a CUDA C++ source includes, read as a compiler would read it.

A pattern over the text is not enough: an include can stand behind a comment mark inside of a string, after a line
that a backslash continues, under another spelling of ``#``, or be made by a macro.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

__all__ = ["includes", "is_ambiguous", "without_comments"]

_SPLICES: Final = (re.compile(r"\\\r?\n"), re.compile(r"\\[ \t]*\r?\n"))
"""Continued lines: as the standard has them, and as compilers do that overlook blanks after the backslash."""
_CONTINUED: Final = re.compile(r"(?:\\|\?\?/)[ \t\v\f]*[\r\n]")
_RAW: Final = re.compile(r'(?:(?<!\w)|(?<=[uUL8]))R(?:(?:\\|\?\?/)[ \t\v\f]*(?:\r\n?|\n))*"')
"""The prefix of a raw string, in one line or more; the end of an ordinary string may look like one."""
_TOKEN: Final = re.compile(
    r"""
      (?P<comment> //[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<raw> (?:u8|[uUL])?R"(?P<mark>[^()\\\s"]{0,16})\( )
    | (?P<literal> (?:u8|[uUL])?"(?:\\.|[^"\\\n])*"? | (?:u8|[uUL])?'(?:\\.|[^'\\\n])*'? )
    | (?P<word> \.?[0-9](?:'[0-9A-Za-z_] | [eEpP][+-] | [0-9A-Za-z_.])* | [A-Za-z_]\w* )
    | (?P<other> . )
    """,
    re.DOTALL | re.VERBOSE,
)
_RAW_END: Final = re.compile(r"""\)([^()\\\s"]{0,16})\"""")
_DIRECTIVE: Final = re.compile(
    r"^[ \t\v\f]*(?:\#|%:|\?\?=)[ \t\v\f]*(?:include|include_next|import|embed)\b(.*)$", re.MULTILINE
)
_HEADER: Final = re.compile(r'\s*(?:<([^<>"\n]+)>|"([^<>"\n]+)")\s*')


def without_comments(source: str) -> str:
    """``source`` with its lines joined, comments as blanks and raw strings emptied."""
    return _strip(source, _SPLICES[0])


def is_ambiguous(source: str) -> bool:
    """Whether ``source`` holds both a raw string and a continued line, wherever they stand.

    Lines are joined before strings are found, but not inside of raw strings: where these begin and end can't be
    told from either view alone, and what is hidden in one could be an include in the other.
    """
    return _CONTINUED.search(source) is not None and _RAW.search(source) is not None


def includes(source: str) -> Iterator[str]:
    """Names of the headers that ``source`` includes; an include that names none in plain letters is given whole."""
    for splice in _SPLICES:
        for rest in _DIRECTIVE.findall(_strip(source, splice)):
            named = _HEADER.fullmatch(rest)
            yield (named[1] or named[2]) if named else rest.strip()


def _strip(source: str, splice: re.Pattern[str]) -> str:
    text = splice.sub("", source.replace("\r\n", "\n").replace("\r", "\n"))
    # All ends of raw strings are found once: a search from each beginning takes the square of the text's length.
    ends: dict[str, list[int]] = {}
    for end in _RAW_END.finditer(text):
        ends.setdefault(end[1], []).append(end.start())
    kept: list[str] = []
    at = 0
    while (token := _TOKEN.match(text, at)) is not None:
        at = token.end()
        if token["comment"] is not None:
            kept.append(" ")
        elif token["raw"] is not None:
            mark = token["mark"]
            places = ends.get(mark, [])
            place = bisect_left(places, at)
            if place < len(places):
                kept.append('""')
                at = places[place] + len(mark) + 2
            else:
                # It never ends, so it is none: a word, and what looks like any other string.
                at = text.index('"', token.start())
                kept.append(text[token.start() : at])
        else:
            kept.append(token[0])
    return "".join(kept)
