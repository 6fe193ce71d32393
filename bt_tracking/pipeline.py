"""The parent run of a pipeline run: a row in the table of MLflow's UI, whose children are the stages."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bt_core.config import Config
from bt_tracking import content
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.data import DataSet
from bt_tracking.ends import FOLDER_TAG, close_dead_runs, local_tags, note_end
from bt_tracking.experiment import experiment_id, save_views
from bt_tracking.runs import (
    KIND_TAG,
    PARENT_STAGE,
    RUN_ID_TAG,
    STAGE_TAG,
    below,
    find_or_create,
    inherited_tags,
    root_above,
)
from bt_tracking.settings import TrackingSettings

LOGGER = logging.getLogger(__name__)

_NO_FILES: Mapping[str, Path] = MappingProxyType({})


def start_parent(
    config: Config,
    strategy: str,
    *,
    note: str = "",
    datasets: Sequence[DataSet] = (),
    started: float | None = None,
    one_seed: bool = True,
    retry_seconds: float | None = None,
) -> str | None:
    """Create or complete the parent of a pipeline run: name, tags, merged configuration, note.

    Further calls change only what they give anew. So every stage may call it, since earlier stages may have been
    answered from the orchestrator's cache.

    Args:
        config: the merged configuration, logged as parameters (`config/model`, `w/rank`).
        strategy: the strategy in its canonical spelling, `p -> w -> p`.
        note: Markdown; an empty one keeps the earlier note.
        datasets: the splits, for the data set column of the run table.
        started: start of a new parent in Unix seconds (the first stage's `report.started`); now when left out.
        one_seed: false for a pipeline run of several seeds, whose stages have configurations of their own. The parent
            then names no seed.
        retry_seconds: how long to wait for a server that does not answer.

    Returns:
        The parent's run id; None when tracking is off or nothing names the pipeline run.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with _open_parent(f"the start of {strategy}", retry_seconds, started) as parent:
        if parent is None:
            return None
        local = local_tags(parent.settings)
        if local and (FOLDER_TAG not in parent.run.data.tags or parent.run.info.status != "RUNNING"):  # the first stage
            close_dead_runs(parent.client, parent.run.info.experiment_id)
        seed = {"seed": str(config.seed)} if one_seed else {}
        identity = {"task": config.task, "strategy": strategy} | seed
        content.log_tags(parent.client, parent.run, identity | {KIND_TAG: PARENT_STAGE} | local)
        # As parameters too, since MLflow's page that compares runs plots against parameters and shows no tag.
        content.log_params(parent.client, parent.run, identity | _config_params(config, one_seed))
        content.log_data_sets(parent.client, parent.run, datasets)
        content.log_note(parent.client, parent.run, note)
        save_views(parent.client, parent.run.info.experiment_id)
        shown = {"status": "RUNNING", "run_name": run_name(config.task, strategy, config.seed if one_seed else None)}
        if parent.is_ours and any(getattr(parent.run.info, name) != value for name, value in shown.items()):
            parent.client.update_run(parent.id, status=shown["status"], name=shown["run_name"])
        return parent.id


def finish_parent(
    metrics: Mapping[str, float],
    series: content.Series | None = None,
    *,
    note: str = "",
    tags: Mapping[str, str] | None = None,
    artifacts: Mapping[str, Path] = _NO_FILES,
    ended: float | None = None,
    retry_seconds: float | None = None,
) -> str | None:
    """Log the pipeline run's result and mark its parent FINISHED.

    Args:
        metrics: final metrics (`test/vanilla`, `test/final`, `test/difference`).
        series: (step, value) points, such as `val/score` after each optimisation step.
        note: Markdown with the verdict; an empty one keeps the earlier note.
        tags: further tags, such as the sha256 of the shipped program.
        artifacts: name in MLflow -> file or folder.
        ended: end in Unix seconds; now when left out.
        retry_seconds: how long to wait for a server that does not answer.

    Returns:
        The parent's run id; None when tracking is off or nothing names the pipeline run.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with _open_parent("the result of the pipeline run", retry_seconds) as parent:
        if parent is None:
            return None
        when = content.milliseconds(time.time() if ended is None else ended)
        content.log_tags(parent.client, parent.run, tags or {})
        content.log_metrics(parent.client, parent.run, metrics, series or {}, when)
        content.log_artifacts(parent.client, parent.run, artifacts)
        content.log_note(parent.client, parent.run, note)
        if parent.is_ours:
            parent.client.set_terminated(parent.id, "FINISHED", when)
        else:
            _pass_on_tags(parent)
        return parent.id


def fail_parent(sentence: str, *, retry_seconds: float | None = None) -> str | None:
    """Mark the pipeline run's parent FAILED and put the sentence on top of its note.

    Returns:
        The parent's run id; None when tracking is off or nothing names the pipeline run.

    Raises:
        TrackingError: when the server does not answer or refuses; show the failure itself first.
    """
    with _open_parent("the failure of the pipeline run", retry_seconds) as parent:
        if parent is None:
            return None
        note_end(parent.client, parent.run, "FAILED", sentence)
        if parent.is_ours:
            parent.client.set_terminated(parent.id, "FAILED")
        return parent.id


def parent_tags(recording: str, *, retry_seconds: float | None = None) -> dict[str, str]:
    """The tags of the pipeline run's parent; empty when tracking is off or nothing names the pipeline run.

    Args:
        recording: what they are read for, as the sentence of an error names it.
        retry_seconds: how long to wait for a server that does not answer.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with _open_parent(recording, retry_seconds) as parent:
        return dict(parent.run.data.tags) if parent else {}


def run_name(task: str, strategy: str, seed: int | None) -> str:
    """The name of a pipeline run in tables and legends: `continents: p -> w -> p (seed 0)`."""
    return f"{task}: {strategy}" + ("" if seed is None else f" (seed {seed})")


def parent_of(
    client: RetryingClient, settings: TrackingSettings, adopted: Any | None, started: float | None = None
) -> Any:
    """The parent run (an `mlflow.entities.Run`); a missing one is created.

    Above a task whose run the orchestrator created (`adopted`) it is the topmost run, if there is any. None when
    nothing names the pipeline run.
    """
    if adopted is not None:
        return root_above(client, adopted)
    if settings.pipeline_run is None:
        return None
    return find_or_create(
        client,
        experiment_id(client, settings),
        {RUN_ID_TAG: settings.pipeline_run, STAGE_TAG: PARENT_STAGE},
        PARENT_STAGE,
        name=f"pipeline run {settings.pipeline_run[:8]}",
        start_ms=content.milliseconds(time.time() if started is None else started),
        tags={},
    )


@dataclass(frozen=True)
class _Parent:
    """An open parent run; `is_ours` says whether we set its name and status, and not the orchestrator."""

    client: RetryingClient
    settings: TrackingSettings
    run: Any
    is_ours: bool

    @property
    def id(self) -> str:
        return str(self.run.info.run_id)


@contextmanager
def _open_parent(recording: str, retry_seconds: float | None, started: float | None = None) -> Iterator[_Parent | None]:
    settings = TrackingSettings.from_environment(retry_seconds)
    if settings is None:
        LOGGER.info("MLFLOW_TRACKING_URI is not set: %s is not recorded.", recording)
        yield None
        return
    with connect(settings, recording) as client:
        adopted = client.get_run(settings.adopted_run) if settings.adopted_run else None
        run = parent_of(client, settings, adopted, started)
        if run is None:
            LOGGER.info("Nothing names the pipeline run (KFP_RUN_ID, BT_RUN_ID): %s is not recorded.", recording)
        yield _Parent(client, settings, run, adopted is None) if run else None


def _pass_on_tags(parent: _Parent) -> None:
    """Give the tags of the pipeline run to the orchestrator's runs that lack them.

    These are tasks that were answered from its cache, so that nothing of ours ran in them, and its groups of tasks.
    """
    inherited = inherited_tags(parent.run)
    for run in below(parent.client, parent.run):
        missing = {name: value for name, value in inherited.items() if name not in run.data.tags}
        content.log_tags(parent.client, run, missing)


def _config_params(config: Config, one_seed: bool) -> dict[str, str]:
    params: dict[str, str] = {}
    for name, value in config.model_dump(mode="json", exclude=set() if one_seed else {"seed"}).items():
        is_section = isinstance(value, Mapping)
        params |= content.flatten(value, name) if is_section else content.flatten({name: value}, "config")
    return params
