"""`bt rollback`: make the previous champion the champion again."""

import os
from typing import Annotated

import typer

from bt_cli.run_folder import RUNS
from bt_cli.view.console import stdout
from bt_core.errors import ConfigError

TrackingUri = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The MLflow server.", show_default="$MLFLOW_TRACKING_URI, or runs/mlflow.db"),
]


def rollback(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task whose champion is rolled back.")],
    tracking_uri: TrackingUri = None,
) -> None:
    """Make the previous champion the champion again.

    Moves the alias `champion` in MLflow back by one promotion; the same command again moves it back by one more.

    Example: bt rollback triage:task
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or _local_store()
    os.environ["MLFLOW_TRACKING_URI"] = uri
    from bt_tracking.retraining.champion import roll_back

    left, now = roll_back(task)
    stdout().print(f"Version {now} of {task} is champion again, instead of version {left}.", markup=False)


def _local_store() -> str:
    from bt_tracking.server import DATABASE, local_store

    if not (RUNS / DATABASE).exists():
        raise ConfigError("There is no MLflow store in runs/: name the server with --tracking-uri.")
    return local_store(RUNS)
