"""Check: run a task's program on three rows, and find mistakes that would spoil a run before the run is started."""

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bt_core.config import merge, resolve_config
from bt_core.engine.base import Completion, Engine, Request
from bt_core.lm.modules import predictors_of
from bt_core.lm.probe import lenient
from bt_core.lm.recording import Exchange, Recording
from bt_core.lm.runner import Runner
from bt_core.program import Program, read_program
from bt_core.records import Row, Trace, read_jsonl, row_id
from bt_core.steps.check.cost import Measured, estimates
from bt_core.steps.check.findings import findings
from bt_core.steps.check.report import CheckReport, Evidence, LmCall, RowRun
from bt_core.steps.engines import load_engine
from bt_core.steps.prepare import prepare
from bt_core.strategy import Strategy
from bt_core.task import Task, load_task

#: How many rows are run: the first ones of the train split, and its longest one.
ROWS = 3


def check(overrides: Mapping[str, Any], strategies: Sequence[Strategy], engine: Engine | None = None) -> CheckReport:
    """Run the program on three rows of the train split and look for the usual mistakes.

    Label priors (`decoding.calibration`) are left out, since they would take a pass over the train split.

    Args:
        overrides: the user's settings; `task` is required.
        strategies: those whose costs are estimated.
        engine: one that is already loaded; None: the run's model is loaded.

    Raises:
        BtError: when a run would fail with the same sentence before its first step.
    """
    with tempfile.TemporaryDirectory(prefix="bt-check-") as scratch:
        paths = {name: Path(scratch) / f"{name}.jsonl" for name in ("train", "val", "test")}
        folder = Path(scratch) / "program"
        uncalibrated = merge(overrides, {"decoding": {"calibration": "none"}})
        config, prepared = prepare(uncalibrated, paths["train"], paths["val"], paths["test"], folder)
        splits = {name: read_jsonl(path) for name, path in paths.items()}
        program = read_program(folder)
        task = load_task(program.task, program.task_settings)
        engine = engine or load_engine(program, config)
        metric_errors: list[str] = []
        runner = Runner(replace(task, metric=lenient(task, metric_errors)), config, engine, folder)
        runs = _row_runs(runner, program, _chosen(task, splits["train"]))
    evidence = Evidence(
        task=task,
        config=config,
        program=program,
        splits=splits,
        runs=runs,
        metric_errors=metric_errors,
        context_length=getattr(engine, "context_length", None),
        notes=prepared.warnings,
    )
    measured = measure(runs)
    return CheckReport(
        task=program.task,
        model=program.model,
        predictors=tuple(predictors_of(task.program())),
        rows={name: len(rows) for name, rows in splits.items()},
        runs=tuple(runs),
        findings=tuple(findings(evidence)),
        measured=measured,
        costs=estimates(strategies, resolve_config(task.config, overrides), measured),
    )


def measure(runs: Sequence[RowRun]) -> Measured | None:
    """What a row costs on average; None where the program called no LM.

    Tokens of texts whose own count is not known (demonstrations, closed answers) are estimated by the prompts' tokens
    per character.
    """
    calls = [call for run in runs for call in run.asked if not call.error]
    characters = sum(len(message.content) for call in calls for message in call.prompt)
    if not characters:
        return None
    rate, rows = sum(call.prompt_tokens for call in calls) / characters, len(runs)
    answers = sum(call.completion_tokens or rate * len(call.completion) for call in calls)
    questions = sum(rate * len(call.prompt[-1].content) for call in calls)
    return Measured(
        calls=len(calls) / rows,
        prompt_tokens=sum(call.prompt_tokens for call in calls) / rows,
        completion_tokens=sum(call.completion_tokens for call in calls) / rows,
        demo_tokens=(questions + answers) / rows,
        train_tokens=(sum(call.prompt_tokens for call in calls) + answers) / rows,
    )


def _chosen(task: Task, train: Sequence[Row]) -> list[Row]:
    """The first rows, and the one with the longest inputs."""
    longest = max(train, key=lambda row: sum(len(str(row[column])) for column in task.inputs))
    return [*[row for row in train if row is not longest][: ROWS - 1], longest]


def _row_runs(runner: Runner, program: Program, rows: Sequence[Row]) -> list[RowRun]:
    recordings: dict[str, Recording] = {}
    lock = threading.Lock()

    def watch(row: Row, recording: Recording, prediction: Any) -> None:
        with lock:
            recordings[row_id(row)] = recording

    traces = runner.run(program, rows, "check", watch=watch)
    return [_row_run(row, trace, recordings[trace.example]) for row, trace in zip(rows, traces, strict=True)]


def _row_run(row: Row, trace: Trace, recording: Recording) -> RowRun:
    exchanges = sorted(recording.exchanges, key=lambda exchange: exchange.started)
    started = min((exchange.started for exchange in exchanges), default=0.0)
    ended = max((exchange.started + exchange.seconds for exchange in exchanges), default=0.0)
    return RowRun(
        row=row,
        asked=tuple(_lm_call(exchange, *answer) for exchange in exchanges for answer in exchange.answers),
        trace=trace,
        seconds=ended - started,
        outside=tuple(sorted(recording.outside)),
        kept=tuple(sorted(recording.kept)),
    )


def _lm_call(exchange: Exchange, request: Request, completion: Completion) -> LmCall:
    return LmCall(
        predictor=exchange.predictor,
        signature=exchange.signature,
        prompt=request.messages,
        completion=completion.text,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        seconds=exchange.seconds,
        cut=not request.labels and completion.completion_tokens >= request.sampling.max_tokens,
        closed=bool(request.labels),
        error=completion.error or exchange.error,
    )
