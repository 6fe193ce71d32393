"""Record a finished stage as a child of its pipeline run."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bt_core.program import PROGRAM_FILE, program_sha256, read_program
from bt_core.records import StageReport
from bt_tracking import content
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.data import DataSet
from bt_tracking.experiment import experiment_id
from bt_tracking.notes import stage_note
from bt_tracking.pipeline import parent_of
from bt_tracking.runs import KIND_TAG, PARENT_TAG, RUN_ID_TAG, STAGE_TAG, find_or_create, identity, inherited_tags
from bt_tracking.settings import TrackingSettings

LOGGER = logging.getLogger(__name__)


def record(
    report: StageReport,
    artifacts: Mapping[str, Path],
    *,
    tags: Mapping[str, str] | None = None,
    datasets: Sequence[DataSet] = (),
    nested: bool = False,
    retry_seconds: float | None = None,
) -> str | None:
    """Record a stage whose outputs are on disk, with the times in its report.

    A task that is retried updates the same run. If the orchestrator has created a run for this task (MLFLOW_RUN_ID),
    that run is filled instead of a new one, and keeps the name, times and status that the orchestrator gives it.

    Args:
        report: the stage's report; parameters are logged under its kind (`w/learning_rate`), and task, strategy and
            seed without one.
        artifacts: name in MLflow -> file or folder. The lineage of a program directory among them is added as tags.
        tags: further tags. They override those of the pipeline run (`task`, `strategy`, `seed`).
        datasets: the data sets that the stage used.
        nested: whether the task has several stages, each of which gets a run below the orchestrator's.
        retry_seconds: how long to wait for a server that does not answer; when left out, BT_TRACKING_RETRY_SECONDS,
            or else 60.

    Returns:
        The run's id; None when MLFLOW_TRACKING_URI is not set.

    Raises:
        TrackingError: when the server does not answer or refuses; the outputs on disk are kept.
    """
    settings = TrackingSettings.from_environment(retry_seconds)
    if settings is None:
        LOGGER.info("MLFLOW_TRACKING_URI is not set: stage %s is not recorded.", report.stage)
        return None
    with connect(settings, f"stage {report.stage}", next(iter(artifacts.values()), None)) as client:
        run, all_tags = _stage_run(client, settings, report, {**_lineage_tags(artifacts), **(tags or {})}, nested)
        ended = content.milliseconds(report.ended or time.time())
        content.log_params(client, run, content.flatten(report.params, report.kind) | identity(all_tags))
        cost = content.cost_metrics(report.usage, report.ended - report.started)
        content.log_metrics(client, run, {**report.metrics, **cost}, report.series, ended)
        content.log_data_sets(client, run, datasets)
        content.log_artifacts(client, run, artifacts)
        content.log_note(client, run, stage_note(report))
        if settings.adopted_run is None or nested:
            client.set_terminated(run.info.run_id, "FINISHED", ended)
        return str(run.info.run_id)


def _stage_run(
    client: RetryingClient, settings: TrackingSettings, report: StageReport, tags: Mapping[str, str], nested: bool
) -> tuple[Any, dict[str, str]]:
    """The stage's run and the tags set on it: the adopted run, an earlier attempt's, or a new one."""
    started = report.started or time.time()
    adopted = client.get_run(settings.adopted_run) if settings.adopted_run else None
    parent = parent_of(client, settings, adopted, started)
    all_tags = {**inherited_tags(parent), KIND_TAG: report.kind, STAGE_TAG: report.stage, **tags}
    if adopted is not None and not nested:
        content.log_tags(client, adopted, all_tags)
        return adopted, all_tags
    parent = adopted or parent
    if parent is None or settings.pipeline_run is None:
        start = content.milliseconds(started)
        return client.create_run(experiment_id(client, settings), start, all_tags, run_name=report.stage), all_tags
    run = find_or_create(
        client,
        parent.info.experiment_id,
        {RUN_ID_TAG: settings.pipeline_run, STAGE_TAG: report.stage},
        report.kind,
        name=report.stage,
        start_ms=content.milliseconds(started),
        tags={PARENT_TAG: parent.info.run_id},
    )
    content.log_tags(client, run, all_tags)
    return run, all_tags


def _lineage_tags(artifacts: Mapping[str, Path]) -> dict[str, str]:
    """Tags for the program that the stage made and the one that it started from; none where it made no program."""
    folder = next((path for path in artifacts.values() if (path / PROGRAM_FILE).is_file()), None)
    if folder is None:
        return {}
    program = read_program(folder, verify=False)
    tags = {"program.sha256": program_sha256(folder), "model": program.model, "model.revision": program.model_revision}
    return tags | ({"parent.sha256": program.lineage[-1].parent} if program.lineage else {})
