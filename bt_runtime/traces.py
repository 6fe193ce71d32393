"""The runs of programs on rows as MLflow traces. They are an addition: a run goes on without them."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bt_core.config import Config
from bt_core.errors import TrackingError
from bt_core.formats.rows import ComparedRow
from bt_core.formats.traces import read_traces
from bt_core.program import Program, read_program
from bt_core.records import Row, StageReport, Trace, read_jsonl, row_id
from bt_core.task import Task, load_task
from bt_tracking import TracedCall, TracedRow, TraceOwner, record_traces

#: The largest share of the run's time that traces may take.
SHARE = 0.05
#: Tag and assessment of a test row: its score against the vanilla program's.
CHANGE = "change"


class Times(NamedTuple):
    """When traces were made, in Unix seconds, and how many seconds the run took, of which sending may take a share."""

    at: float
    run_seconds: float


def track_test_rows(
    traces: Path, results: Sequence[ComparedRow], config: Config, program: Path, owner: TraceOwner, times: Times
) -> None:
    """Send the shipped program's runs on the test rows to MLflow, those first whose score changed.

    Args:
        traces: the program's traces of the test rows.
        results: what the vanilla program and the shipped one answered, in the same order.
        config: the merged configuration.
        program: directory of the shipped program.
        owner: the run and the model that the traces belong to.
        times: of the scoring and of the run.
    """
    most = config.tracking.traces
    if not most:
        return

    def rows() -> list[TracedRow]:
        pairs = list(zip(results, read_traces(traces), strict=True))
        chosen = sorted(pairs, key=lambda pair: pair[0].final.score == pair[0].vanilla.score)[:most]
        tell = _Teller(config, read_program(program))
        return [
            tell(
                trace,
                row.row,
                {"score_before": row.vanilla.score, CHANGE: _change(row)},
                {CHANGE: _change(row), "split": "test"},
            )
            for row, trace in chosen
        ]

    _send(rows, owner, times)


def track_kept_traces(
    traces: Path, train: Path, report: StageReport, config: Config, program: Path, run_id: str
) -> None:
    """Send the traces that a step learns from to MLflow.

    Args:
        traces: the traces that the bootstrap wrote.
        train: JSONL, the rows.
        report: that of the bootstrap.
        config: the merged configuration.
        program: the program directory that ran.
        run_id: the MLflow run of the bootstrap.
    """
    most = config.tracking.kept_traces
    if not most:
        return
    state = read_program(program)

    def rows() -> list[TracedRow]:
        by_name = {row_id(row): row for row in read_jsonl(train)}
        kept = [trace for trace in read_traces(traces) if trace.score >= config.bootstrap.threshold]
        tell = _Teller(config, state)
        return [tell(trace, by_name[trace.example], {}, {"split": "train"}) for trace in kept[:most]]

    base_model = config.teacher.model or state.model
    _send(rows, TraceOwner(run_id, report.stage, base_model), Times(report.ended, report.ended - report.started))


def _send(rows: Callable[[], list[TracedRow]], owner: TraceOwner, times: Times) -> None:
    """Send what `rows` makes; whatever fails costs one sentence."""
    try:
        made = rows()
        seconds = SHARE * times.run_seconds
        sent = record_traces(made, owner, times.at, seconds)
        if sent < len(made):
            print(
                f"MLflow has {sent} of {len(made)} traces of {owner.name}: more would have taken over"
                f" {SHARE:.0%} of the run's time ({seconds:.1f} s).",
                flush=True,
            )
    except TrackingError as error:
        print(error, file=sys.stderr, flush=True)
    except Exception as error:  # the user's prompt format is asked again, and may raise anything
        sentence = f"Traces of {owner.name} are not in MLflow ({type(error).__name__}: {error}); the run goes on."
        print(sentence, file=sys.stderr, flush=True)


def _change(row: ComparedRow) -> str:
    difference = row.final.score - row.vanilla.score
    return "better" if difference > 0 else "worse" if difference < 0 else "same"


class _Teller:
    """Tells a trace with the prompts of the program that made it."""

    def __init__(self, config: Config, program: Program) -> None:
        self._task: Task = load_task(config.task, config.task_settings)
        self._program = program

    def __call__(
        self, trace: Trace, row: Row, feedback: Mapping[str, float | str], tags: Mapping[str, str]
    ) -> TracedRow:
        return TracedRow(
            example=trace.example,
            inputs={name: row[name] for name in self._task.inputs},
            prediction=trace.prediction,
            error=trace.error,
            calls=self._calls(trace),
            feedback={"score": trace.score, **feedback},
            rationale=trace.feedback_text,
            labels={name: row[name] for name in self._task.labels if row.get(name) is not None},
            tags=tags,
        )

    def _calls(self, trace: Trace) -> list[TracedCall]:
        from bt_core.lm.rendering import training_rows

        rendered = training_rows(self._task, self._program.predictors, [trace])
        told = [call for call in trace.calls if call.predictor in self._program.predictors]
        return [
            TracedCall(
                call.predictor,
                [_message(message) for message in prompt.messages],
                prompt.completion,
                call.inputs,
                call.outputs,
                call.label_logprobs,
            )
            for call, (_, prompt) in zip(told, rendered, strict=True)
        ]


def _message(message: Any) -> dict[str, str]:
    return {"role": message.role, "content": message.content}
