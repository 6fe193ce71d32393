"""Find a run by its tags or create it, so that tasks running at the same time agree on one."""

import time
from collections.abc import Mapping
from typing import Any

from bt_tracking.connection import RetryingClient

RUN_ID_TAG = "bt.run_id"
STAGE_TAG = "stage"
PARENT_TAG = "mlflow.parentRunId"  # MLflow's own tag, by which the UI nests runs
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

    MLflow has no unique tags, so tasks at the same time may create several runs. Each task then looks again. If its run
    is the only one, it settles the run by giving it a kind. If there is an older run, it deletes its own and waits for
    a settled one. Since every task creates before it looks, no two tasks see only their own run, whatever their clocks
    say.

    Args:
        client: a client of the server.
        experiment_id: the experiment to look and to create in.
        key: tags that identify the run.
        kind: value of the run's `kind` tag.
        name: name of a new run in the UI.
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
        # A task that died in between leaves a run that no task settles. We do so after the last poll.
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
