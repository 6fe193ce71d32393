"""Bootstrap: run the program on the train split and write its traces."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.records import Row, StageReport, Trace, read_jsonl, row_id, write_traces
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from bt_core.steps.teacher import teacher_session
from bt_core.steps.trace_summary import answer_shares, class_columns, failures, mean_score
from bt_core.task import Task
from bt_core.wording import counted

#: How many labels a warning names.
NAMED = 3


def bootstrap(
    program: Path, train: Path, config: Config, stage: str, traces: Path, engine: Engine | None = None
) -> StageReport:
    """Run the program on every train example, all in flight at once, and write one trace for each example.

    With `bootstrap.attempts` above 1, an example whose trace misses the threshold is tried again by sampling; the first
    trace that passes is written, or the first trace if none passes. An example on which the program raises gets a trace
    with score 0. With a `teacher`, its LM runs the program; every trace names the model that made it.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    session = teacher_session(Session(Stage.open(stage, "bootstrap", program, config), engine))
    rows = read_jsonl(train)
    gathered = gather(session, rows)
    write_traces(traces, gathered)
    return session.report(**summary(gathered, rows, session.stage.task, config))


def gather(session: Session, rows: Sequence[Row]) -> list[Trace]:
    """Run the program on each row, and again by sampling while the trace misses the threshold.

    Returns a trace for each row, in the order of the rows. A trace does not depend on the other rows.
    """
    stage = session.stage
    threshold = stage.config.bootstrap.threshold
    kept: dict[str, Trace] = {}
    rows_to_try = rows
    for attempt in range(stage.config.bootstrap.attempts):
        label = f"{stage.name} attempt {attempt + 1}"
        for trace in session.runner.run(stage.program, rows_to_try, label, bootstrapping=True, attempt=attempt):
            if trace.example not in kept or trace.score >= threshold:
                kept[trace.example] = trace
        rows_to_try = [row for row in rows if kept[row_id(row)].score < threshold]
        if not rows_to_try:
            break
    return [replace(kept[row_id(row)], model=stage.program.model) for row in rows]


def summary(traces: Sequence[Trace], rows: Sequence[Row], task: Task, config: Config) -> dict[str, Any]:
    """What the report says of the traces, of which there is one for each row."""
    threshold = config.bootstrap.threshold
    passing = [trace for trace in traces if trace.score >= threshold]
    return {
        "params": config.bootstrap.model_dump() | {"model": traces[0].model},
        "metrics": {
            "traces/kept": float(len(passing)),
            "traces/total": float(len(traces)),
            "train/score": mean_score(traces),
        },
        "warnings": (*failures(traces), *_one_sided(passing), *_without_traces(passing, rows, task)),
        "note": f"{len(passing)} of {len(traces)} traces reach the threshold {threshold:g}.",
    }


def _one_sided(passing: list[Trace]) -> tuple[str, ...]:
    """A warning for each predictor whose kept traces all give the same answer, which weights would learn to repeat."""
    return tuple(
        f"All kept traces give `{name}` the one answer {max(shares, key=lambda label: shares[label])!r}:"
        " fine-tuning on them would collapse onto it; try `decoding.calibration: train`."
        for name, shares in answer_shares(passing).items()
        if max(shares.values()) == 1.0 and len(passing) > 1
    )


def _without_traces(passing: Sequence[Trace], rows: Sequence[Row], task: Task) -> tuple[str, ...]:
    """A warning for each label column of which some classes have rows but no kept trace."""
    kept = {trace.example for trace in passing}
    sentences = []
    for column, counts in class_columns(task, rows).items() if kept else ():
        shown = {str(row[column]) for row in rows if row_id(row) in kept}
        missing = [label for label in counts if label not in shown]
        if missing:
            named = ", ".join(map(repr, missing[:NAMED])) + (", ..." if len(missing) > NAMED else "")
            lost = counted(sum(counts[label] for label in missing), "row")
            sentences.append(
                f"No trace was kept for {len(missing)} of the {len(counts)} labels in `{column}` ({named}; {lost}):"
                " demos and fine-tuning show nothing of them; try `bootstrap.attempts` or a teacher."
            )
    return tuple(sentences)
