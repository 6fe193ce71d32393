"""The tasks of a retraining that no other pipeline has, from the paths of a component's artifacts to its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_core.records import StageReport
from bt_core.steps.folders import RowsFolder, SealedFolder, write_folder_config
from bt_core.steps.handover import best_program, hand_over, stage_reports
from bt_core.steps.retrain.fresh import IN_SHADOW, REASON, ROLES
from bt_runtime.finish import Metrics, finish, show
from bt_runtime.reports import RUN_ID, read_report, write_report
from bt_runtime.retraining import begin, make_model, score_after_promotion, settle, stop_early, write_outcome
from bt_tracking.retraining.ledger import mark

#: File in the champion's folder that names its version; empty where there is no champion yet.
_REGISTERED = "champion.json"


def run_fresh(settings: Mapping[str, Any], program: str, champion: str, rows: str, test: str, metrics: Metrics) -> str:
    """Read the newest data, fetch the champion, and write the program that the run starts from, or that it compares.

    Args:
        settings: the user's settings; `task` is required.
        program, champion, rows, test: paths of the folders to write.
        metrics: the component's metrics output.

    Returns:
        The report as text.

    Raises:
        BtError: when an input is not usable, or MLflow or S3 fails.
    """
    start, holder = Path(program), Path(champion)
    learnable, sealed = RowsFolder(Path(rows)), SealedFolder(Path(test))
    sealed.path.mkdir(parents=True, exist_ok=True)
    splits = {"train": learnable.train, "val": learnable.val, "test": sealed.test}
    config, report, incumbent = begin(settings, splits, start, holder, learnable.path)
    report = finish(report, config, metrics, {ROLES: learnable.path / ROLES}, splits)
    for folder in (learnable.path, sealed.path):
        write_folder_config(folder, config)
    (holder / _REGISTERED).write_text(incumbent, encoding="utf-8")
    hand_over(start, [report])
    return write_report(report)


def run_gate(report: str, closed_by: str, metrics: Metrics) -> str:
    """Return an empty text when the gate is open, else the report that says why it is closed.

    Args:
        report: the report of the task that read the data, as text.
        closed_by: the param of the report that closes the gate unless it is empty: `REASON` or `IN_SHADOW`.
        metrics: the component's metrics output.

    Raises:
        BtError: when the report cannot be read, or MLflow fails.
    """
    why = str(read_report(report).params[closed_by])
    if closed_by == REASON:
        stop_early(why)
    show({}, metrics)
    return report if why else ""


def run_drift(rows: str, champion: str, stage: str, metrics: Metrics) -> str:
    """Compare new rows with earlier ones, and the champion's score with that after its promotion; the report as text.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    from bt_core.steps.retrain.drift import drift

    learnable, incumbent = RowsFolder(Path(rows)), _registered(champion)
    config, holder = learnable.config, Path(champion) if incumbent else None
    report = drift(learnable.path, holder, score_after_promotion(incumbent), config, stage)
    return write_report(finish(report, config, metrics))


def run_challenge(champion: str, program: str, test: str, stage: str, results: str, metrics: Metrics) -> str:
    """Mark the sealed rows, and score the champion and the best program on them; the report as text.

    Raises:
        BtError: when an input is not usable or the engine failed, or MLflow fails before the first row is scored.
    """
    from bt_core.steps.retrain.challenge import challenge

    sealed, answers = SealedFolder(Path(test)), Path(results)
    config, challenger, is_first = sealed.config, best_program(Path(program)), not _registered(champion)
    # Whatever happens from here on, no other run may take these rows: their scores may have been seen.
    mark(str(_rows_report(Path(program)).params[RUN_ID]))
    report = challenge(Path(champion), challenger, sealed.test, config, is_first, stage, answers)
    return write_report(finish(report, config, metrics, {"results.jsonl": answers}, {"test": sealed.test}))


def run_promote(
    program: str, champion: str, rows: str, comparison: str, model: str, outcome: str, metrics: Metrics
) -> str:
    """Save the best program as a model that can be served, register it, and do what the evidence on it leads to.

    Args:
        program, champion, rows: paths of the artifacts that earlier tasks wrote.
        comparison: the report of the challenge as text.
        model, outcome: paths of the artifacts to write.
        metrics: the component's metrics output.

    Returns:
        The report as text.

    Raises:
        BtError: when a report cannot be read, or MLflow fails.
    """
    last, config, compared = Path(program), RowsFolder(Path(rows)).config, read_report(comparison)
    challenger, begun = best_program(last), _rows_report(last)
    made = make_model(challenger, Path(model), compared)
    # The model of a challenger in shadow is in MLflow already.
    files = {} if begun.params[IN_SHADOW] else {"model": Path(model)}
    report = finish(made, config, metrics, files)
    decision = settle(report, begun, compared, config, _registered(champion), challenger)
    write_outcome(decision, Path(outcome))
    return write_report(report)


def _rows_report(program: Path) -> StageReport:
    """The report of the task that read the data."""
    return stage_reports(program)[0]


def _registered(champion: str) -> str:
    """The champion as text; empty where there is none."""
    return Path(champion, _REGISTERED).read_text(encoding="utf-8")
