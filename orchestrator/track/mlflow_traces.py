"""Writes trials to MLflow as traces, linked to the child run of their cell.

Ids come from the run, the problem and the sample, so that what is written twice (a server that went away half
way, a sweep that is resumed) stays one trace.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from orchestrator.track.traces import Trace, TraceSpan

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Span, TraceInfo
    from mlflow.tracing.client import TracingClient

__all__ = ["TraceWriter"]

BATCH: Final = 10
"""Traces whose spans are sent together: so few that little is done again after a failure."""

PREVIEW: Final = 1000
"""Characters of a preview that MLflow keeps."""


class TraceWriter:
    """Work for :meth:`Tracker.call`. Called again after a failure, it goes on with the batch that failed."""

    def __init__(self, traces: Iterator[Trace], uri: str, *, chosen: int, seconds: float) -> None:
        """Nothing is read or written yet.

        Args:
            traces: the most wanted first; read a batch at a time, by the thread that writes.
            uri: the tracking store.
            chosen: how many ``traces`` are.
            seconds: how long writing may take. A batch that is begun is finished, and waiting for a server
                that is away does not count.
        """
        self._traces = traces
        self._uri = uri
        self._chosen = chosen
        self._seconds = seconds
        self._batch: list[Trace] = []
        self._written = 0

    def __call__(self, client: MlflowClient, parent: str, children: Mapping[str, str]) -> None:
        """Write the traces; how many were and were not becomes metrics of the parent run."""
        from mlflow.tracing.client import TracingClient

        experiment = str(client.get_run(parent).info.experiment_id)
        tracing = TracingClient(self._uri)
        while self._batch or (self._seconds > 0 and self._take()):
            begun = time.monotonic()
            self._write(tracing, experiment, children)
            self._seconds -= time.monotonic() - begun
            self._written += len(self._batch)
            self._batch = []
        client.log_metric(parent, "traces", self._written)
        client.log_metric(parent, "traces_left_out", self._chosen - self._written)

    def _take(self) -> bool:
        self._batch = list(islice(self._traces, BATCH))
        return bool(self._batch)

    def _write(self, tracing: TracingClient, experiment: str, children: Mapping[str, str]) -> None:
        known = [trace for trace in self._batch if trace.key[0] in children]
        for trace in known:
            tracing.start_trace(_info(trace, experiment, children[trace.key[0]]))
        tracing.log_spans(experiment, [span for trace in known for span in _spans(trace, children[trace.key[0]])])


def _number(run: str, trace: Trace) -> str:
    """32 hexadecimal digits that are the same for the same trial of the same run."""
    return sha256(json.dumps([run, *trace.key[1:]]).encode()).hexdigest()[:32]


def _info(trace: Trace, experiment: str, run: str) -> TraceInfo:
    from mlflow.entities import AssessmentSource, Feedback, TraceInfo, TraceLocation, TraceState

    source = AssessmentSource("CODE", "orchestrator")
    start, end = int(trace.root.start_s * 1000), int(trace.root.end_s * 1000)
    assessments: list[Any] = [
        Feedback(name=name, value=value, source=source, rationale=trace.reason or None, create_time_ms=end)
        for name, value in (("passed", trace.passed), ("verdict", trace.verdict))
        if value is not None
    ]
    for assessment in assessments:
        assessment.assessment_id = f"a-{_number(run, trace)}-{assessment.name}"
    asked = ": ".join(str(trace.root.inputs[name]) for name in ("problem", "asked") if name in trace.root.inputs)
    metadata = {"mlflow.sourceRun": run}
    if trace.usage:
        metadata["mlflow.trace.tokenUsage"] = json.dumps(trace.usage)
    if trace.cost:
        metadata["mlflow.trace.cost"] = json.dumps(trace.cost)
    return TraceInfo(
        trace_id=f"tr-{_number(run, trace)}",
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=start,
        execution_duration=end - start,
        state=TraceState.OK if trace.root.failure is None else TraceState.ERROR,
        request_preview=asked[:PREVIEW],
        response_preview=f"{trace.verdict}: {trace.reason}"[:PREVIEW] if trace.reason else trace.verdict,
        trace_metadata=metadata,
        tags={"mlflow.traceName": trace.root.name, **trace.tags},
        assessments=assessments,
    )


def _spans(trace: Trace, run: str) -> list[Span]:
    number = _number(run, trace)
    ids = [sha256(f"{number}/{index}".encode()).hexdigest()[:16] for index in range(len(trace.steps) + 1)]
    root = _span(trace.root, number, ids[0], None)
    return [root, *(_span(step, number, own, ids[0]) for step, own in zip(trace.steps, ids[1:], strict=True))]


def _span(span: TraceSpan, number: str, own: str, parent: str | None) -> Span:
    from mlflow.entities import Span

    attributes: dict[str, Any] = {
        "mlflow.traceRequestId": f"tr-{number}",
        "mlflow.spanType": span.type,
        "mlflow.spanInputs": span.inputs,
        "mlflow.spanOutputs": span.outputs,
        **span.attributes,
    }
    failed = span.failure is not None
    return Span.from_dict(
        {
            "trace_id": f"tr-{number}",
            "span_id": own,
            "parent_span_id": parent,
            "name": span.name,
            "start_time_unix_nano": int(span.start_s * 1e9),
            "end_time_unix_nano": int(span.end_s * 1e9),
            "events": [],
            "status": {
                "code": "STATUS_CODE_ERROR" if failed else "STATUS_CODE_OK",
                "message": span.failure or "",
            },
            "attributes": {name: json.dumps(value) for name, value in attributes.items()},
        }
    )
