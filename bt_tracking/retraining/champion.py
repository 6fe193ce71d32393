"""The champion of a task in MLflow's Model Registry, and how its aliases move.

MLflow sets an alias without a condition on its earlier value. So a move is first decided and then carried out.

To decide, every process that wants to make the move of a term (the number of moves so far) asks for the same run
(`bt_tracking.runs`). The process whose version that run names has won, and no other can win. To carry the move out, the
winner, or the next process that finds the decision, sets the aliases and increments the term. Doing so twice changes
nothing.

MLflow does not tie an alias to a term. So a process that was delayed for long between its decision and its last request
can reset an alias that has moved on since. An alias that a person moves in the UI counts from then on.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.experiment import experiment_id, run_url
from bt_tracking.registry import create_unless_there, registry_name
from bt_tracking.retraining.ledger import needed_settings
from bt_tracking.retraining.stored import stored
from bt_tracking.runs import find_or_create
from bt_tracking.serving import PROGRAM
from bt_tracking.settings import TrackingSettings

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
#: Tags of a version: what has become of it, the version of the champion that it was compared with, and its score on the
#: first sealed rows after it became champion.
OUTCOME_TAG, COMPARED_TAG, SCORE_TAG = "outcome", "compared.with", "champion.score"
#: Outcomes that one version has: it is being compared; another challenger or another champion took its place.
SHADOW, SUPERSEDED = "shadow", "superseded"
#: Name of the artifact that is registered: an MLflow model.
MODEL = "model"
#: The experiment that holds a run for each move.
EXPERIMENT = "bettertogether-champions"
_MOVE_TAG, _TERM_TAG, _BEFORE_TAG = "bt.move", "bt.term", "champion.before"


@dataclass(frozen=True)
class Champion:
    """The version that the alias names. `term` is the number of moves so far; `tags` are the version's tags."""

    version: int
    term: int
    tags: Mapping[str, str]

    def dump(self) -> str:
        """The champion as text, to pass it between tasks."""
        return json.dumps({"version": self.version, "term": self.term, "tags": dict(self.tags)}, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> "Champion | None":
        """The champion of a `dump`; None for an empty text."""
        return stored(cls, text, "The champion that an earlier task has named") if text else None


def fetch_champion(task: str, folder: Path) -> Champion | None:
    """Copy the champion's program directory to `folder`, which must not exist. None where there is no champion.

    Raises:
        ConfigError: when no tracking server is set, or no retraining made the champion.
        TrackingError: when the server does not answer or refuses.
    """
    with _opened(task, "the champion of") as (client, _, name):
        found = _champion(client, name)
        if found is None:
            return None
        version = client.get_model_version(name, str(found.version))
        if not any(file.path == f"{MODEL}/data" for file in client.list_artifacts(version.run_id, MODEL)):
            raise ConfigError(
                f"The champion of {name}, version {found.version}, was not made by `bt retrain`: delete the alias"
                f" `{CHAMPION}` in MLflow, and the next retraining makes a champion."
            )
        _copy_program(client, version, folder)
        return found


def fetch_challenger(task: str, incumbent: Champion, folder: Path) -> int | None:
    """Copy the program directory of the challenger that is in shadow to `folder`, which must not exist.

    Returns:
        Its version. None where no challenger is in shadow, or where it was compared with another champion, so that the
        evidence on it says nothing about the present one.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with _opened(task, "the challenger of") as (client, _, name):
        found = _aliases(client, name).get(CHALLENGER)
        version = client.get_model_version(name, found) if found else None
        if version is None or version.tags.get(OUTCOME_TAG) != SHADOW:
            return None
        if version.tags.get(COMPARED_TAG) != str(incumbent.version):
            return None
        _copy_program(client, version, folder)
        return int(version.version)


def _copy_program(client: RetryingClient, version: Any, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # In a new folder: an attempt that was killed may have fetched another program.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as scratch:
        Path(client.download_artifacts(version.run_id, f"{MODEL}/{PROGRAM}", scratch)).rename(folder)


def propose(task: str, run_id: str, tags: Mapping[str, str]) -> int:
    """Register the model of a run as a version in shadow, and make it the challenger. Doing so twice changes nothing.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with _opened(task, "a challenger of") as (client, settings, name):
        create_unless_there(client.create_registered_model, name)
        known = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        if known:
            version = known[0]
        else:
            whole = {**tags, **_links(client, settings, run_id), OUTCOME_TAG: SHADOW}
            version = client.create_model_version(
                name, f"runs:/{run_id}/{MODEL}", run_id, tags=whole, await_creation_for=0
            )
        before = _aliases(client, name).get(CHALLENGER)
        if before is None or int(before) < int(version.version):  # versions only grow, so a retry moves nothing back
            client.set_registered_model_alias(name, CHALLENGER, version.version)
            if before is not None:
                _end_shadow(client, name, before, {OUTCOME_TAG: SUPERSEDED})
        return int(version.version)


def label(task: str, version: int, tags: Mapping[str, str]) -> None:
    """Set tags of a version that is in shadow. What has become of another one is decided, and stays.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with _opened(task, "a version of") as (client, _, name):
        _end_shadow(client, name, str(version), tags)


def _end_shadow(client: RetryingClient, name: str, version: str, tags: Mapping[str, str]) -> None:
    if client.get_model_version(name, version).tags.get(OUTCOME_TAG) == SHADOW:
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)


def note_score(task: str, version: int, score: str) -> None:
    """Keep the score that a champion had on sealed rows after its promotion, the first time.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with _opened(task, "the champion of") as (client, _, name):
        if SCORE_TAG not in client.get_model_version(name, str(version)).tags:
            client.set_model_version_tag(name, str(version), SCORE_TAG, score)


def promote(task: str, version: int, expected: Champion | None) -> bool:
    """Make a version the champion, if the current champion is still the expected one.

    Returns:
        False when another run was faster or a person moved the alias; nothing has changed then. True also when an
        earlier call made this version the champion.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    with _opened(task, "a promotion of") as (client, settings, name):
        now = _champion(client, name)
        term = expected.term if expected else 0
        if now is not None and now.version == version:
            return True
        if (now and now.version, _term(client, name)) != (expected and expected.version, term):
            return False
        return _move(client, settings, name, version, now, "promotion") == version


def roll_back(task: str) -> tuple[int, int]:
    """Make the previous champion the champion again. `previous` then names the one before that, if any.

    Returns:
        The version that was the champion, and the one that is now.

    Raises:
        ConfigError: when there is no champion, or no champion before it.
        TrackingError: when the server does not answer or refuses.
    """
    with _opened(task, "a rollback of") as (client, settings, name):
        now = _champion(client, name)
        if now is None:
            raise ConfigError(f"{name} has no champion in MLflow: check the task and MLFLOW_TRACKING_URI.")
        previous = _aliases(client, name).get(PREVIOUS)
        if previous is None:
            raise ConfigError(f"{name} has no champion before version {now.version}: there is nothing to go back to.")
        return now.version, _move(client, settings, name, int(previous), now, "rollback")


def _move(
    client: RetryingClient, settings: TrackingSettings, name: str, to: int, now: Champion | None, kind: str
) -> int:
    """Decide the move of this term and carry out the decision, which may be another process's; return the champion."""
    term = _term(client, name)
    where = experiment_id(client, TrackingSettings(settings.uri, EXPERIMENT))
    before = now.version if now else None
    run = find_or_create(
        client,
        where,
        {_MOVE_TAG: f"{name}#{term}"},
        kind,
        name=f"{name}: {kind} of version {to}",
        start_ms=int(time.time() * 1000),
        tags={"model": name, "to": str(to), "from": "" if before is None else str(before)},
    )
    return _carry_out(client, name, run, term)


def _carry_out(client: RetryingClient, name: str, run: Any, term: int) -> int:
    """Set the aliases as decided. Every request may be repeated."""
    to, before = run.data.tags["to"], run.data.tags["from"]
    if run.data.tags["kind"] == "rollback":
        before = client.get_model_version(name, to).tags.get(_BEFORE_TAG, "")
    elif before:
        client.set_model_version_tag(name, to, _BEFORE_TAG, before)
    if before:
        client.set_registered_model_alias(name, PREVIOUS, before)
    else:
        client.delete_registered_model_alias(name, PREVIOUS)
    client.set_registered_model_alias(name, CHAMPION, to)
    client.set_registered_model_tag(name, _TERM_TAG, str(term + 1))
    client.set_terminated(run.info.run_id)
    return int(to)


def _champion(client: RetryingClient, name: str) -> Champion | None:
    """The champion, after carrying out any move that a process decided on and then died."""
    if _model(client, name) is None:
        return None
    term = _term(client, name)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        is_decided = f"tags.`{_MOVE_TAG}` = '{name}#{term}' and tags.kind != ''"
        for run in client.search_runs([found.experiment_id], filter_string=is_decided, max_results=1):
            _carry_out(client, name, run, term)
            term += 1
    version = _aliases(client, name).get(CHAMPION)
    if version is None:
        return None
    return Champion(int(version), term, client.get_model_version(name, version).tags)


def _links(client: RetryingClient, settings: TrackingSettings, run_id: str) -> dict[str, str]:
    """Tags that lead to the run: the orchestrator's id, and the run's page where MLflow has pages."""
    if not settings.uri.startswith("http"):
        return {"pipeline.run": settings.pipeline_run or ""}
    page = run_url(settings.uri, client.get_run(run_id).info.experiment_id, run_id)
    return {"pipeline.run": settings.pipeline_run or "", "run.url": page}


def _term(client: RetryingClient, name: str) -> int:
    return int(client.get_registered_model(name).tags.get(_TERM_TAG, "0"))


def _aliases(client: RetryingClient, name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def _model(client: RetryingClient, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


@contextmanager
def _opened(task: str, what: str) -> Iterator[tuple[RetryingClient, TrackingSettings, str]]:
    settings, name = needed_settings(), registry_name(task)
    with connect(settings, f"{what} {name}") as client:
        yield client, settings, name
