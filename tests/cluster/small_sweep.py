"""A sweep of ten problems that things are lost under."""

from __future__ import annotations

__all__ = ["SWEEP"]

SWEEP = (
    "+sweep=humaneval",
    "limit=10",
    "rehearsal.latency_low_s=0.0",
    "rehearsal.latency_high_s=0.3",
    "rehearsal.log=asked.jsonl",
    "generate.in_flight=4",
    "run.dir=run",
)
