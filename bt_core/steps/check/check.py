"""Check: run a task's program on three rows, and find the mistakes that would spoil a run before it is started."""

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
from bt_core.steps.check.checkup import Asked, Checked, CheckReport, RowRun
from bt_core.steps.check.cost import Measured, estimates
from bt_core.steps.check.findings import findings
from bt_core.steps.engines import load_engine
from bt_core.steps.prepare import prepare
from bt_core.strategy import Strategy
from bt_core.task import Task, load_task

#: Rows that are run: the first ones of the train split, and the longest.
ROWS = 3


def check(overrides: Mapping[str, Any], strategies: Sequence[Strategy], engine: Engine | None = None) -> CheckReport:
    """Run the program on three rows of the train split and look for the usual mistakes.

    Label priors (`decoding.calibration`) are left out: they would cost a pass over the train split.

    Args:
        overrides: the user's settings; `task` is required.
        strategies: whose cost is estimated.
        engine: one that is already loaded; else the run's model is.

    Raises:
        BtError: when a run would end with the same sentence before its first step.
    """
    with tempfile.TemporaryDirectory(prefix="bt-check-") as scratch:
        paths = {name: Path(scratch) / f"{name}.jsonl" for name in ("train", "val", "test")}
        folder = Path(scratch) / "program"
        plain = merge(overrides, {"decoding": {"calibration": "none"}})
        config, _ = prepare(plain, paths["train"], paths["val"], paths["test"], folder)
        splits = {name: read_jsonl(path) for name, path in paths.items()}
        program = read_program(folder)
        task = load_task(program.task, program.task_settings)
        engine = engine or load_engine(program, config)
        nonsense: list[str] = []
        runner = Runner(replace(task, metric=lenient(task, nonsense)), config, engine, folder)
        runs = _runs(runner, program, _chosen(task, splits["train"]))
    length = getattr(engine, "context_length", None)
    found = findings(Checked(task, config, program, splits, runs, nonsense, length))
    measured = measure(runs)
    return CheckReport(
        task=program.task,
        model=program.model,
        predictors=tuple(predictors_of(task.program())),
        rows={name: len(rows) for name, rows in splits.items()},
        runs=tuple(runs),
        findings=tuple(found),
        measured=measured,
        costs=estimates(strategies, resolve_config(task.config, overrides), measured),
    )


def measure(runs: Sequence[RowRun]) -> Measured | None:
    """What a row costs; None where nothing was asked.

    Tokens of texts whose own count is not known (demonstrations, closed answers) are estimated by the prompts' tokens
    per character.
    """
    asked = [one for run in runs for one in run.asked if not one.error]
    letters = sum(len(message.content) for one in asked for message in one.prompt)
    if not letters:
        return None
    rate, rows = sum(one.prompt_tokens for one in asked) / letters, len(runs)
    answers = sum(one.completion_tokens or rate * len(one.completion) for one in asked)
    questions = sum(rate * len(one.prompt[-1].content) for one in asked)
    return Measured(
        calls=len(asked) / rows,
        prompt_tokens=sum(one.prompt_tokens for one in asked) / rows,
        completion_tokens=sum(one.completion_tokens for one in asked) / rows,
        demo_tokens=(questions + answers) / rows,
        train_tokens=(sum(one.prompt_tokens for one in asked) + answers) / rows,
    )


def _chosen(task: Task, train: Sequence[Row]) -> list[Row]:
    """The first rows, and the one with the longest inputs."""
    longest = max(train, key=lambda row: sum(len(str(row[column])) for column in task.inputs))
    return [*[row for row in train if row is not longest][: ROWS - 1], longest]


def _runs(runner: Runner, program: Program, rows: Sequence[Row]) -> list[RowRun]:
    seen: dict[str, Recording] = {}
    lock = threading.Lock()

    def watch(row: Row, recording: Recording, prediction: Any) -> None:
        with lock:
            seen[row_id(row)] = recording

    traces = runner.run(program, rows, "check", watch=watch)
    return [_run(row, trace, seen[trace.example]) for row, trace in zip(rows, traces, strict=True)]


def _run(row: Row, trace: Trace, recording: Recording) -> RowRun:
    exchanges = sorted(recording.exchanges, key=lambda exchange: exchange.started)
    asked = tuple(_asked(exchange, *answer) for exchange in exchanges for answer in exchange.answers)
    begun, ended = (
        (exchanges[0].started, max(exchange.started + exchange.seconds for exchange in exchanges))
        if exchanges
        else (0.0, 0.0)
    )
    noted = (tuple(sorted(names)) for names in (recording.outside, recording.kept))
    return RowRun(row, asked, trace, ended - begun, *noted)


def _asked(exchange: Exchange, request: Request, completion: Completion) -> Asked:
    cut = not request.labels and completion.completion_tokens >= request.sampling.max_tokens
    return Asked(
        exchange.predictor,
        exchange.signature,
        request.messages,
        completion.text,
        completion.prompt_tokens,
        completion.completion_tokens,
        exchange.seconds,
        cut,
        bool(request.labels),
        completion.error or exchange.error,
    )
