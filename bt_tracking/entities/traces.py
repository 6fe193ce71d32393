"""Runs of a program on rows as MLflow traces: a span for the row and one for each predictor's call, with the score."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bt_tracking import content
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.settings import TrackingSettings

#: The spans of so many traces are sent in one request.
BATCH = 20
#: MLflow shows so much of inputs and outputs in its table of traces.
_PREVIEW = 1000


@dataclass(frozen=True)
class TracedCall:
    """A call of a predictor: the messages that it sent (`role`, `content`), the answer, and the fields of both."""

    predictor: str
    messages: Sequence[Mapping[str, str]]
    answer: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    label_logprobs: Mapping[str, float] | None = None


@dataclass(frozen=True)
class TracedRow:
    """A run of a program on one row.

    Attributes:
        example: the row's name.
        inputs: what the program was called with.
        prediction: the fields of its prediction.
        error: why it failed; None: it did not.
        calls: the predictors' calls, in order.
        feedback: name -> score or word, shown as assessments.
        rationale: why the score is what it is: what the metric said; an error stands for it.
        labels: name -> value that the data have, shown as expectations.
        tags: tags of the trace, by which MLflow's search filters.
    """

    example: str
    inputs: Mapping[str, Any]
    prediction: Mapping[str, Any]
    error: str | None
    calls: Sequence[TracedCall]
    feedback: Mapping[str, float | str]
    rationale: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TraceOwner:
    """What traces belong to: a run, the logged model that ran them if there is one, and their name and base model."""

    run_id: str
    name: str
    base_model: str
    model: str | None = None


def record_traces(
    rows: Sequence[TracedRow], owner: TraceOwner, at: float, seconds: float, *, retry_seconds: float | None = None
) -> int:
    """Send rows as traces, in their order, until the time for it is used up. Doing so twice changes nothing.

    Args:
        rows: the rows.
        owner: the run and the model that MLflow shows them with.
        at: when the rows had been run, in Unix seconds. It is the time of every trace, since rows run side by side.
        seconds: the most time for all of it.
        retry_seconds: how long to wait for a server that does not answer, if not `seconds`.

    Returns:
        The number of traces sent; 0 when tracking is off.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    ends = time.monotonic() + seconds
    settings = TrackingSettings.from_environment(seconds if retry_seconds is None else retry_seconds)
    if settings is None or not rows:
        return 0
    sent, newest = 0, content.milliseconds(at)
    with connect(settings, f"traces of {owner.name}") as client:
        experiment = client.get_run(owner.run_id).info.experiment_id
        for start in range(0, len(rows), BATCH):
            number = _send(client, experiment, rows[start : start + BATCH], owner, newest - start, ends)
            sent += number
            if number < BATCH:
                break
    return sent


def _send(
    client: RetryingClient, experiment: str, rows: Sequence[TracedRow], owner: TraceOwner, newest: int, ends: float
) -> int:
    """Send a batch, or less of it where the time ends, and return how many.

    MLflow lists the newest trace first, so each row is a millisecond older than the one before it.
    """
    from mlflow.tracing.client import TracingClient

    tracing = TracingClient(client.settings.uri)
    spans: list[Any] = []
    sent = 0
    for row in rows:
        if time.monotonic() >= ends:
            break
        when = newest - sent
        trace = _trace_id(owner, row)
        client.retried(tracing.start_trace, _info(trace, experiment, row, owner, when))
        spans += _spans(trace, row, owner, when * 1_000_000)
        sent += 1
    if spans:
        client.retried(tracing.log_spans, experiment, spans)
    return sent


def _trace_id(owner: TraceOwner, row: TracedRow) -> str:
    return f"tr-{_digest(owner.run_id, owner.name, row.example)}"


def _info(trace: str, experiment: str, row: TracedRow, owner: TraceOwner, when: int) -> Any:
    from mlflow.entities import TraceInfo, TraceLocation, TraceState
    from mlflow.tracing.constant import TraceMetadataKey, TraceTagKey

    metadata = {TraceMetadataKey.SOURCE_RUN: owner.run_id}
    if owner.model:
        metadata[TraceMetadataKey.MODEL_ID] = owner.model
    return TraceInfo(
        trace_id=trace,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=when,
        execution_duration=0,
        state=TraceState.ERROR if row.error else TraceState.OK,
        request_preview=_dumped(row.inputs)[:_PREVIEW],
        response_preview=_dumped(row.error or row.prediction)[:_PREVIEW],
        client_request_id=row.example,
        trace_metadata=metadata,
        tags={TraceTagKey.TRACE_NAME: owner.name, **row.tags},
        assessments=list(_assessments(trace, row, when)),
    )


def _assessments(trace: str, row: TracedRow, when: int) -> Iterator[Any]:
    from mlflow.entities import AssessmentSource, Expectation, Feedback

    source = AssessmentSource(source_type="CODE", source_id="bt")
    at: dict[str, Any] = {"source": source, "trace_id": trace, "create_time_ms": when, "last_update_time_ms": when}
    why = row.error or row.rationale or None
    found = [Feedback(name=name, value=value, rationale=why, **at) for name, value in row.feedback.items()]
    for assessment in [*found, *(Expectation(name=name, value=value, **at) for name, value in row.labels.items())]:
        # With an id of its own, an assessment that is sent again is no second one.
        assessment.assessment_id = f"a-{_digest(trace, type(assessment).__name__, assessment.name)}"
        yield assessment


def _spans(trace: str, row: TracedRow, owner: TraceOwner, when: int) -> Iterator[Any]:
    """The span of the row, and below it one for each call, all at `when` (Unix nanoseconds)."""
    from mlflow.entities import Span, SpanType

    root = _digest(trace)[:16]

    def span(number: str, name: str, error: str | None, attributes: Mapping[str, Any]) -> Any:
        whole = {"mlflow.traceRequestId": trace, **attributes}
        return Span.from_dict(
            {
                "trace_id": trace,
                "span_id": number,
                "parent_span_id": None if number == root else root,
                "name": name,
                "start_time_unix_nano": when,
                "end_time_unix_nano": when,
                "status": {"code": "ERROR" if error else "OK", "message": error or ""},
                "events": [],
                "attributes": {key: _dumped(value) for key, value in whole.items()},
            }
        )

    shown = {"mlflow.spanType": SpanType.CHAIN, "mlflow.spanInputs": row.inputs, "mlflow.spanOutputs": row.prediction}
    yield span(root, owner.name, row.error, shown)
    for position, call in enumerate(row.calls):
        yield span(_digest(trace, str(position))[:16], call.predictor, None, _call_attributes(call, owner.base_model))


def _call_attributes(call: TracedCall, base_model: str) -> dict[str, Any]:
    """The messages as a chat, which MLflow shows as one, and the fields that they were made of and read as."""
    attributes = {
        "mlflow.spanType": "CHAT_MODEL",
        "mlflow.llm.model": base_model,
        "mlflow.spanInputs": {"messages": list(call.messages)},
        "mlflow.spanOutputs": {"choices": [{"index": 0, "message": {"role": "assistant", "content": call.answer}}]},
        "inputs": call.inputs,
        "outputs": call.outputs,
    }
    return attributes | ({"label_logprobs": call.label_logprobs} if call.label_logprobs else {})


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _digest(*parts: str) -> str:
    return hashlib.md5("\n".join(parts).encode(), usedforsecurity=False).hexdigest()
