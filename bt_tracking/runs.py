"""Find a run by its tags or create it, so that tasks running at the same time agree on one."""

import time
from collections.abc import Mapping
from typing import Any

from bt_tracking.connection import RetryingClient

RUN_ID_TAG = "bt.run_id"
STAGE_TAG = "stage"
PARENT_TAG = "mlflow.parentRunId"  # MLflow's own: the UI nests by it
KIND_TAG = "kind"
_POLLS, _POLL_SECONDS = 20, 0.1


def find_or_create(
    client: RetryingClient,
    experiment_id: str,
    key: Mapping[str, str],
    kind: str,
    *,
    name: str,
    start_ms: int,
    tags: Mapping[str, str],
) -> Any:
    """The one run with the tags in `key`.

    MLflow has no unique tags, so tasks that race may create several. Each then looks again: who sees itself
    alone settles its run by giving it a kind; who sees an older one deletes its own and waits for a settled
    one. Since everybody creates before looking, no two see themselves alone, whatever their clocks say.

    Args:
        client: the server.
        experiment_id: where to look and to create.
        key: tags that only this run carries.
        kind: value of its `kind` tag.
        name: shown in the UI, for a new run.
        start_ms: start of a new run, in Unix milliseconds.
        tags: further tags of a new run.

    Returns:
        An `mlflow.entities.Run`.
    """
    own: str | None = None
    runs = _search(client, experiment_id, key)
    if not runs:
        created = client.create_run(experiment_id, start_time=start_ms, tags={**tags, **key}, run_name=name)
        own = created.info.run_id
        runs = _search(client, experiment_id, key)
    for poll in range(_POLLS + 1):
        settled = [run for run in runs if KIND_TAG in run.data.tags]
        oldest = (settled or runs)[0]
        if own and own != oldest.info.run_id:
            client.delete_run(own)
            own = None
        if settled:
            return oldest
        # A creator that died in between leaves a run that nobody settles: after the last poll we do.
        if [run.info.run_id for run in runs] == [own] or poll == _POLLS - 1:
            client.set_tag(oldest.info.run_id, KIND_TAG, kind)
        else:
            time.sleep(_POLL_SECONDS)
        runs = _search(client, experiment_id, key)
    raise AssertionError("the last poll settles a run")


def _search(client: RetryingClient, experiment_id: str, key: Mapping[str, str]) -> list[Any]:
    """Live runs with these tags, the oldest first."""
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in key.items())
    runs = client.search_runs([experiment_id], filter_string=wanted, order_by=["attributes.start_time ASC"])
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
