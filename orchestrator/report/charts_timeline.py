"""The timeline: what was in flight, and which slot asked a model or ran a program when."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.rows import natural, number
from orchestrator.report.figure import Chart, chart, rows_axis, safe
from orchestrator.report.load import Run
from orchestrator.report.series import COLOURS, in_flight

__all__ = ["Span", "lanes", "timeline_charts"]

MOST_SPANS = 3000
"""Drawn in the timeline; more would make the page slow and the picture no clearer."""
MOST_RUNNING, MOST_ASKING = 24, 16
"""Rows of slots that run programs, and of requests that a model answers at the same time."""
PIXELS = 900
"""About how wide the timeline is; a shorter span would not be drawn at all."""
GENERATION = "generation"
QUEUED, WAITING = "waiting to be sent", "waiting for a slot"
KINDS = {
    GENERATION: COLOURS[0],
    "feedback": COLOURS[1],
    "scoring": COLOURS[2],
    "reference": COLOURS[4],
    WAITING: COLOURS[3],
    QUEUED: COLOURS[6],
}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in which a slot was held."""

    start: float
    """Epoch seconds."""
    end: float
    kind: str
    """``generation``, ``feedback``, ``scoring`` or ``reference``."""
    slot: str
    asked: float
    """When it was asked for: before ``start`` it waited."""


def lanes(spans: Iterable[Span]) -> list[tuple[Span, int]]:
    """Each span with a lane of its slot, from 0, so that no two spans of a lane overlap. In order of start.

    An actor that asks a model has many requests in flight, and a row for each is the only way to see them.
    """
    free: defaultdict[str, list[int]] = defaultdict(list)
    busy: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    placed = []
    for span in sorted(spans, key=lambda s: (s.start, s.end)):
        open_now, idle = busy[span.slot], free[span.slot]
        while open_now and open_now[0][0] <= span.start:
            heapq.heappush(idle, heapq.heappop(open_now)[1])
        lane = heapq.heappop(idle) if idle else len(open_now)
        heapq.heappush(open_now, (span.end, lane))
        placed.append((span, lane))
    return placed


def timeline_charts(run: Run, synthetic: bool) -> list[Chart]:
    """What was in flight over time, exactly, and which slot did what, sampled when there is much."""
    spans = _spans(run)
    if not spans:
        return []
    origin = min(span.asked for span in spans)
    seconds = {"ticksuffix": " s", "title": {"text": "since the first step"}}
    asking = [span for span in spans if span.kind == GENERATION]
    running = [span for span in spans if span.kind != GENERATION]
    flight: list[dict[str, Any]] = []
    for name, colour, held in (
        (QUEUED, KINDS[QUEUED], [(s.asked, s.start) for s in asking if s.start > s.asked]),
        ("generating", KINDS[GENERATION], [(s.start, s.end) for s in asking]),
        (WAITING, KINDS[WAITING], [(s.asked, s.start) for s in running if s.start > s.asked]),
        ("executing", KINDS["scoring"], [(s.start, s.end) for s in running]),
    ):
        times, counts = in_flight((start - origin, end - origin) for start, end in held)
        if times:
            flight.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": name,
                    "x": [round(t, 4) for t in times],
                    "y": counts,
                    "line": {"shape": "hv", "width": 1.5, "color": colour},
                    "fill": "none" if name in (QUEUED, WAITING) else "tozeroy",
                }
            )
    flight_chart = chart(
        "flight",
        "In flight over time",
        "Requests that wait to be sent, requests that a model is answering, programs that wait for a slot, and "
        "programs that run. Steps that the journal answered are left out.",
        flight,
        {"xaxis": seconds, "yaxis": {"rangemode": "tozero"}, "showlegend": True},
        synthetic=synthetic,
    )
    return [flight_chart, _slots(spans, origin, seconds, synthetic)]


def _spans(run: Run) -> list[Span]:
    found = []
    # Hashes of keys, as the keys themselves would be most of the memory of a big run's page.
    served: set[int] = set()
    columns = ("cell", "kind", "key", "slot", "started_at", "ended_at", "lease_s", "resumed")
    taken = ((part.name, step) for part in run.parts or (run,) for step in part.steps(columns))
    for name, step in taken:
        asked, end = number(step.get("started_at")), number(step.get("ended_at"))
        if asked is None or end is None or step.get("resumed"):
            continue
        kind, key = str(step.get("kind")), step.get("key")
        if key is not None:
            # Two systems that ask the same thing share one purchase, and equal programs one execution. Two
            # runs that did the same thing did it twice.
            mark = hash((name, key))
            if mark in served:
                continue
            served.add(mark)
        # A step begins when it is asked for; its slot was held only for the lease at its end.
        lease = number(step.get("lease_s"))
        start = asked if lease is None else max(asked, end - lease)
        found.append(Span(start, end, kind, str(step.get("slot") or kind), asked))
    return found


def _slots(spans: Sequence[Span], origin: float, seconds: Mapping[str, Any], synthetic: bool) -> Chart:
    stride = max(1, -(-len(spans) // MOST_SPANS))
    # The driver sees a program's end a moment late, so spans of a slot that runs one at a time can seem to overlap.
    placed = [*lanes(s for s in spans if s.kind == GENERATION), *((s, 0) for s in spans if s.kind != GENERATION)]
    placed.sort(key=lambda item: item[0].start)
    names = _names({(span.kind == GENERATION, span.slot, lane) for span, lane in placed})
    running = [row for row in names if not row[0]]
    asking = [row for row in names if row[0]]
    kept = [*running[:MOST_RUNNING], *asking[:MOST_ASKING]]
    rows = {row: names[row] for row in kept}
    shortest = (max(span.end for span in spans) - origin) / PIXELS
    drawn: dict[str, tuple[list[float | None], list[str | None]]] = {}
    for span, lane in placed[::stride]:
        name = rows.get((span.kind == GENERATION, span.slot, lane))
        if name is not None:
            xs, ys = drawn.setdefault(span.kind, ([], []))
            # A gap (null) ends each span, so that one trace draws them all.
            xs += [round(span.start - origin, 4), round(max(span.end, span.start + shortest) - origin, 4), None]
            ys += [name, name, None]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": safe(kind),
            "x": drawn[kind][0],
            "y": drawn[kind][1],
            "line": {"width": 9, "color": KINDS.get(kind, COLOURS[5])},
            "hoverinfo": "skip",
        }
        for kind in sorted(drawn, key=list(KINDS).index)
    ]
    said = [f"One in {stride} of {len(spans):,} steps is drawn."] if stride > 1 else []
    if len(running) > MOST_RUNNING:
        said.append(f"{len(running) - MOST_RUNNING} further execution slots are left out.")
    if len(asking) > MOST_ASKING:
        said.append(f"{len(asking) - MOST_ASKING} further rows of requests are left out.")
    return chart(
        "slots",
        "Who did what when",
        "A row is an execution slot, which runs one program at a time, or one of the requests that a generation "
        f"actor has in flight. What is too short to see is drawn a pixel wide. {' '.join(said)}".rstrip(),
        data,
        {
            "height": 150 + 18 * len(kept),
            "xaxis": seconds,
            "yaxis": {
                **rows_axis(len(kept)),
                "categoryorder": "array",
                "categoryarray": [rows[row] for row in reversed(kept)],
            },
            "showlegend": True,
        },
        synthetic=synthetic,
    )


Row = tuple[bool, str, int]
"""Whether it asks a model, slot, lane."""


def _names(rows: set[Row]) -> dict[Row, str]:
    """What each row is called, in the order in which they are shown: short, since the axis stands beside them.

    An execution slot is recorded as host:process, whose number tells a reader nothing; the slots of a host are
    counted instead, and the host is named where there are several.
    """
    ordered = sorted(rows, key=lambda row: (row[0], natural(row[1]), row[2]))
    hosts = {slot.rpartition(":")[0] for asks, slot, _ in ordered if not asks}
    several = {slot for asks, slot, lane in ordered if asks and lane > 0}
    names: dict[Row, str] = {}
    numbers: dict[str, int] = {}
    for row in ordered:
        asks, slot, lane = row
        if asks:
            short = slot.removeprefix(f"{GENERATION}-")
            names[row] = safe(f"ask {short}" + (f" · {lane + 1}" if slot in several else ""))
            continue
        host = slot.rpartition(":")[0]
        number_here = numbers.setdefault(slot, 1 + sum(other.rpartition(":")[0] == host for other in numbers))
        names[row] = safe(f"run {number_here}" + (f" @ {host}" if len(hosts) > 1 else ""))
    return names
