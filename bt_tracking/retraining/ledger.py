"""The ledger of rows: what earlier retrainings did with them, kept as artifacts and tags of their `fresh` stages.

Each run adds its own record and changes no other, so that runs at the same time need no lock.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError
from bt_core.statistics.promotion import Night
from bt_core.steps.retrain.row_roles import TEST, RunRecord
from bt_core.steps.retrain.shadow import NightRecord
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.registry import registry_name
from bt_tracking.retraining.stored import stored
from bt_tracking.settings import TrackingSettings

#: Tag of a stage that is a record, the artifact that holds the roles, and the tag with the id of the pipeline run.
LEDGER_TAG, ROLES_FILE, _RUN_TAG = "bt.ledger", "roles.json", "bt.ledger.run"
#: Tag of a record whose test rows are being compared on, and tag of one whose run has concluded.
MARKED_TAG, CONCLUDED_TAG = "bt.compared", "bt.concluded"
#: Tag of a concluded record: the versions that it compared, `champion challenger`.
_PAIR_TAG = "bt.pair"
_PAGE = 1000


@dataclass(frozen=True)
class _Concluded:
    """The content of `CONCLUDED_TAG`. `time` is in Unix seconds; `night` is what the rows say about a challenger."""

    decision: str
    time: float
    night: Night | None


def needed_settings() -> TrackingSettings:
    """The tracking server's settings.

    Raises:
        ConfigError: when there is none, since nothing else remembers the champion and the sealed rows.
    """
    settings = TrackingSettings.from_environment()
    if settings is None:
        raise ConfigError(
            "Retraining needs MLflow, which remembers the champion and the sealed rows: set MLFLOW_TRACKING_URI."
        )
    return settings


def ledger_tags(task: str) -> dict[str, str]:
    """The tags of a stage that has `ROLES_FILE` among its artifacts."""
    settings = TrackingSettings.from_environment()
    run = settings.pipeline_run if settings else None
    return {LEDGER_TAG: registry_name(task)} | ({_RUN_TAG: run} if run else {})


def read_ledger(task: str) -> list[RunRecord]:
    """Every record.

    Raises:
        ConfigError: when no tracking server is set.
        TrackingError: when the server does not answer or refuses.
    """
    settings = needed_settings()
    with connect(settings, f"the rows of {task}") as client:
        records = []
        for run in _records(client, registry_name(task)):
            # A run without the file has not started to learn.
            if any(file.path == ROLES_FILE for file in client.list_artifacts(run.info.run_id)):
                tags = run.data.tags
                is_own = settings.pipeline_run is not None and tags.get(_RUN_TAG) == settings.pipeline_run
                state = CONCLUDED_TAG in tags, MARKED_TAG in tags
                records.append(RunRecord(_roles(client, run.info.run_id), *state, is_own))
        return records


def mark(run_id: str) -> None:
    """Mark the test rows of a record as compared on, before the first of them is scored. No other run takes them then.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with connect(needed_settings(), "which rows are compared on") as client:
        client.set_tag(run_id, MARKED_TAG, "true")


def conclude(run_id: str, decision: str, pair: tuple[int, int] | None = None, night: Night | None = None) -> None:
    """Mark the record of a run as concluded. A record that is concluded already stays as it is.

    Args:
        run_id: the MLflow run that is the record.
        decision: what the run's rows alone decided.
        pair: the versions of champion and challenger; None where no evidence on the challenger is kept.
        night: what the rows say about the challenger.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with connect(needed_settings(), "a decision") as client:
        if CONCLUDED_TAG in client.get_run(run_id).data.tags:
            return
        if pair:
            client.set_tag(run_id, _PAIR_TAG, _pair(pair))
        record = _Concluded(decision, time.time(), night)
        client.set_tag(run_id, CONCLUDED_TAG, json.dumps(asdict(record)))


def read_nights(task: str, pair: tuple[int, int]) -> list[NightRecord]:
    """The evidence that concluded runs have added on a challenger against one champion, given by their versions.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with connect(needed_settings(), f"the challenger of {task}") as client:
        runs = _records(client, registry_name(task), f" and tags.`{_PAIR_TAG}` = '{_pair(pair)}'")
        nights = [_night(client, run) for run in runs if CONCLUDED_TAG in run.data.tags]
        return [night for night in nights if night is not None]


def _night(client: RetryingClient, run: Any) -> NightRecord | None:
    record = stored(_Concluded, run.data.tags[CONCLUDED_TAG], f"The tag `{CONCLUDED_TAG}` of the run {run.info.run_id}")
    if record.night is None:
        return None
    rows = frozenset(digest for digest, role in _roles(client, run.info.run_id).items() if role == TEST)
    return NightRecord(run.info.run_id, record.time, rows, record.night)


def _pair(versions: tuple[int, int]) -> str:
    return f"{versions[0]} {versions[1]}"


def _roles(client: RetryingClient, run_id: str) -> Mapping[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(client.download_artifacts(run_id, ROLES_FILE, folder))
        return stored(dict[str, str], path.read_bytes(), f"The artifact {ROLES_FILE} of the run {run_id}")


def _records(client: RetryingClient, name: str, more: str = "") -> Iterator[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    is_record, token = f"tags.`{LEDGER_TAG}` = '{name}'{more}", None
    while True:
        page = client.search_runs(experiments, filter_string=is_record, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
