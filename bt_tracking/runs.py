"""Find a run by its tags or create it, so that tasks at the same time agree on one; and the tree that runs make."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from bt_tracking.connection import RetryingClient

RUN_ID_TAG = "bt.run_id"
STAGE_TAG = "stage"
PARENT_TAG = "mlflow.parentRunId"  # MLflow's own tag, by which the UI nests runs
KIND_TAG = "kind"
#: The stage tag of a parent.
PARENT_STAGE = "pipeline"
#: Tags that stages take over from their pipeline run, so that they can be grouped by them.
_IDENTITY = ("task", "strategy", "seed")
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
    runs = runs_with(client, experiment_id, key)
    if not runs:
        created = client.create_run(experiment_id, start_time=start_ms, tags={**tags, **key}, run_name=name)
        own = created.info.run_id
        runs = runs_with(client, experiment_id, key)
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
        runs = runs_with(client, experiment_id, key)
    raise AssertionError("the last poll settles a run")


def root_above(client: RetryingClient, run: Any) -> Any | None:
    """The topmost run above a run; None where nothing is above it.

    Kubeflow's MLflow plugin gives every group of tasks (an exit handler, a condition, a loop) a run of its own, so that
    the run of the pipeline may be several levels above that of a task
    (backend/src/v2/common/plugins/mlflow/handler.go).
    """
    root = None
    while parent := (root or run).data.tags.get(PARENT_TAG):
        root = client.get_run(parent)
    return root


def inherited_tags(parent: Any | None) -> dict[str, str]:
    """The tags that a run takes over from its pipeline run; none where there is no such run."""
    return identity(parent.data.tags) if parent else {}


def identity(tags: Mapping[str, str]) -> dict[str, str]:
    """Those of the tags that say what a run is a run of: the task, the strategy and the seed."""
    return {name: tags[name] for name in _IDENTITY if name in tags}


def below(client: RetryingClient, run: Any) -> Iterator[Any]:
    """All runs below a run, on every level."""
    for child in runs_with(client, run.info.experiment_id, {PARENT_TAG: run.info.run_id}):
        yield child
        yield from below(client, child)


def runs_with(client: RetryingClient, experiment_id: str, key: Mapping[str, str], more: str = "") -> list[Any]:
    """Runs with these tags that are not deleted, the oldest first; `more` is a further condition of the search."""
    wanted = " and ".join(f"tags.`{name}` = {_quoted(value)}" for name, value in key.items()) + more
    runs = client.search_runs([experiment_id], filter_string=wanted, order_by=["attributes.start_time ASC"])
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def _quoted(value: str) -> str:
    """The value in MLflow's search language, which has two kinds of quotation marks but no way to escape one."""
    return f'"{value}"' if "'" in value else f"'{value}'"
