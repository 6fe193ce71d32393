"""Record a stage after it is done, as a child of its pipeline run."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bt_core.program import PROGRAM_FILE, program_sha256, read_program
from bt_core.records import StageReport, Usage
from bt_tracking import content
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.data import DataSet
from bt_tracking.experiment import experiment_id
from bt_tracking.notes import stage_note
from bt_tracking.pipeline import INHERITED_TAGS, parent_of
from bt_tracking.runs import KIND_TAG, PARENT_TAG, RUN_ID_TAG, STAGE_TAG, find_or_create
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
    """Record a stage whose outputs are on disk, with the times that its report gives.

    Recording it again (a retried task) updates the same run. A run that the orchestrator made for this task
    (MLFLOW_RUN_ID) is filled instead of a new one; its name, times and status stay the orchestrator's.

    Args:
        report: the stage; parameters are logged under its kind (`w/learning_rate`).
        artifacts: name in MLflow -> file or folder. A program directory among them adds its lineage as tags.
        tags: more tags; they win over those that the pipeline run hands down (`task`, `strategy`, `seed`).
        datasets: the data that the stage used.
        nested: whether the task has more stages, each of which gets a run under the orchestrator's.
        retry_seconds: time to spend on a server that does not answer; BT_TRACKING_RETRY_SECONDS or 60 otherwise.

    Returns:
        The run's id; None when MLFLOW_TRACKING_URI is not set.

    Raises:
        TrackingError: when the server stays away or refuses; the outputs on disk are not touched.
    """
    settings = TrackingSettings.from_environment(retry_seconds)
    if settings is None:
        LOGGER.info("MLFLOW_TRACKING_URI is not set: stage %s is not recorded.", report.stage)
        return None
    with connect(settings, f"stage {report.stage}", next(iter(artifacts.values()), None)) as client:
        run = _stage_run(client, settings, report, {**_lineage_tags(artifacts), **(tags or {})}, nested)
        ended = content.milliseconds(report.ended or time.time())
        content.log_params(client, run, content.flatten(report.params, report.kind))
        content.log_metrics(client, run, {**report.metrics, **_cost(report)}, report.series, ended)
        content.log_data_sets(client, run, datasets)
        content.log_artifacts(client, run, artifacts)
        content.log_note(client, run, stage_note(report))
        if settings.adopted_run is None or nested:
            client.set_terminated(run.info.run_id, "FINISHED", ended)
        return str(run.info.run_id)


def _stage_run(
    client: RetryingClient, settings: TrackingSettings, report: StageReport, tags: Mapping[str, str], nested: bool
) -> Any:
    """The stage's run with its tags set: adopted, found again, or new."""
    started = report.started or time.time()
    adopted = client.get_run(settings.adopted_run) if settings.adopted_run else None
    parent = parent_of(client, settings, adopted, started)
    inherited = {name: parent.data.tags[name] for name in INHERITED_TAGS if name in parent.data.tags} if parent else {}
    wanted = {**inherited, KIND_TAG: report.kind, STAGE_TAG: report.stage, **tags}
    if adopted is not None and not nested:
        content.log_tags(client, adopted, wanted)
        return adopted
    parent = adopted or parent
    if parent is None or settings.pipeline_run is None:
        start = content.milliseconds(started)
        return client.create_run(experiment_id(client, settings), start, wanted, run_name=report.stage)
    run = find_or_create(
        client,
        parent.info.experiment_id,
        {RUN_ID_TAG: settings.pipeline_run, STAGE_TAG: report.stage},
        report.kind,
        name=report.stage,
        start_ms=content.milliseconds(started),
        tags={PARENT_TAG: parent.info.run_id},
    )
    content.log_tags(client, run, wanted)
    return run


def _lineage_tags(artifacts: Mapping[str, Path]) -> dict[str, str]:
    """Which program the stage made and from which one, where it made any."""
    folder = next((path for path in artifacts.values() if (path / PROGRAM_FILE).is_file()), None)
    if folder is None:
        return {}
    program = read_program(folder, verify=False)
    tags = {"program.sha256": program_sha256(folder), "model": program.model, "model.revision": program.model_revision}
    return tags | ({"parent.sha256": program.lineage[-1].parent} if program.lineage else {})


def _cost(report: StageReport) -> dict[str, float]:
    """The stage's wall time and what its engine spent, in a section of their own in the UI."""
    cost: dict[str, float] = {"usage/wall_seconds": round(max(0.0, report.ended - report.started), 3)}
    if report.usage != Usage():
        values = asdict(report.usage)
        cost |= {f"usage/{'engine_seconds' if name == 'seconds' else name}": value for name, value in values.items()}
    return cost
