"""Bootstrap: run the program on the train split and keep its traces."""

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
from bt_core.steps.trace_summary import answer_shares, failures, mean_score


def bootstrap(
    program: Path, train: Path, config: Config, stage: str, traces: Path, engine: Engine | None = None
) -> StageReport:
    """Run the program on every train example, all in flight at once, and write one trace an example.

    With `bootstrap.attempts` above 1, examples whose trace misses the threshold are tried again by sampling;
    the first trace that passes is kept, else the first one. Examples that raise are traces with score 0. With a
    `teacher`, its LM runs the program; every trace names the model that made it.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    session = teacher_session(Session(Stage.open(stage, "bootstrap", program, config), engine))
    gathered = gather(session, read_jsonl(train))
    write_traces(traces, gathered)
    return session.report(**summary(gathered, config))


def gather(session: Session, rows: Sequence[Row]) -> list[Trace]:
    """Run the program on each row, again by sampling while it misses the threshold; returns a trace for each row.

    What a row gets does not depend on the other rows.
    """
    stage = session.stage
    threshold = stage.config.bootstrap.threshold
    kept: dict[str, Trace] = {}
    open_rows = rows
    for attempt in range(stage.config.bootstrap.attempts):
        label = f"{stage.name} attempt {attempt + 1}"
        for trace in session.runner.run(stage.program, open_rows, label, bootstrapping=True, attempt=attempt):
            if trace.example not in kept or trace.score >= threshold:
                kept[trace.example] = trace
        open_rows = [row for row in rows if kept[row_id(row)].score < threshold]
        if not open_rows:
            break
    return [replace(kept[row_id(row)], model=stage.program.model) for row in rows]


def summary(traces: Sequence[Trace], config: Config) -> dict[str, Any]:
    """What the report says of the traces."""
    threshold = config.bootstrap.threshold
    passing = [trace for trace in traces if trace.score >= threshold]
    return {
        "params": config.bootstrap.model_dump() | {"model": traces[0].model},
        "metrics": {
            "traces/kept": float(len(passing)),
            "traces/total": float(len(traces)),
            "train/score": mean_score(traces),
        },
        "warnings": (*failures(traces), *_one_sided(passing)),
        "note": f"{len(passing)} of {len(traces)} traces reach the threshold {threshold:g}.",
    }


def _one_sided(passing: list[Trace]) -> tuple[str, ...]:
    """Weights trained on traces of a single answer would learn to give that answer always."""
    return tuple(
        f"All kept traces give `{name}` the one answer {max(shares, key=lambda label: shares[label])!r}:"
        " fine-tuning on them would collapse onto it; try `decoding.calibration: train`."
        for name, shares in answer_shares(passing).items()
        if max(shares.values()) == 1.0 and len(passing) > 1
    )
