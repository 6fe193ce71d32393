"""The tasks of a strategy, from the paths that Kubeflow gives a component to the report that it returns.

The paths are those of the component's artifacts: `rows`, `test` and `traces` are folders (`bt_core.steps.folders`), and
beside the program in `program` and `optimised` lies what later tasks need (`bt_core.steps.handover`).
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bt_core.config import Config
from bt_core.engine.training.job import RemoteTraining
from bt_core.formats.rows import ComparedRow, read_results
from bt_core.records import StageReport
from bt_core.steps.folders import RowsFolder, SealedFolder, TracesFolder
from bt_core.steps.handover import best_program, copy_program, hand_over, stage_reports
from bt_core.steps.register import summarise
from bt_core.steps.select import select
from bt_core.steps.stage import FinishedStage
from bt_runtime.finish import Metrics, finish, finish_each, show
from bt_runtime.reports import run_ids, write_report
from bt_runtime.run_page import write_page
from bt_runtime.traces import Times, track_test_rows
from bt_runtime.tracking import track_result, tracked

Training = Callable[[Config], RemoteTraining | None]
"""What trains outside the pod, as the settings say; `bt_runtime.trainjob.remote_training`."""


def run_prepare(settings: Mapping[str, Any], program: str, rows: str, test: str, metrics: Metrics) -> str:
    """Write the splits, the configuration and the program that the run starts from.

    Args:
        settings: the user's settings; `task` is required.
        program, rows, test: paths of the folders to write.
        metrics: the component's metrics output.

    Returns:
        The report as text.

    Raises:
        BtError: when a setting or an input is not usable, or MLflow fails.
    """
    from bt_core.steps.prepare import prepare

    start, learnable, sealed = Path(program), RowsFolder(Path(rows)), SealedFolder(Path(test))
    for folder in (learnable.path, sealed.path):
        folder.mkdir(parents=True, exist_ok=True)
    config, report = prepare(settings, learnable.train, learnable.val, sealed.test, start)
    splits = {"train": learnable.train, "val": learnable.val, "test": sealed.test}
    report = finish(report, config, metrics, {"program": start}, splits)
    learnable.write(config)
    sealed.write(config, start)
    hand_over(start, [report])
    return write_report(report)


def run_bootstrap(program: str, rows: str, stage: str, traces: str, metrics: Metrics) -> str:
    """Run the program on the train rows, and write the folder of its traces. Returns the report as text."""
    from bt_core.steps.bootstrap import bootstrap

    folder = traces_folder(traces)
    learnable = RowsFolder(Path(rows))
    report = bootstrap(Path(program), learnable.train, learnable.config, stage, folder.traces)
    return finish_traces(report, program, learnable, folder, metrics)


def traces_folder(traces: str) -> TracesFolder:
    """The folder of the traces, which is made."""
    folder = TracesFolder(Path(traces))
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder


def finish_traces(report: StageReport, program: str, rows: RowsFolder, traces: TracesFolder, metrics: Metrics) -> str:
    """End a task that wrote traces. Returns the report as text."""
    behind = stage_reports(Path(program))
    files, splits = {"traces.jsonl": traces.traces}, {"train": rows.train}
    report = finish(report, rows.config, metrics, files, splits, behind, program=Path(program))
    traces.write(report, rows)
    return write_report(report)


def run_step(
    optimise: Callable[..., StageReport],
    program: str,
    traces: str,
    stage: str,
    optimised: str,
    metrics: Metrics,
    training: Training | None = None,
) -> str:
    """Run an optimisation step, and keep the best program so far by validation beside the one that it made.

    Args:
        optimise: the stage function of the step kind (`bt_core.config.StepKind`).
        program: path of the artifact with the program that the step begins with.
        traces: path of the artifact with its traces, the rows and the configuration.
        stage: label of the task (`2.w`).
        optimised: path of the artifact to write.
        metrics: the component's metrics output.
        training: for a kind that tunes weights: what trains outside the pod.

    Returns:
        The report as text.

    Raises:
        BtError: when the step fails.
    """
    start, result, made = Path(program), Path(optimised), TracesFolder(Path(traces))
    rows, config = made.rows, made.rows.config
    if training:
        optimise = partial(optimise, remote=training(config))
    report = optimise(start, made.traces, rows.train, rows.val, config, stage, result)
    selection = select(start, result, config)
    behind = [*stage_reports(start), *made.reports]
    splits = {"train": rows.train, "val": rows.val}
    report = finish(selection.told(report), config, metrics, {"program": result}, splits, behind)
    hand_over(result, [*behind, report], selection.best)
    return write_report(report)


def run_chain(
    program: str, rows: str, strategy: str, optimised: str, stages: str, metrics: Metrics, training: Training
) -> str:
    """Run every step of a strategy on one loaded model. Returns the reports of all stages as one text.

    `stages` is the folder for the output of each stage; the other arguments are those of `run_step`.
    """
    from bt_core.steps.optimise.chain import chain

    start, learnable, folder, result = Path(program), RowsFolder(Path(rows)), Path(stages), Path(optimised)
    behind = stage_reports(start)
    finished = chain(start, learnable, strategy, folder, training)
    reports = finish_each(finished, learnable.config, metrics, behind)
    shutil.rmtree(result, ignore_errors=True)
    shutil.copytree(folder / reports[-1].stage, result)
    hand_over(result, [*behind, *reports])
    return write_report(*reports)


def run_evaluate(program: str, test: str, stage: str, results: str, html: str, metrics: Metrics) -> str:
    """Score the vanilla and the best program on the sealed rows, and conclude the run.

    Args:
        program: path of the artifact that the last step wrote.
        test: path of the artifact with the sealed rows.
        stage: label of the task.
        results: path of the folder to write: the best program in `program`, and `results.jsonl` and `result.json`.
        html: path of the page to write.
        metrics: the component's metrics output.

    Returns:
        The reports of the evaluation and of the result as one text.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    from bt_core.steps.evaluate import evaluate

    sealed = SealedFolder(Path(test))
    outputs = Outputs.start(results, html)
    best = best_program(Path(program))
    with TemporaryDirectory() as scratch:
        traces = Path(scratch, "traces.jsonl")
        report = evaluate(sealed.vanilla, best, sealed.test, sealed.config, stage, outputs.answers, traces=traces)
        return conclude(report, program, sealed, outputs, metrics, traces)


@dataclass(frozen=True)
class Outputs:
    """What the last task of a strategy writes."""

    answers: Path
    result: Path
    program: Path
    page: Path

    @classmethod
    def start(cls, results: str, html: str) -> "Outputs":
        """Make the folder of the results; both paths are those of `run_evaluate`.

        The shipped program lies in that folder too, since an output of its own costs a quarter of a kilobyte of what
        Kubeflow starts a task with.
        """
        folder = Path(results)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / "results.jsonl", folder / "result.json", folder / "program", Path(html))


def conclude(
    report: StageReport, program: str, sealed: SealedFolder, outputs: Outputs, metrics: Metrics, traces: Path
) -> str:
    """End the evaluation, ship the best program, sum up the run in result.json, and track the whole run's result.

    Args:
        report: that of the evaluation, whose `results.jsonl` is written.
        program, metrics: as in `run_evaluate`.
        sealed: the sealed rows and the configuration.
        outputs: what the task writes.
        traces: the best program's traces of the sealed rows.

    Returns:
        The reports of the evaluation and of the result as one text.
    """
    last, config = Path(program), sealed.config
    answers, result, ship, page = outputs.answers, outputs.result, outputs.program, outputs.page
    steps = stage_reports(last)
    show(report.metrics, metrics)
    evaluated = FinishedStage(report, {"results.jsonl": answers}, {"test": sealed.test})
    steps.append(tracked(evaluated, config, steps, nested=True))
    copy_program(best_program(last), ship)
    summary = summarise(ship, steps, run_ids(steps), config, result)
    write_page(result, answers, ship, config, page)

    def record_result(run_id: str | None) -> None:
        owner = track_result(summary, steps, config, ship, page, run_id)
        if owner:
            seconds = sum(step.ended - step.started for step in steps if step.kind != "bootstrap")
            rows = read_results(answers, ComparedRow)
            track_test_rows(traces, rows, config, ship, owner, Times(steps[-1].ended, seconds))

    files = {"program": ship, "results.jsonl": answers, "result.json": result, "report.html": page}
    registered = tracked(FinishedStage(summary, files, {}), config, steps, record_result, nested=True)
    return write_report(steps[-1], registered)
