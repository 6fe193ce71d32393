"""The end of a pipeline run that did not finish: its runs in MLflow must not go on as RUNNING."""

import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bt_core.shared_files import is_claimed
from bt_tracking import content
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.runs import PARENT_STAGE, PARENT_TAG, RUN_ID_TAG, STAGE_TAG, find_or_create, runs_with
from bt_tracking.settings import TrackingSettings

Status = Literal["FAILED", "KILLED"]

#: The kind of a stage's run that was made after the stage had been stopped.
_STOPPED_KIND = "stopped"
#: Tags of the parent of a local run: the machine, and the folder that is claimed while the run lives.
HOST_TAG, FOLDER_TAG = "bt.host", "bt.folder"
_TITLES: Mapping[Status, str] = {"FAILED": "Failed", "KILLED": "Stopped"}
_DEAD = "The run ended without a word: its process was killed, or its machine stopped."


def end_run(
    status: Status,
    sentence: str,
    stage: str = "",
    started: float | None = None,
    *,
    retry_seconds: float | None = None,
) -> None:
    """Give the parent of the pipeline run, and every stage of it that is running, a status that says how it ended.

    A run that has ended already stays as it is, and nothing happens where there is no parent.

    Args:
        status: FAILED after an error, KILLED after a signal.
        sentence: why, which is put on top of the parent's note.
        stage: the stage that was at work, which gets a run if it has none; empty where none was.
        started: start of that stage in Unix seconds; now when left out.
        retry_seconds: how long to wait for a server that does not answer.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    settings = TrackingSettings.from_environment(retry_seconds)
    if settings is None or settings.pipeline_run is None:
        return
    with connect(settings, "the end of the pipeline run") as client:
        experiment = _experiment(client, settings)
        if experiment is None:
            return
        family = {
            run.data.tags.get(STAGE_TAG, ""): run
            for run in runs_with(client, experiment, {RUN_ID_TAG: settings.pipeline_run})
        }
        parent = family.get(PARENT_STAGE)
        if parent is None or parent.info.status != "RUNNING":
            return
        if stage and stage not in family:
            family[stage] = find_or_create(
                client,
                experiment,
                {RUN_ID_TAG: settings.pipeline_run, STAGE_TAG: stage},
                _STOPPED_KIND,
                name=stage,
                start_ms=content.milliseconds(time.time() if started is None else started),
                tags={PARENT_TAG: parent.info.run_id},
            )
        note_end(client, parent, status, sentence)
        for run in family.values():
            if run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, status)


def note_end(client: RetryingClient, parent: Any, status: Status, sentence: str) -> None:
    """Put on top of a parent's note how the run ended; once, however often it is called."""
    ending, note = f"**{_TITLES[status]}:** {sentence}", parent.data.tags.get(content.NOTE_TAG, "")
    if not note.startswith(ending):
        content.log_note(client, parent, f"{ending}\n\n{note}".strip())


def local_tags(settings: TrackingSettings) -> dict[str, str]:
    """The tags by which later runs find out whether this one is still alive; empty for a run of no local folder."""
    return {HOST_TAG: platform.node(), FOLDER_TAG: settings.folder} if settings.folder else {}


def close_dead_runs(client: RetryingClient, experiment: str) -> None:
    """Mark as KILLED what runs of this machine have left as RUNNING though nobody claims their folder any more."""
    for parent in runs_with(client, experiment, {HOST_TAG: platform.node()}, " and attributes.status = 'RUNNING'"):
        if is_claimed(Path(parent.data.tags[FOLDER_TAG])):
            continue
        note_end(client, parent, "KILLED", _DEAD)
        family = runs_with(client, experiment, {RUN_ID_TAG: parent.data.tags[RUN_ID_TAG]})
        for run in family:
            if run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, "KILLED")


def _experiment(client: RetryingClient, settings: TrackingSettings) -> str | None:
    if settings.experiment_id:
        return settings.experiment_id
    found = client.get_experiment_by_name(settings.experiment_name)
    return str(found.experiment_id) if found else None
