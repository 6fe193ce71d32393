"""The ledger of rows: what earlier retrainings did with them, kept as artifacts and tags of their `fresh` stages.

Each run adds its own record and changes no other, so that runs at the same time need no lock.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.registry import registry_name
from bt_tracking.settings import TrackingSettings

#: Tag of a stage that is a record, tag of a record whose run has concluded, and the artifact that holds the roles.
LEDGER_TAG, CONCLUDED_TAG, ROLES_FILE = "bt.ledger", "bt.concluded", "roles.json"
_PAGE = 1000


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
    return {LEDGER_TAG: registry_name(task)}


def read_ledger(task: str) -> list[tuple[dict[str, str], bool]]:
    """Every record: the roles that a run gave to rows, by row digest, and whether the run concluded.

    Raises:
        ConfigError: when no tracking server is set.
        TrackingError: when the server does not answer or refuses.
    """
    settings = needed_settings()
    with connect(settings, f"the rows of {task}") as client, tempfile.TemporaryDirectory() as folder:
        records = []
        for run in _records(client, registry_name(task)):
            run_id = run.info.run_id
            # A run without the file has not started to learn.
            if any(file.path == ROLES_FILE for file in client.list_artifacts(run_id)):
                target = Path(folder, run_id)
                target.mkdir()
                path = Path(client.download_artifacts(run_id, ROLES_FILE, str(target)))
                records.append((json.loads(path.read_text(encoding="utf-8")), CONCLUDED_TAG in run.data.tags))
        return records


def conclude(run_id: str, decision: str) -> None:
    """Mark the record of a run as concluded: its test rows are spent.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with connect(needed_settings(), "a decision") as client:
        client.set_tag(run_id, CONCLUDED_TAG, decision)


def _records(client: RetryingClient, name: str) -> Iterator[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    is_record, token = f"tags.`{LEDGER_TAG}` = '{name}'", None
    while True:
        page = client.search_runs(experiments, filter_string=is_record, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
