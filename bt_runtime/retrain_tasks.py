"""The tasks of a retraining that no other pipeline has, from the paths of a component's artifacts to its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_core.records import StageReport
from bt_core.steps.folders import RowsFolder, SealedFolder, write_folder_config
from bt_core.steps.handover import best_program, hand_over, stage_reports
from bt_core.steps.retrain.fresh import REASON, ROLES
from bt_runtime.finish import Metrics, finish, show
from bt_runtime.reports import read_report, write_report
from bt_runtime.retraining import begin, make_model, promoted_score, settle, stop_early, write_outcome

#: File in the champion's folder that names its version; empty where there is no champion yet.
_REGISTERED = "champion.json"


def run_fresh(settings: Mapping[str, Any], program: str, champion: str, rows: str, test: str, metrics: Metrics) -> str:
    """Read the newest data, fetch the champion, and write the program that the run starts from.

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


def run_gate(report: str, metrics: Metrics) -> str:
    """Return an empty text when the run goes on, else the report that says why it ends here.

    Raises:
        BtError: when the report cannot be read, or MLflow fails.
    """
    reason = str(read_report(report).params[REASON])
    stop_early(reason)
    show({}, metrics)
    return report if reason else ""


def run_drift(rows: str, champion: str, stage: str, metrics: Metrics) -> str:
    """Compare new rows with earlier ones, and the champion's score with that at its promotion; the report as text.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    from bt_core.steps.retrain.drift import drift

    learnable, incumbent = RowsFolder(Path(rows)), _registered(champion)
    config, holder = learnable.config, Path(champion) if incumbent else None
    report = drift(learnable.path, holder, promoted_score(incumbent), config, stage)
    return write_report(finish(report, config, metrics))


def run_challenge(champion: str, program: str, test: str, stage: str, results: str, metrics: Metrics) -> str:
    """Score the champion and the best program on the sealed rows, and decide; the report as text.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    from bt_core.steps.retrain.challenge import challenge

    sealed, answers = SealedFolder(Path(test)), Path(results)
    config, challenger, is_first = sealed.config, best_program(Path(program)), not _registered(champion)
    report = challenge(Path(champion), challenger, sealed.test, config, is_first, stage, answers)
    return write_report(finish(report, config, metrics, {"results.jsonl": answers}, {"test": sealed.test}))


def run_promote(
    program: str, champion: str, rows: str, comparison: str, model: str, outcome: str, metrics: Metrics
) -> str:
    """Register the best program as a model that can be served, and make it the champion if it has won.

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
    challenger = best_program(last)
    report = finish(make_model(challenger, Path(model), compared), config, metrics, {"model": Path(model)})
    decision = settle(report, _rows_report(last), compared, config, _registered(champion), challenger)
    write_outcome(decision, Path(outcome))
    return write_report(report)


def _rows_report(program: Path) -> StageReport:
    """The report of the task that read the data."""
    return stage_reports(program)[0]


def _registered(champion: str) -> str:
    """The champion as text; empty where there is none."""
    return Path(champion, _REGISTERED).read_text(encoding="utf-8")
